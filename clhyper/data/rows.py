"""Where batches take their rows from: a tensor on the device, or a reader that is a few blocks ahead."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor

from clhyper.threads import turns

BLOCKS_AHEAD = 2
"""blocks read before they are asked for: one that is being read while the other is being copied"""


class Rows(Protocol):
    """Rows (rows, ...) of an experience's images or features, given block by block on the device."""

    def blocks(self, rows: Tensor, size: int) -> Iterator[Tensor]:
        """The chosen rows, a LongTensor (n,) on the CPU, `size` at a time."""

    def in_order(self, size: int) -> Iterator[Tensor]:
        """All rows, `size` at a time."""


class OnDevice:
    """Rows of a tensor that is on the device.

    x: (rows, ...).
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def blocks(self, rows: Tensor, size: int) -> Iterator[Tensor]:
        for chosen in rows.to(self.x.device).split(size):
            yield self.x[chosen]

    def in_order(self, size: int) -> Iterator[Tensor]:
        yield from self.x.split(size)


class Loader:
    """Rows read from where images are stored, by a thread that is a few blocks ahead: memory holds those alone.

    A thread in place of worker processes: what it does (NumPy's copy of rows, the wait for the disk, the copy to
    pinned memory) lets other threads run, and it works inside sweeps' processes and threads, where a fork would copy
    locks and CUDA's state, and a new interpreter would take seconds and a copy of memory-mapped images.

    images: has `x(rows)`, uint8 (n, channels, height, width).
    """

    def __init__(self, images: Any, device: torch.device) -> None:
        self.images, self.device = images, device

    def blocks(self, rows: Tensor, size: int) -> Iterator[Tensor]:
        waiting: deque[Future[Tensor]] = deque()
        with ThreadPoolExecutor(1) as reader:
            for chosen in rows.split(size):
                waiting.append(reader.submit(self._read, chosen))
                if len(waiting) > BLOCKS_AHEAD:
                    yield self._waited_for(waiting.popleft())
            while waiting:
                yield self._waited_for(waiting.popleft())

    def in_order(self, size: int) -> Iterator[Tensor]:
        return self.blocks(torch.arange(len(self.images)), size)

    def _waited_for(self, block: Future[Tensor]) -> Tensor:
        with turns.away():  # the reader may have to stand still until this thread does
            x = block.result()
        return x.to(self.device, non_blocking=True)

    def _read(self, chosen: Tensor) -> Tensor:
        pinned = self.device.type == "cuda"
        with turns.working(), torch.cuda.device(self.device) if pinned else nullcontext():
            x = self.images.x(chosen)
            return x.pin_memory() if pinned else x


def gathered(parts: Iterator[Tensor], count: int) -> Tensor:
    """Parts (n, ...) one after another as one tensor (count, ...), of which there is never a second copy."""
    first = next(parts)
    if len(first) == count:
        return first
    whole = torch.empty_like(first[:1].expand(count, *first.shape[1:]), memory_format=_memory_format(first))
    whole[: len(first)] = first
    start = len(first)
    for part in parts:
        whole[start : start + len(part)] = part
        start += len(part)
    return whole


def _memory_format(x: Tensor) -> torch.memory_format:
    last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
