"""A plugin that tells of a run while it goes on."""

import time
from collections.abc import Callable
from typing import Any

from avalanche.core import SupervisedPlugin

from clhyper.evaluation import AccuracyMatrix
from clhyper.runs.outcome import Progress

_SECONDS_BETWEEN = 0.5


class ProgressReporter(SupervisedPlugin):
    """Avalanche plugin that calls `report` with a `Progress` after every epoch and about twice a second.

    Args:
        report: Receives the progress.
        experiences: Trainings that the stream consists of.
        accuracy: Where the accuracy so far is read.
        steps: Told, after every epoch, of its steps.
    """

    def __init__(
        self,
        report: Callable[[Progress], None],
        experiences: int,
        accuracy: AccuracyMatrix,
        steps: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__()
        self.report, self.experiences, self.accuracy, self.steps = report, experiences, accuracy, steps
        self._last = 0.0

    works_in_blocks = True

    def steps_taken(self, strategy: Any, steps: int) -> None:
        """Steps were taken without hooks between them."""
        self.after_training_iteration(strategy)

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        if time.monotonic() - self._last > _SECONDS_BETWEEN:
            self._tell(strategy, strategy.clock.train_exp_epochs)

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        if self.steps:
            self.steps(len(strategy.dataloader))
        self._tell(strategy, strategy.clock.train_exp_epochs + 1)

    def _tell(self, strategy: Any, epochs_done: int) -> None:
        self._last = time.monotonic()
        learned = strategy.clock.train_exp_counter
        row = next(reversed(self.accuracy.rows.values()), [])
        known = [value for value in row if value is not None]
        self.report(
            Progress(
                done=learned * strategy.train_epochs + epochs_done,
                total=self.experiences * strategy.train_epochs,
                experience=learned + 1,
                experiences=self.experiences,
                epoch=min(epochs_done + 1, strategy.train_epochs),
                epochs=strategy.train_epochs,
                loss=float(strategy.loss.detach()),
                accuracy=sum(known) / len(known) if known else None,
                measure=self.accuracy.measure.name,
            )
        )
