"""A frozen front for use: a copy in which each batch norm is part of the convolution before it."""

import copy
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def folded(front: nn.Module) -> nn.Module:
    """A copy of a front in evaluation mode that computes the same to rounding, without its batch norms.

    A `BatchNorm2d` with running statistics is folded into a `Conv2d` where the two follow one another in an
    `nn.Sequential`, or where a module's attribute `norm_after` says that the output of a child goes to another and
    nowhere else: `{"conv": "norm"}`. Other norms stay. On a CPU kernels are in channels-last memory, and so are then
    the features. The copy learns nothing and doesn't follow the front's changes.
    """
    plain: Any = copy.deepcopy(front).requires_grad_(False).eval()
    for module in list(plain.modules()):
        for first, second in _in_a_row(module):  # torch.fx could find them, but tracing isn't safe beside other threads
            convolution, norm = getattr(module, first), getattr(module, second)
            has_statistics = isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None
            if isinstance(convolution, nn.Conv2d) and has_statistics:
                setattr(module, first, _fused(convolution, norm))
                setattr(module, second, nn.Identity())
    on_cpu = all(parameter.device.type == "cpu" for parameter in plain.parameters())
    return plain.to(memory_format=torch.channels_last) if on_cpu else plain


def _in_a_row(module: nn.Module) -> Iterable[tuple[str, str]]:
    """Names of children of which the second has the first's output, which no other has."""
    if type(module).forward is nn.Sequential.forward:
        return pairwise(list(module._modules))
    declared: dict[str, str] = getattr(module, "norm_after", {})
    return declared.items()


def _fused(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """norm(convolution(x)) as one convolution; the arithmetic on its weights is in float64."""
    fused = copy.deepcopy(convolution)
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = (variance.double() + norm.eps).rsqrt()
    shift = torch.zeros_like(scale)
    if norm.affine:
        scale, shift = scale * norm.weight, shift + norm.bias
    before: Tensor | float = 0.0 if convolution.bias is None else convolution.bias.double()
    weight = convolution.weight
    fused.weight = nn.Parameter((weight * scale.view(-1, 1, 1, 1)).to(weight), requires_grad=False)
    fused.bias = nn.Parameter((shift + (before - mean) * scale).to(weight), requires_grad=False)
    return fused
