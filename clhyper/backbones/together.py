"""Networks of one shape that all see the same features, in one pass."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

ROWS_AT_ONCE = {"cpu": 2**10}
"""tasks times rows in a pass, elsewhere 2^13: it bounds the memory of what lies between layers (ours)"""


def together(network: nn.Module, tensors: Sequence[dict[str, Tensor]], x: Tensor) -> Tensor:
    """What a network in evaluation mode makes of x (rows, ...) with each of the sets of tensors: (sets, rows, outputs).

    Each set has all of the network's parameters and buffers by name. A classifier that is narrower than others' is
    filled with zeros.
    """
    at_once = max(1, ROWS_AT_ONCE.get(x.device.type, 2**13) // len(x))
    longest = {name: max(len(one[name]) for one in tensors) for name, tensor in tensors[0].items() if tensor.ndim}
    x = x.contiguous()  # in the channels-last format vmap would pool globally one by one
    outputs = []
    for start in range(0, len(tensors), at_once):
        some = tensors[start : start + at_once]
        parts = {name: [_longer(one[name], longest.get(name, 0)) for one in some] for name in some[0]}
        stacked = {name: torch.stack(parts[name]).contiguous() for name in parts}
        outputs.append(vmap(lambda own: functional_call(network, own, (x,)))(stacked))
    return torch.cat(outputs)


def _longer(tensor: Tensor, length: int) -> Tensor:
    missing = length - len(tensor) if tensor.ndim else 0
    return F.pad(tensor, (0, 0) * (tensor.ndim - 1) + (0, missing)) if missing else tensor
