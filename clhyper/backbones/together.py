"""Networks of one shape that all see the same features, in one pass."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

ROWS_AT_ONCE = {"cpu": 2**10}
"""tasks times rows in a pass, elsewhere 2^13: it bounds the memory of what lies between layers, and more is no faster
on a CPU (ours)"""


class _RunningNorm(nn.BatchNorm2d):
    """Batch norm in evaluation as one product and one sum.

    PyTorch's own asks in vmap on a GPU how memory lies, which is not implemented there.
    """

    def forward(self, input: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return input * scale[:, None, None] + (self.bias - self.running_mean * scale)[:, None, None]


def together(network: nn.Module, tensors: Sequence[dict[str, Tensor]]) -> Callable[[Tensor], Tensor]:
    """A network in evaluation mode with each of the sets of tensors: x (rows, ...) to (sets, rows, outputs).

    Each set has all of the network's parameters and buffers by name, and is copied now, once for however many x. A
    classifier that is narrower than others' is filled with zeros.
    """
    network = copy.deepcopy(network)
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _RunningNorm
    longest = {name: max(len(one[name]) for one in tensors) for name, tensor in tensors[0].items() if tensor.ndim}
    stacked = {
        name: torch.stack([_longer(one[name], longest.get(name, 0)) for one in tensors]).contiguous()
        for name in tensors[0]
    }

    def outputs(x: Tensor) -> Tensor:
        at_once = max(1, ROWS_AT_ONCE.get(x.device.type, 2**13) // len(x))
        x = x.contiguous()  # in the channels-last format vmap would pool globally one by one
        parts = zip(*(part.split(at_once) for part in stacked.values()), strict=True)
        apply = vmap(lambda own: functional_call(network, own, (x,)))
        return torch.cat([apply(dict(zip(stacked, part, strict=True))) for part in parts])

    return outputs


def _longer(tensor: Tensor, length: int) -> Tensor:
    missing = length - len(tensor) if tensor.ndim else 0
    return F.pad(tensor, (0, 0) * (tensor.ndim - 1) + (0, missing)) if missing else tensor
