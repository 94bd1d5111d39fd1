"""LwF: fine-tuning that keeps what the previous network says of the new images; stores no images.

Source: Li and Hoiem, "Learning without Forgetting", ECCV 2016. The loss is Avalanche's `LearningWithoutForgetting`.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from avalanche.models import MultiTaskModule
from avalanche.training.regularization import LearningWithoutForgetting
from torch import Tensor

from clhyper.backbones import Backbone
from clhyper.backbones.heads import HeadedModel
from clhyper.errors import require
from strategies.naive import Naive
from strategies.naive import Options as NaiveOptions

__all__ = ["LwF"]


@dataclass(frozen=True, kw_only=True)
class Options(NaiveOptions):
    """Hyperparameters of learning without forgetting."""

    alpha: float = 1.0
    """weight of the distillation, summed over earlier heads"""
    temperature: float = 2.0
    """temperature that both networks' outputs are divided by"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.alpha >= 0, f"alpha {self.alpha}: at least 0")
        require(self.temperature > 0, f"temperature {self.temperature}: more than 0")


class LwF(Naive):
    """Fine-tuning, trained on

        L = CE(h_omega(g_phi(x)), y) + alpha sum_{s<t} KL(softmax(z*_s / T) || softmax(z_s / T))

    where z_s are the outputs of task s's head for the new images, over the classes learned in it, and z*_s those of
    the network as the previous experience left it. Batch norm takes the batch's statistics in both networks, as in
    Avalanche; with the previous one in evaluation mode they could not agree. Earlier heads are trained, by the
    distillation alone. The paper's warm-up of a new head is left out, as in Avalanche. The body runs once for all
    heads. Between experiences nothing is kept but the network: it is what the next experience distils.
    """

    Options = Options

    def make_model(self, backbone: Backbone) -> HeadedModel:
        self.lwf = LearningWithoutForgetting(self.options.alpha, self.options.temperature)
        return super().make_model(backbone)

    def trained_tasks(self) -> Iterable[int]:
        """The experience's tasks and all earlier ones, whose heads are distilled."""
        return {*super().trained_tasks(), *self.lwf.prev_classes_by_task}

    def forward(self) -> Tensor:
        if not self.is_training or self.lwf.prev_model is None:
            return super().forward()
        self.features = self.batch_features()
        hidden = self.model.body(self.features)
        self.outputs = {task: self.model.heads[str(task)](hidden) for task in self.lwf.prev_classes_by_task}
        return self.model.classify(hidden, self.batch_tasks)

    def criterion(self) -> Tensor:
        loss = super().criterion()
        if self.is_training and self.lwf.prev_model is not None:
            loss = loss + self.lwf(self.features, self.mb_output, lambda features: self.outputs)
        return loss

    def finish_experience(self) -> None:
        self._remember()

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if self.experiences_learned:
            self._remember()

    def _remember(self) -> None:
        """Takes the network as it is for the previous one."""
        self.lwf.prev_model = _EveryHead(self.model)
        self.lwf.prev_classes_by_task = {task: set(classes) for task, classes in self.model.classes_of.items()}


class _EveryHead(MultiTaskModule):
    """A copy of a network after its front, as Avalanche asks for it: outputs (batch, classes) of each task's head."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.body, self.heads = copy.deepcopy(model.body), copy.deepcopy(model.heads)
        self.train().requires_grad_(False)

    def forward(self, features: Tensor, task_labels: None) -> dict[int, Tensor]:
        hidden = self.body(features)
        return {int(task): head(hidden) for task, head in self.heads.items()}
