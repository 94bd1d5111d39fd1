"""Which part of training is under way, told to counters of operations (`clhyper.evaluation.counter`) that are on."""

import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager

import torch

PARTS = ("front", "generation", "back", "drift", "other")

_PURPOSES = ("drift", "other")
"""parts that what they need belongs to: weights that are generated to take the drift are drift"""


@contextmanager
def part(name: str) -> Iterator[None]:
    """Inside, or in a function so decorated, the thread executes one of `PARTS`; within drift and other it is theirs.

    Backward passes need no telling: they belong to the part that their forward passes do.
    """
    trace = _watched.trace
    if trace is None or trace.under_way in _PURPOSES:
        yield
        return
    before = trace.under_way
    trace.turn_to(name)
    try:
        yield
    finally:
        trace.turn_to(before)


class Trace:
    """The parts that a thread executes, and those that the autograd nodes belong to which it makes meanwhile.

    Nodes are numbered in the order in which their thread makes them. Other threads may execute them.
    """

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._parts: list[str | None] = []
        self.turn_to(None)

    def turn_to(self, name: str | None) -> None:
        """What the thread executes from now on; None: no part was named."""
        self.under_way = name
        self._firsts.append(torch.autograd._get_sequence_nr())
        self._parts.append(name)

    @property
    def part(self) -> str:
        """Of `PARTS`, the one that the thread that asks works on: in a backward pass, that of the present node."""
        node = torch._C._current_autograd_node()
        if node is None:
            return self.under_way or "other"
        place = bisect_right(self._firsts, node._sequence_nr()) - 1
        return (self._parts[place] if place >= 0 else None) or "other"


class _Watched(threading.local):
    trace: Trace | None = None
    counters = 0


_watched = _Watched()


def begin_trace() -> Trace:
    """The present thread's trace, which all its counters share; `end_trace` as often as this."""
    if _watched.trace is None:
        _watched.trace = Trace()
    _watched.counters += 1
    return _watched.trace


def end_trace() -> None:
    """Without counters nothing is traced."""
    _watched.counters -= 1
    if not _watched.counters:
        _watched.trace = None
