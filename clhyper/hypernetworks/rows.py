"""Matrices whose rows belong to many layers, and the few products that serve all layers at once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, inverse: Tensor, real: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return rows.index_select(0, index).mul_(real)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (inverse,) = ctx.saved_tensors
        return gradients[0].index_select(0, inverse), None, None, None


class Gather(nn.Module):
    """Puts the rows of a matrix into blocks padded with zeros: (rows, width) to (places, width).

    Its gradient gathers too, where that of indexing would scatter with atomics, in no certain order.

    Args:
        blocks: The rows of each block, in its order; every row is in exactly one block.
        sizes: Places in each block, at least as many as it has rows.
    """

    def __init__(self, blocks: Sequence[Tensor], sizes: Sequence[int]) -> None:
        super().__init__()
        self.real: Tensor
        padded = [F.pad(rows, (0, size - len(rows)), value=-1) for rows, size in zip(blocks, sizes, strict=True)]
        index = torch.cat([torch.empty(0, dtype=torch.long), *padded])
        places = (index >= 0).nonzero()[:, 0]
        self.register_buffer("index", index.clamp(min=0), persistent=False)
        self.register_buffer("inverse", places[index[places].argsort()], persistent=False)
        self.register_buffer("real", (index >= 0).to(torch.get_default_dtype())[:, None], persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        gathered: Any = _Gather.apply(rows, self.index, self.inverse, self.real)
        return gathered


class _SquaredProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, owner: Tensor | None, among: Tensor | None) -> Tensor:
        gram_x, gram_y = x.mT @ x, _sums(y.mT @ y, owner)
        ctx.save_for_backward(x, y, gram_x, gram_y, owner, among)
        return _weighted(gram_x * gram_y, among).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, y, gram_x, gram_y, owner, among = ctx.saved_tensors
        twice = 2 * gradients[0]
        of_each = _sums(_weighted(twice * gram_x, among), None if owner is None else owner.T)
        of_among = gradients[0] * gram_x * gram_y if ctx.needs_input_grad[3] else None
        return x @ _weighted(twice * gram_y, among), y @ of_each, None, of_among


def _weighted(grams: Tensor, among: Tensor | None) -> Tensor:
    return grams if among is None else grams * among


def _sums(grams: Tensor, weights: Tensor | None) -> Tensor:
    return grams if weights is None else (weights @ grams.flatten(1)).view(-1, *grams.shape[1:])


def squared_product(x: Tensor, y: Tensor, owner: Tensor | None = None, among: Tensor | None = None) -> Tensor:
    """|x y^T|^2 for x (rows, width) and y (other rows, width), or its sum over a batch of them.

    It is <x^T x, y^T y>, so x y^T isn't built. Its error is relative to the squares of the terms in the products' sums:
    where these cancel it may be negative by as much.

    Args:
        x: (rows, width), or (layers, rows, width).
        y: (other rows, width), or (tiles, other rows, width).
        owner: (layers, tiles), 1 where a tile is the layer's, else 0; without it, each layer has one tile.
        among: (width, width), or (layers, width, width), sum over s of d_s d_s^T: the result is then the sum over s of
            |x diag(d_s) y^T|^2.
    """
    product: Any = _SquaredProduct.apply(x, y, owner, among)
    return product
