"""Networks of one shape that all see the same features, in one pass."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

ROWS_AT_ONCE = {"cpu": 2**10}
"""tasks times rows in a pass, elsewhere 2^13: it bounds the memory of what lies between layers, and more is no faster
on a CPU (ours)"""


class _RunningNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm in evaluation as one product and one sum, of x (rows, channels, ...).

    PyTorch's own asks in vmap on a GPU how memory lies, which is not implemented there. As there, a norm that keeps no
    running statistics takes those of the rows, and one without scale and shift has none.
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.running_mean is None or self.running_var is None:
            axes = [axis for axis in range(input.ndim) if axis != 1]
            variance, mean = torch.var_mean(input, axes, correction=0)
        else:
            variance, mean = self.running_var, self.running_mean
        scale = (variance + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        channels = (-1, *[1] * (input.ndim - 2))
        return input * scale.reshape(channels) + shift.reshape(channels)


def together(network: nn.Module, tensors: Sequence[dict[str, Tensor]]) -> Callable[[Tensor], Tensor]:
    """A network in evaluation mode with each of the sets of tensors: x (rows, ...) to (sets, rows, outputs).

    Each set has all of the network's parameters and buffers by name, and is copied now, once for however many x. A
    classifier that is narrower than others' is filled with zeros.
    """
    network = _for_vmap(network)
    stacked = _stacked(tensors)

    def outputs(x: Tensor) -> Tensor:
        at_once = max(1, ROWS_AT_ONCE.get(x.device.type, 2**13) // len(x))
        x = x.contiguous()  # in the channels-last format vmap would pool globally one by one
        parts = zip(*(part.split(at_once) for part in stacked.values()), strict=True)
        apply = vmap(lambda own: functional_call(network, own, (x,)))
        return torch.cat([apply(dict(zip(stacked, part, strict=True))) for part in parts])

    return outputs


def side_by_side(network: nn.Module, tensors: Sequence[dict[str, Tensor]], x: Sequence[Tensor]) -> list[Tensor]:
    """`together` with rows of its own for each set: x (rows, ...) each, to (rows, outputs) each, in one pass."""
    network = _for_vmap(network)
    longest = max(len(rows) for rows in x)
    padded = torch.stack([_longer(rows, longest) for rows in x]).contiguous()
    outputs = vmap(lambda own, rows: functional_call(network, own, (rows,)))(_stacked(tensors), padded)
    return [its[: len(rows)] for its, rows in zip(outputs, x, strict=True)]


def or_alone(at_once: Callable[[], Any], alone: Callable[[], Any], tell: Callable[[str], None]) -> Any:
    """What `at_once` gives; where PyTorch can't do that on a device, what `alone` gives, and `tell` is told."""
    try:
        return at_once()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0]
        tell(f"tasks' networks are applied one by one, since all at once failed ({reason})")
        return alone()


def _for_vmap(network: nn.Module) -> nn.Module:
    """A copy whose batch norms work in vmap on any device."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if type(module) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            # Not another module in its place: a network may reach this one by several names, and none is to be missed.
            module.__class__ = _RunningNorm
    return network


def _stacked(tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """name -> (sets, ...)"""
    longest = {name: max(len(one[name]) for one in tensors) for name, tensor in tensors[0].items() if tensor.ndim}
    return {
        name: torch.stack([_longer(one[name], longest.get(name, 0)) for one in tensors]).contiguous()
        for name in tensors[0]
    }


def _longer(tensor: Tensor, length: int) -> Tensor:
    missing = length - len(tensor) if tensor.ndim else 0
    return F.pad(tensor, (0, 0) * (tensor.ndim - 1) + (0, missing)) if missing else tensor
