"""What the runs side by side in a process have only once, and how they take turns at it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

process = threading.RLock()
"""Held by a thread that changes what all threads see: torch's random state, or modules while torch traces some."""


class Turns:
    """Threads that work on a device at the same time, of which one can ask the others to stand still.

    While one captures a CUDA graph, others may replay theirs, but don't allocate, copy or launch anything: captures and
    allocations of several threads at once are little tried. A thread is at work inside `working`; there it calls `rest`
    often, every few steps.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at_work: dict[int, int] = {}
        self._alone: int | None = None
        self._asking = 0

    @contextmanager
    def working(self) -> Iterator[None]:
        """Inside, this thread is at work; may be nested."""
        self._enter(1)
        try:
            yield
        finally:
            self._leave()

    def rest(self) -> None:
        """Stands still while another thread is to be alone."""
        if self._asking and self._alone != threading.get_ident():
            depth = self._leave(entirely=True)
            if depth:
                self._enter(depth)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside, no other thread is at work; waits until all of them rest. Not to be entered with a lock held."""
        depth = self._leave(entirely=True)
        with self._changed:
            self._asking += 1
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._alone is None and not self._at_work)
                self._alone = threading.get_ident()
            yield
        finally:
            with self._changed:
                if self._alone == threading.get_ident():
                    self._alone = None
                self._asking -= 1
                if depth:
                    self._at_work[threading.get_ident()] = depth
                self._changed.notify_all()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside, this thread is not at work, since it waits for another."""
        depth = self._leave(entirely=True)
        try:
            yield
        finally:
            if depth:
                self._enter(depth)

    def _enter(self, depth: int) -> None:
        thread = threading.get_ident()
        with self._changed:
            if thread not in self._at_work and self._alone != thread:
                self._changed.wait_for(lambda: not self._asking)
            self._at_work[thread] = self._at_work.get(thread, 0) + depth

    def _leave(self, entirely: bool = False) -> int:
        """Returns how deep the thread was at work."""
        thread = threading.get_ident()
        with self._changed:
            depth = self._at_work.pop(thread, 0)
            if depth > 1 and not entirely:
                self._at_work[thread] = depth - 1
            self._changed.notify_all()
        return depth


turns = Turns()
