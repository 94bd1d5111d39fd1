"""EWC: fine-tuning with every weight held to where earlier experiences left it, by its importance for them.

Source: Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017; online mode: Schwarz et
al., "Progress & Compress", ICML 2018. The loss is that of Avalanche's `EWCPlugin`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from clhyper.backbones import Backbone
from clhyper.backbones.heads import HeadedModel
from clhyper.backbones.model import classes_by_task
from clhyper.data.stream import images_of
from clhyper.errors import require
from clhyper.parts import part
from strategies.naive import Naive
from strategies.naive import Options as NaiveOptions

__all__ = ["EWC"]


@dataclass(frozen=True, kw_only=True)
class Options(NaiveOptions):
    """Hyperparameters of EWC."""

    strength: float = 1000.0
    """lambda, weight of the squared distances from earlier experiences' weights"""
    mode: Literal["separate", "online"] = "separate"
    """keep weights and importances of every experience, or the last weights and one decaying sum of importances"""
    decay: float = 0.9
    """factor of the earlier importances in online mode, each time an experience ends"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.strength >= 0, f"strength {self.strength}: at least 0")
        require(0 <= self.decay <= 1, f"decay {self.decay}: from 0 to 1")
        require(
            self.mode == "online" or self.decay == Options.decay,
            f"decay {self.decay}: an option of mode online, and the mode is {self.mode}: leave it out or change it",
        )


class EWC(Naive):
    """Fine-tuning, trained on

        L = CE(h_omega(g_phi(x)), y) + lambda sum_{s<t} sum_i F_{s,i} (theta_i - theta_{s,i})^2

    with lambda the strength (half the paper's), where theta_s are the weights as experience s ended and F_s their
    importances: the mean over its batches of the squared gradient of a batch's mean loss (Avalanche's; the paper's
    Fisher information squares each image's), taken in evaluation mode on images without augmentation (ours). In online
    mode there is one F = decay * F + F_s, and the last theta_s. Only what an experience trained is kept: a frozen front
    and idle heads can't move.

    The sum over experiences is kept as one: with F = sum_s F_s and m = sum_s F_s theta_s / F, it equals
    sum_i F_i (theta_i - m_i)^2 and a constant (ours: the same loss, at a cost that doesn't grow with experiences).
    """

    Options = Options

    def make_model(self, backbone: Backbone) -> HeadedModel:
        self.importances: dict[str, Tensor] = {}
        self.centres: dict[str, Tensor] = {}
        self.constant = torch.zeros(())
        return super().make_model(backbone)

    def prepare_experience(self) -> None:
        """Lays out what the penalty is made of; of outputs that a head got just now nothing is important yet."""
        self.constant = self.constant.to(self.device)
        now, self.offset = dict(self.model.named_parameters()), self.constant
        for name in self.importances:
            for kept in (self.importances, self.centres):
                kept[name] = _widened(kept[name], now[name])
            if not now[name].requires_grad:
                self.offset = self.offset + _penalty(self.importances[name], now[name].detach(), self.centres[name])
        moving = [name for name in self.importances if now[name].requires_grad and self.options.strength]
        self.held = [now[name] for name in moving]
        if moving:
            self.flat_importances, self.flat_centres = (
                torch.cat([kept[name].flatten() for name in moving]) for kept in (self.importances, self.centres)
            )

    def criterion(self) -> Tensor:
        loss = super().criterion()
        if not self.is_training or not self.held:
            return loss
        with torch.no_grad():
            distance = torch.cat([parameter.flatten() for parameter in self.held]) - self.flat_centres
            self.pull = self.flat_importances * distance
            penalty = self.pull.dot(distance) + self.offset
        return loss + self.options.strength * penalty

    def backward(self) -> None:
        """The cross-entropy's gradient by autograd, and the penalty's, 2 lambda F (theta - m), added to it at once."""
        super().backward()
        if not self.held:
            return
        pulls = self.pull.split([parameter.numel() for parameter in self.held])
        for parameter in self.held:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in self.held]
        pulls = [pull.view_as(parameter) for pull, parameter in zip(pulls, self.held, strict=True)]
        torch._foreach_add_(gradients, pulls, alpha=2 * self.options.strength)

    def finish_experience(self) -> None:
        """Takes the importances of what can move, and its values."""
        new, online = self._new_importances(), self.options.mode == "online"
        for name, parameter in self.model.named_parameters():
            value = parameter.detach()
            kept = self.importances.get(name, torch.zeros_like(value))
            if online and (name in new or name in self.importances):
                self.importances[name] = self.options.decay * kept + new.get(name, 0.0)
                self.centres[name] = value.clone()
            elif name in new:
                centre, total = self.centres.get(name, value), kept + new[name]
                share = torch.where(total > 0, new[name] / total, 0.0)
                self.constant = self.constant + _penalty(kept * share, value, centre)
                self.importances[name], self.centres[name] = total, torch.lerp(centre, value, share)

    def _new_importances(self) -> dict[str, Tensor]:
        """Of what can move: the mean over batches, in order, of the squared gradient of the batch's mean loss."""
        moving = {name: parameter for name, parameter in self.model.named_parameters() if parameter.requires_grad}
        sums = [torch.zeros_like(parameter) for parameter in moving.values()]
        count = 0
        self.model.eval()
        for features, y, tasks in self._in_order():
            with part("other"):
                loss = self._criterion(self.model.back(features, tasks), y)
            gradients = torch.autograd.grad(loss, list(moving.values()), materialize_grads=True)
            torch._foreach_addcmul_(sums, gradients, gradients)
            count += 1
        self.model.train()
        torch._foreach_div_(sums, count)
        return dict(zip(moving, sums, strict=True))

    def _in_order(self) -> Iterator[tuple[Tensor, Tensor, Tensor | int]]:
        """The experience's images once in batches, not augmented, as the front's features; with labels and tasks."""
        images, size = images_of(self.experience), self.train_mb_size
        tasks = list(classes_by_task(self.experience))
        y, of = images.labels.to(self.device).split(size), images.tasks.to(self.device).split(size)
        for x, labels, task_ids in zip(self.supply.features_in_order(images, size), y, of, strict=True):
            yield x, labels, tasks[0] if len(tasks) == 1 else task_ids

    def state(self) -> dict[str, Any]:
        kept = {"importances": self.importances, "centres": self.centres, "constant": self.constant}
        return {**super().state(), **kept}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.constant = state["constant"].to(self.device)
        self.importances, self.centres = (
            {name: value.to(self.device) for name, value in state[kept].items()} for kept in ("importances", "centres")
        )

    def kept_tensors(self) -> Iterable[Tensor]:
        kept = [*self.importances.values(), *self.centres.values(), self.constant]
        return [*super().kept_tensors(), *kept]


def _widened(kept: Tensor, like: Tensor) -> Tensor:
    """Rows of zeros for the outputs that a head got since."""
    missing = len(like) - len(kept)
    return torch.cat([kept, kept.new_zeros(missing, *kept.shape[1:])]) if missing else kept


def _penalty(importances: Tensor, weights: Tensor, centres: Tensor) -> Tensor:
    return (importances * (weights - centres).square()).sum()
