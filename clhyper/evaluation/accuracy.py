"""The accuracy matrix of a stream, or that of another measure, as an Avalanche plugin for any strategy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from avalanche.core import SupervisedPlugin
from torch import Tensor

from clhyper.evaluation.amounts import amount
from clhyper.evaluation.metrics import Measured, all_metrics
from clhyper.measures import ACCURACY, Measure

if TYPE_CHECKING:
    import pandas as pd


class AccuracyMatrix(SupervisedPlugin):
    """Evaluates on `stream` after every experience and keeps R[i][j]; or, without a stream, when the user calls `eval`.

    It also evaluates before the first epoch of the first experience, for forward transfer. An experience that the
    strategy can't predict yet, for want of a head or an embedding, stays None. Evaluation draws no random numbers.

    Args:
        stream: Experiences to evaluate on, in order.
        measure: What R holds: accuracies as fractions, or bits.
    """

    def __init__(self, stream: Sequence[Any] | None = None, measure: Measure = ACCURACY) -> None:
        super().__init__()
        self.stream, self.measure = stream, measure
        self.rows: dict[int, list[float | None]] = {}
        self.initial: list[float | None] | None = None
        self._row: list[float | None] | None = None
        self._sum: Any = 0
        self._total = 0

    @property
    def matrix(self) -> list[list[float | None]]:
        """R[i][j], of test experience j after training experience i: fractions of 1, or bits; or None."""
        width = max((len(row) for row in self.rows.values()), default=0)
        empty: list[float | None] = [None] * width
        return [
            self.rows.get(i, empty) + empty[len(self.rows.get(i, empty)) :]
            for i in range(max(self.rows, default=-1) + 1)
        ]

    def metrics(self) -> dict[str, float | None]:
        """The measure's metrics, such as acc and forgetting, in its unit; None where undefined (see `measured`)."""
        return {name: value for name, (value, _) in self.measured().items()}

    def frame(self) -> "pd.DataFrame":
        """R as a data frame: a row a training experience, a column a test experience, NaN where there is nothing."""
        import pandas as pd

        frame = pd.DataFrame(self.matrix, dtype=float)
        return frame.rename_axis(index="after", columns="on")

    def measured(self) -> dict[str, Measured]:
        """The metrics, each with the reason why it is None if it is."""
        return all_metrics(self.matrix, self.initial, self.measure)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        if self.stream is not None and self.initial is None and not self.rows:
            self.initial = self._evaluate(strategy)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        if self.stream is not None:
            self.rows[strategy.experience.current_experience] = self._evaluate(strategy)

    def _evaluate(self, strategy: Any) -> list[float | None]:
        assert self.stream is not None
        self._row = [None] * len(self.stream)
        strategy.eval(self.stream)
        row, self._row = self._row, None
        return row

    def before_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._sum, self._total = 0, 0

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self._sum = self._sum + amount(self.measure, strategy.mb_output, strategy.mb_y)
        self._total += strategy.mb_y.numel()

    def predicted(self, strategy: Any, predictions: Tensor, labels: Tensor) -> None:
        """Told of a whole experience, in place of its iterations: (images,) each, on the CPU."""
        self._sum, self._total = int((predictions == labels).sum()), len(labels)

    def after_eval_exp(self, strategy: Any, **kwargs: Any) -> None:
        if not self._total:
            return
        mean = float(self._sum) / self._total
        on = strategy.experience.current_experience
        row = self._row
        if row is None:
            row = self.rows.setdefault(max(strategy.clock.train_exp_counter - 1, 0), [])
        row.extend([None] * (on + 1 - len(row)))
        row[on] = mean

    def state(self) -> dict[str, Any]:
        """What `restore` puts back."""
        return {"rows": [[i, list(row)] for i, row in self.rows.items()], "initial": self.initial}

    def restore(self, state: dict[str, Any]) -> None:
        self.rows = {i: list(row) for i, row in state["rows"]}
        self.initial = state["initial"]
