"""What streams of images and of text share: an Avalanche benchmark that knows its data and what it is measured by."""

from collections.abc import Sequence
from typing import Any

from avalanche.benchmarks import CLScenario, EagerCLStream

from clhyper.measures import ACCURACY, Measure


class Stream(CLScenario):
    """An Avalanche benchmark (`train_stream`, `test_stream`) of a data set, `images`.

    `eval_stream`: what runs are evaluated on: the test stream, or held-out training data with `validation`.
    `measure`: what predictions are measured by.
    """

    measure: Measure = ACCURACY

    def __init__(self, name: str, images: Any, options: Any, streams: Sequence[EagerCLStream]) -> None:
        super().__init__(streams)
        self.name, self.images, self.options = name, images, options

    @property
    def evaluated_on(self) -> str:
        return "validation" if self.options.validation else "test"

    @property
    def eval_stream(self) -> EagerCLStream:
        return self.streams[self.evaluated_on]
