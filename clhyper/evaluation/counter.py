"""PyTorch's counter of operations, for one thread of several."""

from torch.utils.flop_counter import FlopCounterMode


def operation_counter() -> FlopCounterMode:
    """A counter of what this thread executes; it has totals only, and nothing by module."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    return counter


class _NoModules:
    """In place of torch's tracker of modules, whose hooks are called by the modules of every thread."""

    parents = ("Global",)

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...
