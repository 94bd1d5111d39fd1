"""The multiply-accumulates of an experience: training steps, each kind counted once, and what is done around them."""

from collections import Counter
from collections.abc import Hashable

from clhyper.evaluation.counter import Macs, OperationCounter
from clhyper.parts import PARTS


class Work:
    """Adds up multiply-accumulates by part of training.

    `steps`: how many steps of each kind were taken. `watching`: whether a counter is on.
    """

    def __init__(self) -> None:
        self.steps: Counter[Hashable] = Counter()
        self._of_step: dict[Hashable, Macs] = {}
        self._around: Counter[str] = Counter()
        self._counter: OperationCounter | None = None

    @property
    def watching(self) -> bool:
        return self._counter is not None

    def watch(self) -> None:
        """Counts from now on."""
        self._counter = OperationCounter()
        self._counter.__enter__()

    def unwatch(self) -> None:
        """What was counted lies around steps; nothing happens if no counter is on."""
        if self._counter is not None:
            self._around.update(self._counted())

    def knows(self, kind: Hashable) -> bool:
        """Whether a step of this kind has been counted."""
        return kind in self._of_step

    def unwatch_step(self, kind: Hashable) -> None:
        """What was counted is a step of this kind."""
        self._of_step[kind] = self._counted()

    def add_steps(self, kind: Hashable, macs: Macs, times: int) -> None:
        """Steps of a kind that were taken, and what one of them is."""
        self.steps[kind] += times
        self._of_step[kind] = macs

    def add_around(self, macs: Macs, times: int) -> None:
        """Work that isn't a step."""
        self._around.update({part: count * times for part, count in macs.items()})

    def macs(self) -> Macs:
        """All so far."""
        total = self._around.copy()
        for kind, times in self.steps.items():
            total.update({part: count * times for part, count in self._of_step[kind].items()})
        return {part: total[part] for part in PARTS}

    def _counted(self) -> Macs:
        counter, self._counter = self._counter, None
        assert counter is not None
        counter.__exit__(None, None, None)
        return counter.macs()
