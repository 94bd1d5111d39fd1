"""The optimizer's fused update and norms as plain arithmetic, which a compiler fuses with what is around it."""

from typing import Any

import torch
from torch import Tensor
from torch._decomp import get_decompositions

aten = torch.ops.aten


def adam(
    parameters: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    largest_squares: list[Tensor],
    steps: list[Tensor],
    *,
    lr: float | Tensor,
    beta1: float,
    beta2: float,
    weight_decay: float,
    eps: float,
    amsgrad: bool,
    maximize: bool,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
) -> Any:
    """Adam as the fused kernel computes it. All parameters have taken equally many steps."""
    if amsgrad or maximize or weight_decay or grad_scale is not None or found_inf is not None:
        return NotImplemented
    size = lr / (1 - beta1 ** steps[0])
    root = (1 - beta2 ** steps[0]).sqrt()
    for parameter, gradient, mean, square in zip(parameters, gradients, means, squares, strict=True):
        mean.copy_(mean + (1 - beta1) * (gradient - mean))
        square.copy_(beta2 * square + (1 - beta2) * gradient * gradient)
        parameter.copy_(parameter - size * mean / (square.sqrt() / root + eps))
    return None


def adamw(parameters: list[Tensor], *rest: Any, lr: float | Tensor, weight_decay: float, **settings: Any) -> Any:
    """AdamW: parameters decay first."""
    for parameter in parameters:
        parameter.copy_(parameter * (1 - lr * weight_decay))
    return adam(parameters, *rest, lr=lr, weight_decay=0.0, **settings)


def batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    """Batch norm with statistics in two stages on a GPU: a program a channel would leave most of it idle."""
    if not (training and _is_image_on_gpu(x, weight) and bias is not None):
        return decomposed_batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps)
    variances, means = torch.var_mean(_in_chunks(x), 1, correction=0)
    of_means, mean = torch.var_mean(means, 0, correction=0)
    variance = variances.mean(0) + of_means
    if running_mean is not None and running_var is not None:
        count = x.numel() // x.shape[1]
        running_mean.copy_(running_mean + momentum * (mean - running_mean))
        running_var.copy_(running_var + momentum * (variance * (count / (count - 1)) - running_var))
    scale = torch.rsqrt(variance + eps)
    assert weight is not None
    out = (x - _by_channel(mean)) * _by_channel(scale * weight) + _by_channel(bias)
    return out, mean, scale


def batch_norm_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    mean: Tensor | None,
    scale: Tensor | None,
    training: bool,
    eps: float,
    output_mask: list[bool],
) -> Any:
    """Gradients of `batch_norm`."""
    if not (training and _is_image_on_gpu(x, weight)):
        how = (running_mean, running_var, mean, scale, training, eps, output_mask)
        return decomposed_batch_norm_backward(gradient, x, weight, *how)
    assert weight is not None
    assert mean is not None
    assert scale is not None
    normed = (x - _by_channel(mean)) * _by_channel(scale)
    of_weight, of_bias = (_in_chunks(given).sum(1).sum(0) for given in (gradient * normed, gradient))
    count = x.numel() // x.shape[1]
    of_x = gradient - _by_channel(of_bias / count) - normed * _by_channel(of_weight / count)
    return of_x * _by_channel(scale * weight), of_weight, of_bias


def _is_image_on_gpu(x: Tensor, weight: Tensor | None) -> bool:
    return x.device.type == "cuda" and x.ndim == 4 and weight is not None


def _by_channel(values: Tensor) -> Tensor:
    return values[:, None, None]


def _in_chunks(x: Tensor) -> Tensor:
    """(batch, channels, height, width) to (chunks, pixels, channels): an image, or a part of one of 256 pixels."""
    pixels = x.shape[2:].numel()
    rows = 256 if pixels % 256 == 0 else pixels
    return x.permute(0, 2, 3, 1).reshape(-1, rows, x.shape[1])


def group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, channels: int, pixels: int, groups: int, eps: float
) -> Any:
    """Instance norm on a CPU, with sums that vectorise over channels in channels-last format; else as PyTorch does."""
    if not _is_instance_norm(x, weight, channels, groups):
        return decomposed_norm(x, weight, bias, n, channels, pixels, groups, eps)
    assert weight is not None
    assert bias is not None
    centred = x - (mean := x.mean((2, 3), keepdim=True))
    scale = torch.rsqrt((centred * centred).mean((2, 3), keepdim=True) + eps)
    out = centred * (scale * weight[:, None, None]) + bias[:, None, None]
    return out, mean.view(n, channels), scale.view(n, channels)


def group_norm_backward(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    weight: Tensor | None,
    n: int,
    channels: int,
    pixels: int,
    groups: int,
    output_mask: list[bool],
) -> Any:
    """Gradients of `group_norm`."""
    if not _is_instance_norm(x, weight, channels, groups):
        how = (n, channels, pixels, groups, output_mask)
        return decomposed_norm_backward(gradient, x, mean, scale, weight, *how)
    assert weight is not None
    scale = scale.view(n, channels, 1, 1)
    normed = (x - mean.view(n, channels, 1, 1)) * scale
    of_weight, of_bias = (given.sum((2, 3), keepdim=True) for given in (gradient * normed, gradient))
    of_x = (gradient - (of_bias + normed * of_weight) / pixels) * (scale * weight[:, None, None])
    return of_x, of_weight.sum((0, 2, 3)), of_bias.sum((0, 2, 3))


def _is_instance_norm(x: Tensor, weight: Tensor | None, channels: int, groups: int) -> bool:
    return x.device.type == "cpu" and x.ndim == 4 and weight is not None and groups == channels


decomposed_norm, decomposed_norm_backward, decomposed_batch_norm, decomposed_batch_norm_backward = (
    get_decompositions([operator])[operator.default]
    for operator in (
        aten.native_group_norm,
        aten.native_group_norm_backward,
        aten.native_batch_norm,
        aten.native_batch_norm_backward,
    )
)
