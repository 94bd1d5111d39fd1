"""LwF: fine-tuning that keeps what the previous network says of the new images; stores no images.

Source: Li and Hoiem, "Learning without Forgetting", ECCV 2016. The loss is that of Avalanche's
`LearningWithoutForgetting`.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clhyper.engine.losses import distillation
from clhyper.errors import require
from clhyper.parts import part
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
    predicts_by_model = True
    distils = False

    def trained_tasks(self) -> Iterable[int]:
        """The experience's tasks and all earlier ones, whose heads are distilled."""
        return self.model.classes_of

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        self.earlier = {task: list(classes) for task, classes in self.model.classes_of.items()}
        super().check_model_and_optimizer(**kwargs)

    def prepare_experience(self) -> None:
        """Copies the network, which still is what the previous experience left."""
        self.distils = bool(self.earlier)
        if not self.distils:
            return
        self.previous_body = copy.deepcopy(self.model.body).train().requires_grad_(False)
        for module in self.previous_body.modules():
            if hasattr(module, "track_running_stats"):
                module.track_running_stats = False  # only the batch's count
        stack = self.model.stack
        self.previous_heads = [tensor.detach() for tensor in stack.tensors()]
        self.not_distilled = ~stack.chosen(self.earlier)

    def forward(self) -> Tensor:
        if not self.is_training or not self.distils:
            return super().forward()
        features, stack = self.batch_features(), self.model.stack
        with part("back"):
            outputs = stack(self.model.body(features))
        with part("other"), torch.no_grad():
            said = F.linear(self.previous_body(features), *self.previous_heads).view_as(outputs)
        self.distance = distillation(outputs, said, self.not_distilled, self.options.temperature)
        return stack.own(outputs, self.mb_task_id)

    def criterion(self) -> Tensor:
        loss = super().criterion()
        if self.is_training and self.distils:
            loss = loss + self.options.alpha * self.distance
        return loss
