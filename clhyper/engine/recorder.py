"""Watches a training step that is executed eagerly: what it reads from outside, what it changes, and what it does."""

import hashlib
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

_WRITTEN_UNSAID = ("running_mean", "running_var")
"""arguments that batch norms write to in training, which their schemas don't say"""


_READ_BACK = ("_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "masked_select", "equal")
"""operators whose result the host waits for"""


class Recorder(TorchDispatchMode):
    """Records the operators executed inside, backward passes included.

    `outside`: tensors that were there before and are no inputs, in the order of their first use: parameters, running
    statistics, an optimizer's state, whatever else the step reads or changes.
    `fingerprint`: of the program. Two steps with the same one apply the same operators with the same numbers to
    tensors of the same shapes and strides, wired alike: one is the other on other tensors.
    `needs_host`: the first operator that reads numbers back from a device, or copies some to it; None if none does.

    Args:
        inputs: Tensors whose content is given anew for each execution.
    """

    def __init__(self, inputs: list[Tensor]) -> None:
        super().__init__()
        self.outside: list[Tensor] = []
        self.needs_host: str | None = None
        self._numbers: Any = WeakTensorKeyDictionary()
        self._before: list[tuple[Tensor, Tensor]] = []
        self._outside_storages: dict[int, Tensor] = {}
        self._saved: set[int] = set()
        self._next = 0
        self._digest = hashlib.sha256()
        for tensor in inputs:
            self._digest.update(_described(tensor).encode())
            self._number(tensor)
            self._saved.add(_storage(tensor))

    @property
    def fingerprint(self) -> str:
        return self._digest.hexdigest()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "profiler":
            return func(*args, **kwargs)
        leaves, structure = tree_flatten((args, kwargs))
        words = [str(func), str(structure)]
        words += [self._named(leaf) if isinstance(leaf, Tensor) else repr(leaf) for leaf in leaves]
        self._digest.update("\n".join(words).encode())
        if self.needs_host is None and _needs_host(func, leaves):
            self.needs_host = str(func)
        self._save_what_changes(func, args, kwargs)
        result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf not in self._numbers:
                self._number(leaf)
        return result

    def undo(self) -> None:
        """Puts everything outside back to where it was, in place."""
        with torch.no_grad():
            for tensor, value in self._before:
                tensor.copy_(value)

    def _number(self, tensor: Tensor) -> int:
        self._numbers[tensor] = self._next
        self._next += 1
        return self._next - 1

    def _named(self, tensor: Tensor) -> str:
        if tensor in self._numbers:
            return f"%{self._numbers[tensor]}"
        self.outside.append(tensor)
        self._outside_storages.setdefault(_storage(tensor), tensor)
        return f"%{self._number(tensor)} = {_described(tensor)}"

    def _save_what_changes(self, func: Any, args: Any, kwargs: Any) -> None:
        """Copies tensors from outside before an operator first writes to them, be it through a view."""
        for position, argument in enumerate(func._schema.arguments):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if not written and argument.name not in _WRITTEN_UNSAID:
                continue
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            for leaf in tree_leaves(value):
                if not isinstance(leaf, Tensor):
                    continue
                storage = _storage(leaf)
                whole = self._outside_storages.get(storage)
                if whole is not None and storage not in self._saved:
                    self._saved.add(storage)
                    self._before.append((whole.detach(), whole.detach().clone()))


def _needs_host(func: Any, leaves: list[Any]) -> bool:
    """Whether an operator reads back from a device, or moves more than a number between devices."""
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if any(tensor.is_cuda for tensor in tensors) and func.overloadpacket.__name__ in _READ_BACK:
        return True
    devices = {tensor.device.type for tensor in tensors if tensor.ndim}
    target = next((torch.device(leaf).type for leaf in leaves if isinstance(leaf, torch.device)), None)
    moves = func.overloadpacket.__name__ in ("_to_copy", "copy_") and target is not None
    return "cuda" in devices | {target} and len(devices | ({target} if moves else set())) > 1


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _described(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)} {tensor.stride()} {tensor.device} {tensor.requires_grad}"
