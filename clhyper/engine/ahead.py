"""Small test experiences predicted several in one pass, where nothing looks at their batches one by one."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from clhyper.backbones.model import SplitModel, classes_by_task
from clhyper.backbones.together import or_alone
from clhyper.engine.hooks import looks_at_evaluation
from clhyper.threads import turns

if TYPE_CHECKING:
    from clhyper.engine.strategy import Strategy

ROWS_AT_ONCE = {"cpu": 2**9}
"""rows of all experiences in a pass, elsewhere 2^13: more, a CPU's caches don't hold between layers (ours)"""


class Ahead:
    """Predicts the experiences of one evaluation, the next few of them at once, when the first of these is asked for.

    An experience that is one batch takes a device little, and Python as long as a large one: after a hundred tasks, a
    hundred times. Only those are taken that are one batch and one task; larger ones gain nothing.

    Args:
        strategy: In evaluation, its model as it stays until the evaluation ends.
        experiences: All that will be evaluated, in order.
    """

    def __init__(self, strategy: "Strategy", experiences: list[Any]) -> None:
        self.strategy = strategy
        self._waiting = [experience for experience in experiences if self._is_small(experience)]
        self._served = {id(experience) for experience in self._waiting}
        self._predicted: dict[int, Tensor] = {}

    def serves(self, experience: Any) -> bool:
        """Whether the experience is predicted here, and so needs neither a loader nor Avalanche's loop."""
        return id(experience) in self._served

    def predictions(self, experience: Any) -> Tensor:
        """(images,): the predicted class of each of the experience's images, in order, on the CPU."""
        if id(experience) not in self._predicted:
            self._predict_next(experience)
        return self._predicted[id(experience)]

    def _is_small(self, experience: Any) -> bool:
        images = getattr(experience, "images", None)
        one_batch = images is not None and 0 < len(images) <= self.strategy.eval_mb_size and images.labels.dim() == 1
        return one_batch and len(classes_by_task(experience)) == 1

    def _predict_next(self, first: Any) -> None:
        """The experience and those after it, as many as a pass has room for."""
        place = next(place for place, experience in enumerate(self._waiting) if experience is first)
        room, longest = ROWS_AT_ONCE.get(self.strategy.device.type, 2**13), 0
        chosen: list[Any] = []
        for experience in self._waiting[place:]:
            longest = max(longest, len(experience.images))  # all are padded to it
            if chosen and longest * (len(chosen) + 1) > room:
                break
            chosen.append(experience)
        turns.rest()
        strategy, model = self.strategy, self.strategy.model
        features = []
        for experience in chosen:
            batches = strategy.supply.evaluation(experience.images)
            ((x, _, _),) = batches
            features.append(x if batches.are_features else model.features(x))
        tasks = [next(iter(classes_by_task(experience))) for experience in chosen]
        given = (features, tasks, strategy.eval_mb_size)
        logits = or_alone(
            partial(model.each_task, *given), partial(SplitModel.each_task, model, *given), strategy.notice
        )
        found = torch.cat([its.argmax(dim=1) for its in logits]).cpu()  # one wait for the device
        of_each = found.split([len(x) for x in features])
        self._predicted = {id(experience): its for experience, its in zip(chosen, of_each, strict=True)}


class EvaluatesAhead:
    """The part of a strategy that evaluates: experience by experience, with Avalanche's hooks around each.

    Where nothing looks into these (`looks_at_evaluation`), small ones are predicted several in one pass (`Ahead`), and
    plugins with a method `predicted` are told of each in its turn.
    """

    model: Any
    is_training: bool
    adapted_dataset: Any
    experience: Any
    dataloader: Any
    supply: Any
    current_eval_stream: Any
    plugins_with: Callable[[str], list[Any]]
    _ahead: Ahead | None = None

    def _before_eval(self, **kwargs: Any) -> None:
        super()._before_eval(**kwargs)  # type: ignore[misc]
        strategy: Any = self
        self._ahead = None if looks_at_evaluation(strategy) else Ahead(strategy, list(self.current_eval_stream))

    @property
    def _is_ahead(self) -> bool:
        return self._ahead is not None and self._ahead.serves(self.experience)

    def eval_dataset_adaptation(self, **kwargs: Any) -> None:
        if not self._is_ahead:  # else nothing reads Avalanche's data set, and to copy it takes a while
            super().eval_dataset_adaptation(**kwargs)  # type: ignore[misc]

    def make_eval_dataloader(self, **kwargs: Any) -> None:
        images = getattr(self.experience, "images", None)
        if images is None:
            super().make_eval_dataloader(**kwargs)  # type: ignore[misc]
        else:
            self.dataloader = [] if self._is_ahead else self.supply.evaluation(images)

    def eval_epoch(self, **kwargs: Any) -> None:
        if self._ahead is None or not self._is_ahead:
            super().eval_epoch(**kwargs)  # type: ignore[misc]
            return
        predictions, labels = self._ahead.predictions(self.experience), self.experience.images.labels
        for plugin in self.plugins_with("predicted"):
            plugin.predicted(self, predictions, labels)

    def _load_train_state(self, prev_state: dict[str, Any]) -> None:
        """As Avalanche's, but for modules that are in their mode already: each call of `train` visits all below it."""
        self.experience, self.is_training = prev_state["experience"], prev_state["is_training"]
        self.adapted_dataset, self.dataloader = prev_state["adapted_dataset"], prev_state["dataloader"]
        modes = prev_state["model_training_mode"]
        for name, layer in self.model.named_modules():
            if layer.training != (mode := modes.get(name, True)):
                layer.train(mode)

    def _eval_cleanup(self) -> None:
        self._ahead = None
        super()._eval_cleanup()  # type: ignore[misc]
