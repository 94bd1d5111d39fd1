"""Evaluates a trained run again: its accuracies beside those it recorded, and the costs of its use here."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clhyper.evaluation import AccuracyMatrix, CostMeter
from clhyper.evaluation.cost import COSTS
from clhyper.measures import ACCURACY, MEASURES, Measure
from clhyper.runs.run import environment, measure_use
from clhyper.runs.trained import trained

_USE = ("generation_ms", "batch_ms", "bytes_per_task")


@dataclass(frozen=True)
class Evaluation:
    """Accuracies on each test experience (fractions, None where it hasn't been learned) and the costs of use.

    `measure`: bits in place of accuracies where the stream is measured so.

    `classes`, `images`: the data set's classes in each experience, and the number of images evaluated.
    `same_data`: whether the images are those that the run was evaluated on; only then can accuracies be equal.
    `use`: milliseconds and bytes by the names in `clhyper.evaluation.cost.COSTS`, and `reasons` for those not had.
    """

    run: str
    evaluated_on: str
    data: str
    same_data: bool
    classes: list[list[int]]
    images: list[int]
    accuracy: list[float | None]
    recorded: list[float | None]
    use: dict[str, Any]
    environment: dict[str, Any]
    measure: str = "accuracy"

    @property
    def mean(self) -> float | None:
        return _mean(self.accuracy)

    @property
    def recorded_mean(self) -> float | None:
        return _mean(self.recorded)

    @property
    def different(self) -> list[int]:
        """Experiences whose accuracy is not the recorded one."""
        return [i for i, (now, then) in enumerate(zip(self.accuracy, self.recorded, strict=True)) if now != then]

    @property
    def sentence(self) -> str:
        """Whether the accuracies are those that the run recorded, in words."""
        if not self.same_data:
            return "other images than the run was evaluated on, so its recorded accuracies are only to compare with"
        if not self.different:
            return f"equal to the recorded accuracies on the same {self.evaluated_on} images"
        measure = MEASURES[self.measure]
        gaps = ", ".join(f"{i} ({_gap(self.accuracy[i], self.recorded[i], measure)})" for i in self.different)
        return f"differs from the recorded accuracies in experience {gaps}, on the same {self.evaluated_on} images"

    def use_in_words(self) -> dict[str, str]:
        """Each cost of use: what it is, and its value or why there is none."""
        return {
            COSTS[name]: self.use["reasons"].get(name) or (f"{self.use[name]:.3f}" if "ms" in name else f"{value}")
            for name in _USE
            for value in [self.use[name]]
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            **dataclasses.asdict(self),
            "mean": self.mean,
            "recorded_mean": self.recorded_mean,
            "equal": not self.different if self.same_data else None,
        }


def evaluate(run: Path, data: Path | None = None, device: str = "cpu") -> Evaluation:
    """Evaluates a run's model on its test images, or on other ones in `data`; raises `UserError` as `trained` does."""
    found = trained(run, data, device)
    torch.set_num_threads(found.config.threads)
    for experience in found.stream.eval_stream:
        images = experience.images
        images.preparation = dataclasses.replace(images.preparation, mean=found.mean, std=found.std)
    matrix, meter = AccuracyMatrix(measure=found.stream.measure), CostMeter()
    found.strategy.plugins.append(matrix)
    found.strategy.eval(found.stream.eval_stream)
    measure_use(found.strategy, found.stream, meter)
    (row,) = matrix.rows.values()
    experiences = list(found.stream.eval_stream)
    return Evaluation(
        run=found.folder.absolute().name,
        evaluated_on=found.stream.evaluated_on,
        data=found.stream.images.fingerprint,
        same_data=found.same_data,
        classes=[list(experience.original_classes) for experience in experiences],
        images=[len(experience.images) for experience in experiences],
        accuracy=row + [None] * (len(experiences) - len(row)),
        recorded=found.recorded,
        use=meter.use,
        environment=environment(torch.device(device)),
        measure=found.stream.measure.name,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _gap(now: float | None, then: float | None, measure: Measure) -> str:
    if now is None or then is None:
        return "not recorded"
    return f"{measure.factor * (now - then):+.2f} {'points' if measure is ACCURACY else measure.unit}"
