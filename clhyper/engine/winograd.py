"""Convolutions of 3x3 by Winograd's algorithm: fewer multiplications, as plain operators to compile.

The forward pass takes F(2x2, 3x3), 4 multiplications in place of 9, which rounds as a convolution does. Gradients take
F(4x4, 3x3), 2.25 in place of 9, whose rounding (3e-6) does no harm in a linear map; forward, it would change the sign
of a unit near zero here and there, and gradients by 1e-3.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from clhyper.engine.convolutions import Convolution

FEWEST_CHANNELS = 64
"""of inputs and of outputs; with fewer, transforming them costs what the multiplications save"""

_Matrix = Sequence[Sequence[float]]


class _Tiling(NamedTuple):
    """Pixels a side of an output tile, and the matrices B^T, G and A^T of the paper."""

    side: int
    image: _Matrix
    kernel: _Matrix
    output: _Matrix

    @property
    def patch(self) -> int:
        """Pixels a side of what a tile is computed from."""
        return self.side + 2


_SMALL = _Tiling(
    side=2,
    image=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    kernel=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    output=((1, 1, 1, 0), (0, 1, -1, -1)),
)
_LARGE = _Tiling(
    side=4,
    image=(
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    kernel=(
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    output=((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
)


def serves(given: Convolution) -> bool:
    """Whether a convolution is one that is faster so: on a CPU, of whole tiles and enough channels."""
    x, weight = given.x, given.weight
    return (
        x.device.type == "cpu"
        and tuple(weight.shape[2:]) == (3, 3)
        and {*given.stride, *given.padding, *given.dilation, given.groups} == {1}
        and not given.transposed
        and x.dtype == torch.float32
        and min(weight.shape[:2]) >= FEWEST_CHANNELS
        and all(side % _LARGE.side == 0 for side in x.shape[2:])
    )


def convolution(x: Tensor, weight: Tensor) -> Tensor:
    """x (batch, channels, height, width), weight (out, channels, 3, 3) to (batch, out, height, width), padded by 1."""
    how = _SMALL
    products = _apart(torch.bmm(_of_image(x, how), _of_kernel(weight, how).mT), x, how)
    rows = torch.stack(_combined(how.output, products.unbind(0)), 4)
    tiles = torch.stack(_combined(how.output, rows.unbind(0)), 2)  # (batch, down, side, along, side, out)
    return tiles.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def gradient_of_image(gradient: Tensor, weight: Tensor) -> Tensor:
    """What a gradient (batch, out, height, width) of `convolution` is for x."""
    how = _LARGE
    products = _apart(torch.bmm(_of_output(gradient, how), _of_kernel(weight, how)), gradient, how)
    rows = _overlapped(_combined(_transposed(how.image), products.unbind(0)), 3)
    image = _overlapped(_combined(_transposed(how.image), rows.unbind(0)), 1)
    return image.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def gradient_of_kernel(gradient: Tensor, x: Tensor) -> Tensor:
    """What a gradient (batch, out, height, width) of `convolution` is for the weight."""
    how = _LARGE
    products = torch.bmm(_of_output(gradient, how).mT, _of_image(x, how)).unflatten(0, (how.patch, how.patch))
    rows = torch.stack(_combined(_transposed(how.kernel), products.unbind(0)), 2)  # (patch, out, 3, channels)
    return torch.stack(_combined(_transposed(how.kernel), rows.unbind(0)), 1).permute(0, 3, 1, 2)


def _apart(products: Tensor, x: Tensor, how: _Tiling) -> Tensor:
    """(patch * patch, tiles, channels) to (patch, patch, batch, down, along, channels)"""
    return products.view(how.patch, how.patch, len(x), x.shape[2] // how.side, x.shape[3] // how.side, -1)


def _of_image(x: Tensor, how: _Tiling) -> Tensor:
    """(patch * patch, tiles, channels)"""
    height, width = x.shape[2:]
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    x = torch.stack(_combined(how.image, [x[:, i : i + height - how.side + 1 : how.side] for i in range(how.patch)]))
    seen = [x[:, :, :, i : i + width - how.side + 1 : how.side] for i in range(how.patch)]
    return torch.stack(_combined(how.image, seen)).view(how.patch**2, -1, x.shape[-1])


def _of_kernel(weight: Tensor, how: _Tiling) -> Tensor:
    """(patch * patch, out, channels)"""
    rows = torch.stack(_combined(how.kernel, weight.permute(2, 3, 0, 1).unbind(0)))  # (patch, 3, out, channels)
    return torch.stack(_combined(how.kernel, rows.unbind(1))).flatten(0, 1)


def _of_output(gradient: Tensor, how: _Tiling) -> Tensor:
    """(patch * patch, tiles, out)"""
    tiles = gradient.permute(0, 2, 3, 1).unflatten(2, (-1, how.side)).unflatten(1, (-1, how.side))
    rows = torch.stack(_combined(_transposed(how.output), tiles.unbind(2)))  # (patch, batch, down, along, side, out)
    columns = torch.stack(_combined(_transposed(how.output), rows.unbind(4)))
    return columns.view(how.patch**2, -1, gradient.shape[1])


def _overlapped(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Parts of patches that overlap by two pixels along `dim`, summed: a tile's pixels in a new dimension."""
    pads = [0, 0] * (parts[0].ndim - dim - 1)
    after, first, *middle, last, before = parts
    first = first + F.pad(before.narrow(dim, 0, before.shape[dim] - 1), [*pads, 1, 0])
    last = last + F.pad(after.narrow(dim, 1, after.shape[dim] - 1), [*pads, 0, 1])
    return torch.stack([first, *middle, last], dim + 1)


def _combined(matrix: _Matrix, parts: Sequence[Tensor]) -> list[Tensor]:
    """For each row of the matrix, the sum of the parts times the row's numbers."""
    terms = ([part * n for n, part in zip(row, parts, strict=True) if n] for row in matrix)
    return [functools.reduce(torch.add, its) for its in terms]


def _transposed(matrix: _Matrix) -> _Matrix:
    return tuple(zip(*matrix, strict=True))
