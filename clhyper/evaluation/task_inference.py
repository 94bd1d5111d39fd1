"""Accuracy where the task of a test image isn't told but inferred, as an Avalanche plugin for our strategies."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from clhyper.backbones.model import classes_by_task
from clhyper.backbones.together import or_alone
from clhyper.evaluation.feature_statistics import FeatureStatistics, pooled
from clhyper.evaluation.metrics import Measured
from clhyper.threads import turns

METHODS = ("entropy", "features")
MEASURES = ("class_incremental_accuracy", "task_inference_accuracy")


class TaskInference(SupervisedPlugin):
    """Infers the task of every test image once all tasks are learned, and predicts by the inferred task's network.

    By `entropy`: the task whose network predicts with the lowest entropy (HNET+ENT: von Oswald, Henning, Grewe and
    Sacramento, "Continual learning with hypernetworks", ICLR 2020). By `features`: the task with the class whose mean
    is nearest to the frozen front's features (`FeatureStatistics`); statistics are taken of each experience's training
    images, as a part of its training.

    It is to stand before the plugins that evaluate and that measure costs, so that it infers in the evaluation at the
    end, apart from training, and that what it takes and keeps in training is counted.

    Args:
        stream: Test experiences of a `clhyper` stream, in order.
    """

    def __init__(self, stream: Sequence[Any]) -> None:
        super().__init__()
        self.stream = stream
        self.tasks = list(dict.fromkeys(task for experience in stream for task in classes_by_task(experience)))
        self.statistics = FeatureStatistics()
        self.accuracies: dict[str, float] = {}

    def measured(self) -> dict[str, Measured]:
        """`class_incremental_accuracy` and `task_inference_accuracy`, `_by_entropy` and `_by_features`.

        Means over test experiences of the share of images whose class of the data set, or whose task, was right:
        fractions, or None and the reason.
        """
        found: dict[str, Measured] = {}
        for method in METHODS:
            reason = self._why_not(method)
            for name in MEASURES:
                key = f"{name}_by_{method}"
                found[key] = (None, reason) if reason else (self.accuracies[key], None)
        return found

    def _why_not(self, method: str) -> str | None:
        if self._has_a_label_a_step:
            return "each step of a sequence has a label of its own, and no class or task is predicted for the whole"
        if len(self.stream) == 1:
            return "a stream of one experience leaves no task to infer"
        if len(self.tasks) == 1:
            return "without task labels no task is to be inferred, and ACC is over all classes already"
        if self._has_an_experience_of_several_tasks:
            return "an experience of several tasks doesn't say which of the data set's classes are whose"
        if method == "entropy" and self._has_a_task_of_one_class:
            return "a task of one class is always predicted with no entropy"
        if method == "features" and not self._has_statistics:
            return "no statistics of a frozen front's features of every task; at freeze depth 0 there is no front"
        return None if f"{MEASURES[0]}_by_{method}" in self.accuracies else "not evaluated when all tasks were learned"

    @property
    def _has_a_label_a_step(self) -> bool:
        return any(
            getattr(experience, "images", None) is not None and experience.images.labels.dim() > 1
            for experience in self.stream
        )

    @property
    def _has_a_task_of_one_class(self) -> bool:
        return any(len(classes) == 1 for experience in self.stream for classes in classes_by_task(experience).values())

    @property
    def _has_an_experience_of_several_tasks(self) -> bool:
        return any(len(classes_by_task(experience)) > 1 for experience in self.stream)

    @property
    def _has_statistics(self) -> bool:
        return set(self.tasks) <= set(self.statistics.tasks.tolist())

    @torch.no_grad()
    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Takes statistics of the experience's features."""
        if strategy.freeze_depth == 0 or len(self.tasks) == 1:
            return
        images = strategy.experience.images
        features = [pooled(part) for part in strategy.supply.features_in_order(images, strategy.eval_mb_size)]
        labels, tasks = images.labels.to(strategy.device), images.tasks.to(strategy.device)
        self.statistics.to(strategy.device).add(torch.cat(features), labels, tasks)

    def after_eval(self, strategy: Any, **kwargs: Any) -> None:
        if len(self.tasks) == 1 or self._has_an_experience_of_several_tasks or self._has_a_label_a_step:
            return
        if all(strategy.model.knows(experience) for experience in self.stream):
            self.accuracies = self._infer(strategy)

    @torch.no_grad()
    def _infer(self, strategy: Any) -> dict[str, float]:
        """Means over experiences of the share of images that are right, for each measure that can be had."""
        model, device = strategy.model, strategy.device
        tasks, classes = torch.tensor(self.tasks, device=device), self._classes().to(device)
        every_task = model.every_task(self.tasks)
        nearest_task = self.statistics.to(device).nearest_task() if self._has_statistics else None
        shares: defaultdict[str, list[float]] = defaultdict(list)
        for experience in self.stream:
            turns.rest()
            right: defaultdict[str, Any] = defaultdict(int)
            batches = strategy.supply.evaluation(experience.images)
            for x, y, of in batches:
                features = x if batches.are_features else model.features(x)
                logits = or_alone(
                    partial(every_task, features), partial(model.one_by_one, features, self.tasks), strategy.notice
                )
                inferred = {"entropy": entropy(logits).argmin(dim=0)}
                if nearest_task is not None:
                    inferred["features"] = _position(nearest_task(pooled(features)), tasks)
                predicted, own = classes.gather(1, logits.argmax(dim=2)), _position(of, tasks)
                for method, chosen in inferred.items():
                    same_class = predicted.gather(0, chosen[None])[0] == classes[own, y]
                    for name, hits in zip(MEASURES, (same_class, chosen == own), strict=True):
                        right[f"{name}_by_{method}"] += hits.sum()
            for name, count in right.items():
                shares[name].append(int(count) / len(experience.images))
        return {name: sum(values) / len(values) for name, values in shares.items()}

    def _classes(self) -> Tensor:
        """(tasks, outputs): the data set's class that each output of each task stands for, -1 for none.

        Of experiences of one task each, whose labels are in the order of its `original_classes`.
        """
        pairs = {
            (task, label): original
            for experience in self.stream
            for task, labels in classes_by_task(experience).items()
            for label, original in zip(labels, experience.original_classes, strict=True)
        }
        width = max(label for _, label in pairs) + 1
        return torch.tensor([[pairs.get((task, label), -1) for label in range(width)] for task in self.tasks])

    def kept_tensors(self) -> Iterable[Tensor]:
        """What must stay to infer tasks, for the cost meter."""
        return self.statistics.tensors()

    def state(self) -> dict[str, Any]:
        """What `restore` puts back."""
        return {"statistics": self.statistics.state(), "accuracies": dict(self.accuracies)}

    def restore(self, state: dict[str, Any]) -> None:
        self.statistics.restore(state["statistics"])
        self.accuracies = dict(state["accuracies"])


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of the predictions of logits (..., outputs): (...); an output of -inf has probability 0.

    In float64: in float32 many a confident prediction would have the entropy 0.
    """
    return torch.special.entr(logits.double().softmax(dim=-1)).sum(dim=-1)


def _position(values: Tensor, tasks: Tensor) -> Tensor:
    """(n,): where each of `values` (n,) is among `tasks`, of which it is one."""
    return (values[:, None] == tasks).int().argmax(dim=1)
