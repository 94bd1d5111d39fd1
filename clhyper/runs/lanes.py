"""How many runs a process has side by side: what is measured of them, and what follows from it. Needs no torch."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

LADDER = (1, 2, 4, 8, 16)
"""Numbers of runs side by side that `auto` tries (ours)."""
RISE = 1.1
"""More runs stay only if all together then make this many times the steps of fewer (ours)."""
MARGIN = 1.2
"""Free memory must be this many times what the new runs are expected to take (ours)."""
SECONDS = 4.0
"""Steps are counted for at least so long (ours)."""


class Throughput:
    """Steps a second of all lanes together, counted from when each of them has told of some. Safe between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self.restart(())

    def restart(self, lanes: Iterable[int]) -> None:
        """Counts anew, once each of `lanes` has told of steps: before that it loads, compiles or captures."""
        with self._lock:
            self._lanes = frozenset(lanes)
            self._silent = set(self._lanes)
            self._start: float | None = None
            self._steps = 0

    def add(self, lane: int, steps: int) -> None:
        """A lane has finished some steps."""
        with self._lock:
            if self._start is not None:
                self._steps += steps
            self._silent.discard(lane)
            if not self._silent and self._start is None:
                self._start, self._silent = self._clock(), set(self._lanes)

    def rate(self) -> float | None:
        """Steps a second, once `SECONDS` are over and each lane has told of steps since counting began; else None."""
        with self._lock:
            if self._start is None or self._silent:
                return None
            seconds = self._clock() - self._start
            return self._steps / seconds if seconds >= SECONDS else None


@dataclass(frozen=True)
class Seen:
    """So many lanes made `rate` steps a second together, and left `free` bytes on the device, None where unknown."""

    lanes: int
    rate: float
    free: float | None


def decide(history: Sequence[Seen]) -> int:
    """The number of lanes to go on with, after those seen so far; one that was seen already is final.

    The first entry is what there was before the first lane: none, rate 0, and the free memory.
    """
    if len(history) == 1:
        return LADDER[0]
    before, last = history[-2:]
    if last.rate < RISE * before.rate:
        return before.lanes
    wanted = next((lanes for lanes in LADDER if lanes > last.lanes), last.lanes)
    if before.free is None or last.free is None:
        return wanted
    each = max(before.free - last.free, 1.0) / (last.lanes - before.lanes)
    return min(wanted, last.lanes + int(max(last.free, 0.0) / (MARGIN * each)))


class Lane:
    """One of the runs side by side: how many there were at most while it ran."""

    def __init__(self) -> None:
        self.ever = self._lately = self._now = 0

    def beside(self, lanes: int) -> None:
        """There are so many now, itself included."""
        self._now = lanes
        self._lately, self.ever = max(self._lately, lanes), max(self.ever, lanes)

    def most(self) -> int:
        """The most that there were since this was last called."""
        found, self._lately = self._lately, self._now
        return found
