"""Triton kernels of `small_convolution`: matrix products whose rows are gathered from images as they are needed.

The long side of each product is pixels; the depth, or for a gradient of a kernel the rows, are a kernel's taps times
channels, so that a number of channels that is no power of two wastes little.
"""

import functools
import math

import torch
import triton
from torch import Tensor
from triton import language as tl

from clhyper.engine.small_convolution import Blocks


def convolve(
    given: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    out: Tensor,
    stride: int,
    padding: int,
    exact: bool,
    blocks: Blocks,
    back: bool = False,
) -> None:
    """Fills `out` with a convolution of `given`; or, if `back`, with the image's gradient, from that of the output."""
    step = stride if back else 1
    rows = len(out) * math.ceil(out.shape[2] / step) * math.ceil(out.shape[3] / step)
    grid = (triton.cdiv(rows, blocks.rows), triton.cdiv(out.shape[1], blocks.columns), step * step)
    _convolve[grid](
        given, weight, bias, out, rows,
        *given.shape[1:], *out.shape[1:], weight.shape[1], stride, padding, back, _precision(exact), *blocks[:3],
        num_warps=blocks.warps, num_stages=_stages(out.device),
    )  # fmt: skip


def gather(gradient: Tensor, x: Tensor, parts: Tensor, stride: int, padding: int, exact: bool, blocks: Blocks) -> None:
    """Fills `parts` (parts, out channels, side, side, channels), each with what its share of the pixels adds."""
    count, _, side = parts.shape[:3]
    pixels = gradient.numel() // gradient.shape[1]
    share = triton.cdiv(triton.cdiv(pixels, count), blocks.depth) * blocks.depth
    seen = side * side * x.shape[1]
    grid = (triton.cdiv(gradient.shape[1], blocks.rows), triton.cdiv(seen, blocks.columns), count)
    _gather[grid](
        gradient, x, parts, pixels, share,
        *x.shape[1:], *gradient.shape[1:], side, stride, padding, _precision(exact), *blocks[:3],
        num_warps=blocks.warps, num_stages=_stages(x.device),
    )  # fmt: skip


def add(parts: Tensor, out: Tensor) -> None:
    """Fills `out` (out channels, channels, side, side) with the sum of what `gather` made, in a fixed order."""
    depth = min(32, triton.next_power_of_2(len(parts)))
    columns = 2048 // depth
    grid = (triton.cdiv(out.numel(), columns),)
    _add[grid](parts, out, len(parts), out.numel(), out.shape[1], out.shape[2:].numel(), columns, depth)


@functools.cache
def _stages(device: torch.device) -> int:
    """Blocks on their way to shared memory at once; three take up to 122,880 bytes of it, which not all have."""
    if device.type != "cuda":
        return 1
    has = triton.runtime.driver.active.utils.get_device_properties(device.index or 0)["max_shared_mem"]
    return 3 if has > 2**17 else 2


def _precision(exact: bool) -> str:
    return "ieee" if exact else "tf32"


@triton.jit(do_not_specialize=["rows"])
def _convolve(  # type: ignore[no-untyped-def]
    given,
    weight,
    bias,
    out,
    rows,
    channels: tl.constexpr,
    height: tl.constexpr,
    width: tl.constexpr,
    out_channels: tl.constexpr,
    out_height: tl.constexpr,
    out_width: tl.constexpr,
    side: tl.constexpr,
    stride: tl.constexpr,
    padding: tl.constexpr,
    back: tl.constexpr,
    precision: tl.constexpr,
    block_rows: tl.constexpr,
    block_columns: tl.constexpr,
    block_depth: tl.constexpr,
):
    """Backwards, pixels of an image that differ modulo the stride see different taps: each program has alike ones."""
    step: tl.constexpr = stride if back else 1
    down: tl.constexpr = (out_height + step - 1) // step
    along: tl.constexpr = (out_width + step - 1) // step
    row = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    column = tl.program_id(1) * block_columns + tl.arange(0, block_columns)
    image = row // (down * along)
    y = row // along % down * step + tl.program_id(2) // step
    x = row % along * step + tl.program_id(2) % step
    if back:
        first_y = (tl.program_id(2) // step + padding) % stride
        first_x = (tl.program_id(2) % step + padding) % stride
        taps_x = (side - first_x + stride - 1) // stride
        depth = (side - first_y + stride - 1) // stride * taps_x * channels
        from_y = (y + padding - first_y) // stride
        from_x = (x + padding - first_x) // stride
    else:
        first_y = 0
        first_x = 0
        taps_x = side
        depth = side * side * channels
        from_y = y * stride - padding
        from_x = x * stride - padding
    there = (row < rows) & (y < out_height) & (x < out_width)
    from_y = tl.where(there, from_y, -2 * height - side)  # outside of the image, whatever the tap
    base = ((image * height + from_y) * width + from_x) * channels
    total = tl.zeros((block_rows, block_columns), tl.float32)
    for start in range(0, depth, block_depth):
        k = start + tl.arange(0, block_depth)
        tap = k // channels
        channel = k % channels
        tap_y = tap // taps_x
        tap_x = tap % taps_x
        if back:
            move_y = -tap_y
            move_x = -tap_x
            tap = (first_y + stride * tap_y) * side + first_x + stride * tap_x
        else:
            move_y = tap_y
            move_x = tap_x
        seen_y = from_y[:, None] + move_y[None, :]
        seen_x = from_x[:, None] + move_x[None, :]
        inside = (seen_y.to(tl.uint32) < height) & (seen_x.to(tl.uint32) < width) & (k < depth)[None, :]
        move = (move_y * width + move_x) * channels + channel
        a = tl.load(given + (base[:, None] + move[None, :]), mask=inside, other=0.0)
        known = (k < depth)[:, None] & (column < out_channels)[None, :]
        of_weight = (tap * channels + channel)[:, None] + (column * (side * side * channels))[None, :]
        b = tl.load(weight + of_weight, mask=known, other=0.0)
        total = tl.dot(a, b, total, input_precision=precision)
    if bias is not None:
        total += tl.load(bias + column, mask=column < out_channels, other=0.0)[None, :]
    pixel = (image * out_height + y) * out_width + x
    kept = there[:, None] & (column < out_channels)[None, :]
    tl.store(out + (pixel * out_channels)[:, None] + column[None, :], total, mask=kept)


@triton.jit(do_not_specialize=["pixels", "share"])
def _gather(  # type: ignore[no-untyped-def]
    gradient,
    given,
    parts,
    pixels,
    share,
    channels: tl.constexpr,
    height: tl.constexpr,
    width: tl.constexpr,
    out_channels: tl.constexpr,
    out_height: tl.constexpr,
    out_width: tl.constexpr,
    side: tl.constexpr,
    stride: tl.constexpr,
    padding: tl.constexpr,
    precision: tl.constexpr,
    block_rows: tl.constexpr,
    block_columns: tl.constexpr,
    block_depth: tl.constexpr,
):
    seen: tl.constexpr = side * side * channels
    row = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    column = tl.program_id(1) * block_columns + tl.arange(0, block_columns)
    tap = column // channels
    tap_y = tap // side - padding
    tap_x = tap % side - padding
    move = (tap_y * width + tap_x) * channels + column % channels
    begin = tl.program_id(2) * share
    end = tl.minimum(begin + share, pixels)
    total = tl.zeros((block_rows, block_columns), tl.float32)
    for start in range(begin, end, block_depth):
        pixel = start + tl.arange(0, block_depth)
        known = (pixel < end)[:, None] & (row < out_channels)[None, :]
        a = tl.load(gradient + ((pixel * out_channels)[:, None] + row[None, :]), mask=known, other=0.0)
        image = pixel // (out_height * out_width)
        y = pixel // out_width % out_height * stride
        x = pixel % out_width * stride
        seen_y = y[:, None] + tap_y[None, :]
        seen_x = x[:, None] + tap_x[None, :]
        inside = (seen_y.to(tl.uint32) < height) & (seen_x.to(tl.uint32) < width)
        inside &= (pixel < end)[:, None] & (column < seen)[None, :]
        base = ((image * height + y) * width + x) * channels
        b = tl.load(given + (base[:, None] + move[None, :]), mask=inside, other=0.0)
        total = tl.dot(tl.trans(a), b, total, input_precision=precision)
    kept = (row < out_channels)[:, None] & (column < seen)[None, :]
    place = (tl.program_id(2) * out_channels + row)[:, None] * seen + column[None, :]
    tl.store(parts + place, total, mask=kept)


@triton.jit(do_not_specialize=["count"])
def _add(  # type: ignore[no-untyped-def]
    parts,
    out,
    count,
    numbers: tl.constexpr,
    channels: tl.constexpr,
    taps: tl.constexpr,
    block_columns: tl.constexpr,
    block_depth: tl.constexpr,
):
    """Adjacent numbers are read together; that they are scattered as they are written costs less than the converse."""
    column = tl.program_id(0) * block_columns + tl.arange(0, block_columns)
    total = tl.zeros((block_columns,), tl.float32)
    for start in range(0, count, block_depth):
        part = start + tl.arange(0, block_depth)
        known = (part < count)[:, None] & (column < numbers)[None, :]
        total += tl.sum(tl.load(parts + part[:, None] * numbers + column[None, :], mask=known, other=0.0), 0)
    row = column // (taps * channels)
    place = (row * channels + column % channels) * taps + column // channels % taps
    tl.store(out + place, total, mask=column < numbers)
