"""Convolutions of small images on a GPU, as operators of PyTorch that run the Triton kernels of `convolution_kernels`.

At a few thousand output pixels and tens of channels cuDNN's kernels leave most of a GPU idle, and convert formats.
Images are (batch, channels, height, width) in channels-last memory.
"""

import functools
import importlib.util
import math
from typing import NamedTuple

import torch
from torch import Tensor

from clhyper.engine.convolutions import Convolution

MOST_CHANNELS = 256
"""of inputs and of outputs; with more, cuDNN's kernels have enough to do"""
PROGRAMS = 264
"""that a gradient of a kernel is divided among: two for each multiprocessor of an H200"""
_SIDES = (1, 3)  # of kernels


class Blocks(NamedTuple):
    """What a program computes: rows and columns of its part of a matrix, and the products that it adds at a time."""

    rows: int
    columns: int
    depth: int
    warps: int = 4


@functools.cache
def has_triton() -> bool:
    """Whether there is a compiler for the kernels; PyTorch brings it along with CUDA."""
    return importlib.util.find_spec("triton") is not None


@functools.cache
def _has_tf32(device: torch.device) -> bool:
    return torch.version.cuda is not None and torch.cuda.get_device_capability(device) >= (8, 0)


def serves(given: Convolution) -> bool:
    """Whether a convolution is one that is faster so: on a GPU, its kernel 1x1 or 3x3, of few channels."""
    x, weight = given.x, given.weight
    return (
        has_triton()
        and x.device.type == "cuda"
        and _has_tf32(x.device)
        and x.ndim == 4
        and x.dtype == weight.dtype == torch.float32
        and weight.shape[2] == weight.shape[3]
        and weight.shape[2] in _SIDES
        and len({*given.stride}) == len({*given.padding}) == 1
        and {*given.dilation, given.groups} == {1}
        and not given.transposed
        and max(weight.shape[:2]) <= MOST_CHANNELS
        and len(x) * MOST_CHANNELS * x.shape[2:].numel() < 2**31
    )


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """x (batch, channels, height, width), weight (out, channels, side, side) to (batch, out, ...)."""
    matrix = weight.permute(0, 2, 3, 1).contiguous()
    return torch.ops.clhyper.convolution(_last(x), matrix, bias, stride, padding, _is_exact())


def gradient_of_image(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """What a gradient (batch, out, ...) of `convolution` is for x."""
    matrix = weight.permute(1, 2, 3, 0).contiguous()
    how = (*x.shape[2:], stride, padding, _is_exact())
    return torch.ops.clhyper.gradient_of_image(_last(gradient), matrix, *how)


def gradient_of_kernel(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """What a gradient (batch, out, ...) of `convolution` is for the weight."""
    how = (weight.shape[2], stride, padding, _is_exact())
    return torch.ops.clhyper.gradient_of_kernel(_last(gradient), _last(x), *how)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _is_exact() -> bool:
    return not torch.backends.cudnn.allow_tf32


@torch.library.custom_op("clhyper::convolution", mutates_args=())
def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, exact: bool) -> Tensor:
    from clhyper.engine import convolution_kernels

    out = _empty_convolution(x, weight, bias, stride, padding, exact)
    convolution_kernels.convolve(x, weight, bias, out, stride, padding, exact, _blocks(out))
    return out


@_convolution.register_fake
def _empty_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, exact: bool
) -> Tensor:
    height, width = ((side + 2 * padding - weight.shape[1]) // stride + 1 for side in x.shape[2:])
    return _empty(x, len(weight), height, width)


@torch.library.custom_op("clhyper::gradient_of_image", mutates_args=())
def _gradient_of_image(
    gradient: Tensor, weight: Tensor, height: int, width: int, stride: int, padding: int, exact: bool
) -> Tensor:
    from clhyper.engine import convolution_kernels

    out = _empty(gradient, len(weight), height, width)
    convolution_kernels.convolve(gradient, weight, None, out, stride, padding, exact, _blocks(out), back=True)
    return out


@_gradient_of_image.register_fake
def _empty_gradient_of_image(
    gradient: Tensor, weight: Tensor, height: int, width: int, stride: int, padding: int, exact: bool
) -> Tensor:
    return _empty(gradient, len(weight), height, width)


@torch.library.custom_op("clhyper::gradient_of_kernel", mutates_args=())
def _gradient_of_kernel(gradient: Tensor, x: Tensor, side: int, stride: int, padding: int, exact: bool) -> Tensor:
    from clhyper.engine import convolution_kernels

    out = _empty_gradient_of_kernel(gradient, x, side, stride, padding, exact)
    blocks, count = _blocks_of_kernel(gradient, out[0].numel())
    parts = x.new_empty((count, len(out), side, side, x.shape[1]))
    convolution_kernels.gather(gradient, x, parts, stride, padding, exact, blocks)
    convolution_kernels.add(parts, out)
    return out


@_gradient_of_kernel.register_fake
def _empty_gradient_of_kernel(gradient: Tensor, x: Tensor, side: int, stride: int, padding: int, exact: bool) -> Tensor:
    return x.new_empty((gradient.shape[1], x.shape[1], side, side))


def _empty(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    shape = (len(x), channels, height, width)
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _blocks(out: Tensor) -> Blocks:
    """Of a product that makes images with so many channels."""
    channels = out.shape[1]
    if channels <= 32:
        return Blocks(256, 32, 32, 8)
    if channels <= 64:
        return Blocks(128, 64, 32)
    return Blocks(64, 64, 32) if channels <= 128 else Blocks(64, 32, 64)


def _blocks_of_kernel(gradient: Tensor, seen: int) -> tuple[Blocks, int]:
    """Of the gradient of a kernel, where an output pixel sees so many numbers; and parts that pixels are dealt to."""
    blocks = Blocks(32, 128 if seen > 256 else 64, 64)
    tiles = math.ceil(gradient.shape[1] / blocks.rows) * math.ceil(seen / blocks.columns)
    pixels = gradient.numel() // gradient.shape[1]
    return blocks, max(1, min(math.ceil(PROGRAMS / tiles), pixels // (4 * blocks.depth)))
