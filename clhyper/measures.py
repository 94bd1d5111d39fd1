"""What a stream measures predictions by: accuracy, or bits where each character of a text is predicted.

A stream names its measure; the matrix R, the metrics, the columns of results, tables and figures ask it. Imports
nothing heavy.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A number of each test experience, R[i, j].

    `words`: what it is. `unit`, `factor`, `digits`: how people read it, as the value times `factor`. `most`: the
    largest that a sound file can hold. `metrics`: names of the final mean, the forgetting, the backward and the forward
    transfer and the mean when learned. Forgetting is how much worse a number became than its best, and transfers are
    how much better: in bits, how far they rose from the least, and how far they fell.
    """

    name: str
    words: str
    unit: str
    factor: float
    digits: int
    less_is_better: bool
    most: float
    metrics: tuple[str, str, str, str, str]

    @property
    def less_is_better_of(self) -> tuple[str, ...]:
        """Those of its metrics that are better the lower they are."""
        final, forgetting, _, _, learned = self.metrics
        return (final, forgetting, learned) if self.less_is_better else (forgetting,)

    @property
    def signed(self) -> tuple[str, ...]:
        """Those of its metrics whose sign tells better from worse."""
        return self.metrics[2:4]


ACCURACY = Measure(
    "accuracy", "accuracy", "%", 100, 1, False, 1.0, ("acc", "forgetting", "bwt", "fwt", "learning_accuracy")
)
BITS = Measure(
    "bits", "bits per character", "bits", 1, 3, True, 1e3,
    ("bits", "bits_forgetting", "bits_bwt", "bits_fwt", "learning_bits"),
)  # fmt: skip
MEASURES = {one.name: one for one in (ACCURACY, BITS)}
LESS_IS_BETTER = (*ACCURACY.less_is_better_of, *BITS.less_is_better_of)
"""Metrics that are better the lower they are; of the others, more is better."""


def measure_of(metric: str) -> Measure:
    """The measure that a metric is of; of accuracy are all that aren't of another."""
    return next((one for one in MEASURES.values() if metric in one.metrics), ACCURACY)
