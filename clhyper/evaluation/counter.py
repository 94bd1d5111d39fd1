"""PyTorch's counter of operations, for one thread of several and by parts of training."""

from collections.abc import Mapping

from torch.utils.flop_counter import FlopCounterMode

from clhyper.parts import PARTS, Trace, begin_trace, end_trace

Macs = Mapping[str, int]
"""Multiply-accumulates by part, of `PARTS`."""


class OperationCounter(FlopCounterMode):
    """Counts what this thread executes, backward passes included; nothing by module."""

    def __init__(self) -> None:
        super().__init__(display=False)
        self.mod_tracker = _PartTracker()  # type: ignore[assignment]

    def macs(self) -> Macs:
        """Multiply-accumulates since the counter was entered; each belongs to one part."""
        return {part: sum(self.flop_counts[part].values()) // 2 for part in PARTS}


class _PartTracker:
    """In place of torch's tracker of modules, whose hooks are called by the modules of every thread."""

    trace: Trace

    @property
    def parents(self) -> tuple[str, ...]:
        return ("Global", self.trace.part)

    def __enter__(self) -> None:
        self.trace = begin_trace()

    def __exit__(self, *error: object) -> None:
        end_trace()
