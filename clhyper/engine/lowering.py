"""How operators of a traced step are rewritten before it is compiled.

Convolutions of small images become matrix products: at a few thousand output pixels cuDNN's kernels leave most of a GPU
idle, and their weight gradients most of all.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import get_decompositions
from torch.nn import functional as F

from clhyper.engine import arithmetic, winograd

aten = torch.ops.aten

MOST_NUMBERS = 2**23
"""in a matrix of unfolded images, up to which a convolution is a matrix product"""
FEWEST_SEEN = 36
"""numbers that an output pixel sees, from which it is: with fewer the weight's gradient is one long sum"""
_UNFOLDING = {
    aten.detach.default,
    aten.constant_pad_nd.default,
    aten.slice.Tensor,
    aten.permute.default,
    aten.stack.default,
    aten.clone.default,
    aten.reshape.default,
}


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Any:
    """A convolution as one product of unfolded images or by Winograd's, or NotImplemented where neither serves."""
    if winograd.serves(x, weight, stride, padding, dilation, transposed, groups):
        out = winograd.convolution(x, weight)
        return out if bias is None else out + bias[:, None, None]
    if not _serves(x, weight, stride, padding, dilation, transposed, groups):
        return NotImplemented
    columns, height, width = _unfold(x, weight, stride, padding)
    out = columns @ _matrix(weight).T
    if bias is not None:
        out = out + bias
    return out.view(len(x), height, width, -1).permute(0, 3, 1, 2)


def convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: list[int] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    output_mask: list[bool],
) -> Any:
    """Gradients of `convolution` as products, or NotImplemented."""
    if winograd.serves(x, weight, stride, padding, dilation, transposed, groups):
        return (
            winograd.gradient_of_image(gradient, weight) if output_mask[0] else None,
            winograd.gradient_of_kernel(gradient, x) if output_mask[1] else None,
            gradient.sum((0, 2, 3)) if output_mask[2] else None,
        )
    if not _serves(x, weight, stride, padding, dilation, transposed, groups):
        return NotImplemented
    rows = gradient.permute(0, 2, 3, 1).reshape(-1, weight.shape[0])
    of_x = of_weight = of_bias = None
    if output_mask[0]:
        of_x = _fold(rows @ _matrix(weight), x, weight, stride, padding, gradient.shape[2:])
    if output_mask[1]:
        columns, _, _ = _unfold(x, weight, stride, padding)
        out_channels, channels, *kernel = weight.shape
        of_weight = (rows.T @ columns).view(out_channels, *kernel, channels).permute(0, 3, 1, 2)
    if output_mask[2]:
        of_bias = rows.sum(0)
    return of_x, of_weight, of_bias


def _serves(
    x: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    groups: int,
) -> bool:
    if x.ndim != 4 or transposed or groups != 1 or set(dilation) != {1}:
        return False
    if x.device.type == "cpu" and not (set(weight.shape[2:]) == {1} and max(stride) > 1):
        return False  # oneDNN is faster
    sides = [(x.shape[2 + i] + 2 * padding[i] - weight.shape[2 + i]) // stride[i] + 1 for i in range(2)]
    seen = weight[0].numel()
    return seen >= FEWEST_SEEN and len(x) * sides[0] * sides[1] * seen <= MOST_NUMBERS


def _matrix(weight: Tensor) -> Tensor:
    """(out, in, height, width) to (out, height * width * in), in the order of `_unfold`'s columns."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _taps(weight: Tensor) -> list[tuple[int, int]]:
    return [(i, j) for i in range(weight.shape[2]) for j in range(weight.shape[3])]


def _unfold(x: Tensor, weight: Tensor, stride: list[int], padding: list[int]) -> tuple[Tensor, int, int]:
    """What each output pixel sees: (batch * height * width, kernel * channels), and the output's height and width."""
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0])) if any(padding) else x
    height, width = ((x.shape[2 + i] - weight.shape[2 + i]) // stride[i] + 1 for i in range(2))
    seen = [_seen(x, i, j, height, width, stride).permute(0, 2, 3, 1) for i, j in _taps(weight)]
    columns = torch.stack(seen, 3) if len(seen) > 1 else seen[0]
    return columns.reshape(len(x) * height * width, -1), height, width


def _seen(x: Tensor, i: int, j: int, height: int, width: int, stride: list[int]) -> Tensor:
    """The part of padded images that tap (i, j) of the kernel sees."""
    return x[:, :, i : i + stride[0] * (height - 1) + 1 : stride[0], j : j + stride[1] * (width - 1) + 1 : stride[1]]


def _fold(
    columns: Tensor, x: Tensor, weight: Tensor, stride: list[int], padding: list[int], sides: torch.Size
) -> Tensor:
    """The adjoint of `_unfold`: every input pixel gets the sum of what was given to the columns that saw it."""
    batch, channels, height, width = x.shape
    parts = columns.view(batch, *sides, weight.shape[2] * weight.shape[3], channels)
    padded = [height + 2 * padding[0], width + 2 * padding[1]]
    total = None
    for number, (i, j) in enumerate(_taps(weight)):
        part = parts[..., number, :].permute(0, 3, 1, 2)
        placed = _placed(part, padded, i, j, stride)
        total = placed if total is None else total + placed
    assert total is not None
    return total[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width]


def _placed(part: Tensor, padded: list[int], i: int, j: int, stride: list[int]) -> Tensor:
    """(batch, channels, height, width) where tap (i, j) sees it in an otherwise empty padded image."""
    for dim, (start, step, size) in enumerate(((i, stride[0], padded[0]), (j, stride[1], padded[1])), start=2):
        end = start + step * (part.shape[dim] - 1) + 1
        shape = list(part.shape)
        shape[dim] = size
        part = aten.slice_backward(part, shape, dim, start, end, step)
    return part


def loosen_views(graph: fx.Graph) -> None:
    """Lets the compiler choose strides, for which a view may have to be a copy; changes the graph."""
    for node in graph.nodes:
        if node.target in (aten.view.default, aten._unsafe_view.default):
            node.target = aten.reshape.default


def merge_unfolded(graph: fx.Graph) -> None:
    """Unfolds images once where a graph does it twice, forward and for the weight's gradient; changes the graph.

    Only what rearranges numbers is merged, and only numbers that nothing writes to.
    """
    written = {
        argument
        for node in graph.nodes
        if node.op == "call_function" and getattr(getattr(node.target, "_schema", None), "is_mutable", False)
        for argument in node.all_input_nodes
    }
    first: dict[Any, fx.Node] = {}
    for node in list(graph.nodes):
        if node.target not in _UNFOLDING or node in written or written.intersection(node.all_input_nodes):
            continue
        if node.target == aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
            continue
        key = (node.target, repr(node.args), repr(node.kwargs))
        if key in first:
            node.replace_all_uses_with(first[key])
            graph.erase_node(node)
        else:
            first[key] = node


def _decompositions() -> dict[Any, Callable[..., Any]]:
    known: dict[Any, Callable[..., Any]] = dict(
        get_decompositions(
            [
                aten.native_batch_norm,
                aten.native_batch_norm_backward,
                aten.native_group_norm,
                aten.native_group_norm_backward,
                aten.cudnn_batch_norm,
                aten.cudnn_batch_norm_backward,
            ]
        )
    )
    known[aten.native_group_norm.default] = arithmetic.group_norm
    known[aten.native_group_norm_backward.default] = arithmetic.group_norm_backward
    known[aten.convolution.default] = convolution
    known[aten.convolution_backward.default] = convolution_backward
    for overload in ("default", "tensor_lr"):
        known[getattr(aten._fused_adam_, overload)] = arithmetic.adam
        known[getattr(aten._fused_adamw_, overload)] = arithmetic.adamw
    return known


DECOMPOSITIONS = _decompositions()
"""operator -> what it is rewritten to while a step is traced"""
