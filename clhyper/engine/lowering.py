"""How operators of a traced step are rewritten before it is compiled.

Convolutions become what is faster: on a GPU the kernels of `small_convolution`, on a CPU Winograd's algorithm or, of
1x1 that skip pixels, a matrix product.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import get_decompositions
from torch.nn import functional as F

from clhyper.engine import arithmetic, small_convolution, winograd
from clhyper.engine.convolutions import Convolution

aten = torch.ops.aten

FEWEST_SEEN = 36
"""numbers that an output pixel sees, from which a convolution of 1x1 is a matrix product on a CPU"""
_REARRANGING = {
    aten.detach.default,
    aten.slice.Tensor,
    aten.permute.default,
    aten.clone.default,
    aten.reshape.default,
}


def convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Any:
    """A convolution by our kernels, by Winograd's algorithm or as one product; NotImplemented where none serves.

    settings: those of `Convolution`.
    """
    given = Convolution(x, weight, *settings)
    if small_convolution.serves(given):
        return small_convolution.convolution(x, weight, bias, given.stride[0], given.padding[0])
    if winograd.serves(given):
        out = winograd.convolution(x, weight)
    elif _is_product(given):
        out = F.linear(_seen(given), weight[:, :, 0, 0]).permute(0, 3, 1, 2)
    else:
        return NotImplemented
    return out if bias is None else out + bias[:, None, None]


def convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, bias_sizes: list[int] | None, *settings: Any
) -> Any:
    """Gradients of `convolution`, or NotImplemented; settings: those of `Convolution`, and which are asked for."""
    *others, output_mask = settings
    given = Convolution(x, weight, *others)
    of_x = of_weight = None
    if small_convolution.serves(given):
        how = given.stride[0], given.padding[0]
        of_x = small_convolution.gradient_of_image(gradient, x, weight, *how) if output_mask[0] else None
        of_weight = small_convolution.gradient_of_kernel(gradient, x, weight, *how) if output_mask[1] else None
    elif winograd.serves(given):
        of_x = winograd.gradient_of_image(gradient, weight) if output_mask[0] else None
        of_weight = winograd.gradient_of_kernel(gradient, x) if output_mask[1] else None
    elif _is_product(given):
        rows = gradient.permute(0, 2, 3, 1)
        if output_mask[0]:
            of_x = _spread(rows @ weight[:, :, 0, 0], given)
        if output_mask[1]:
            of_weight = (rows.flatten(0, 2).T @ _seen(given).flatten(0, 2))[:, :, None, None]
    else:
        return NotImplemented
    return of_x, of_weight, gradient.sum((0, 2, 3)) if output_mask[2] else None


def _is_product(given: Convolution) -> bool:
    """Whether a convolution on a CPU is a product of some of the pixels, in which oneDNN is slower."""
    x, weight = given.x, given.weight
    alone = x.device.type == "cpu" and x.ndim == 4 and weight.shape[2:].numel() == 1 and max(given.stride) > 1
    plain = not given.transposed and given.groups == 1 and not any(given.padding)
    return alone and plain and len(weight[0]) >= FEWEST_SEEN


def _seen(given: Convolution) -> Tensor:
    """The pixels that a kernel of 1x1 sees: (batch, height, width, channels)."""
    down, along = given.stride
    return given.x[:, :, ::down, ::along].permute(0, 2, 3, 1)


def _spread(rows: Tensor, given: Convolution) -> Tensor:
    """The adjoint of `_seen`: zeros in between."""
    x, stride = given.x, given.stride
    part = rows.permute(0, 3, 1, 2)
    for dim in (2, 3):
        shape = [*part.shape[:dim], x.shape[dim], *part.shape[dim + 1 :]]
        part = aten.slice_backward(part, shape, dim, 0, x.shape[dim], stride[dim - 2])
    return part


def loosen_views(graph: fx.Graph) -> None:
    """Lets the compiler choose strides, for which a view may have to be a copy; changes the graph."""
    for node in graph.nodes:
        if node.target in (aten.view.default, aten._unsafe_view.default):
            node.target = aten.reshape.default


def merge_rearranged(graph: fx.Graph) -> None:
    """Rearranges numbers once where a graph does it twice, forward and for the weight's gradient; changes the graph.

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
        if node.target not in _REARRANGING or node in written or written.intersection(node.all_input_nodes):
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
    known[aten.native_batch_norm.default] = arithmetic.batch_norm
    known[aten.native_batch_norm_backward.default] = arithmetic.batch_norm_backward
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
