"""DER: fine-tuning with stored images and what the network once said of them; with beta > 0 DER++.

Source: Buzzega et al., "Dark Experience for General Continual Learning", NeurIPS 2020. The loss is that of
Avalanche's `DER`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clhyper.backbones import Backbone
from clhyper.backbones.heads import HeadedModel
from clhyper.data.buffer import BalancedBuffer
from clhyper.data.stream import images_of
from clhyper.engine.buffered import Buffered
from clhyper.engine.replay import Replay
from clhyper.errors import require
from clhyper.parts import part
from strategies.naive import Naive
from strategies.naive import Options as NaiveOptions

__all__ = ["DER"]


@dataclass(frozen=True, kw_only=True)
class Options(NaiveOptions):
    """Hyperparameters of dark experience replay."""

    buffer_size: int = 200
    """number of stored images, balanced over (task, class)"""
    replay_batch_size: int = 64
    """stored images a training step"""
    alpha: float = 0.1
    """weight of the squared distance from the stored logits"""
    beta: float = 0.5
    """weight of the stored images' cross-entropy; 0 is DER, more is DER++"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("buffer_size", 1), ("replay_batch_size", 1), ("alpha", 0), ("beta", 0)):
            require(getattr(self, name) >= least, f"{name} {getattr(self, name)}: at least {least}")


class DER(Buffered, Naive):
    """Fine-tuning, trained on

        L = CE(h_omega(g_phi(x)), y) + alpha * mean((z - z*)^2) + beta * CE(z, y_z)

    where z are the logits of stored images with labels y_z, by their own tasks' heads, and z* those that the network
    gave them, not augmented, as their experience ended (Avalanche's; the paper stores them while training). New and
    stored images pass through as one batch. Outputs that a head got after its logits were stored, or that a task
    doesn't use, add nothing to the distance (ours). Stored images are uint8 and augmented anew each time.
    """

    buffer: "BufferWithLogits"
    Options = Options
    predicts_by_model = True
    replay: Replay | None = None

    def make_model(self, backbone: Backbone) -> HeadedModel:
        self.buffer = BufferWithLogits(self.options.buffer_size)
        return super().make_model(backbone)

    def trained_tasks(self) -> Iterable[int]:
        """The experience's tasks and those of stored images, whose heads are trained on."""
        return {*super().trained_tasks(), *self.buffer.tasks.tolist()}

    def prepare_experience(self) -> None:
        self.replay = None
        if len(self.buffer):
            self.replay = Replay(self, self.buffer, self.options.replay_batch_size)
            logits = self.replay.padded(_widened(self.buffer.logits, self.model.stack.width))
            self.logits, self.unknown = logits.nan_to_num(neginf=0.0), ~logits.isfinite()

    def draw(self, steps: int) -> dict[str, Tensor]:
        return {**super().draw(steps), **(self.replay.draw(steps) if self.replay else {})}

    def forward(self) -> Tensor:
        if not self.is_training or self.replay is None:
            return super().forward()
        new = self.batch_features()
        stored, self.stored_labels, tasks = self.replay.batch(self.drawn)
        logits = self.model.back(torch.cat([stored, new]), torch.cat([tasks, self.mb_task_id]))
        self.now = logits[: len(stored)]
        return logits[len(stored) :]

    def criterion(self) -> Tensor:
        loss = super().criterion()
        if not self.is_training or self.replay is None:
            return loss
        rows = self.drawn["replay"]
        distance = (self.now - self.logits[rows]).masked_fill(self.unknown[rows], 0).square().mean()
        return loss + self.options.alpha * distance + self.options.beta * self._criterion(self.now, self.stored_labels)

    def finish_experience(self) -> None:
        """Stores some of the experience's images and their logits."""
        images = images_of(self.experience)

        def predict(x: Tensor, tasks: Tensor) -> Tensor:
            batches = zip(x.split(self.eval_mb_size), tasks.split(self.eval_mb_size), strict=True)
            return torch.cat([self._logits(images.preparation.normalise(rows), of) for rows, of in batches])

        self.buffer.predict = predict
        self.model.eval()
        with torch.no_grad():
            self.buffer.update(
                images.labels, images.tasks, lambda rows: self.read(images, rows), self.generator("buffer")
            )
        self.model.train()

    def _logits(self, x: Tensor, tasks: Tensor) -> Tensor:
        features = self.model.features(x)
        with part("other"):
            return self.model.back(features, tasks)

    def kept_tensors(self) -> Iterable[Tensor]:
        return [*super().kept_tensors(), self.buffer.logits]


class BufferWithLogits(BalancedBuffer):
    """A balanced buffer whose examples keep the logits that they had when they were stored.

    `logits`: (stored, outputs), -inf where the head had no such output. `predict`: gives those of new examples (n, ...)
    and their tasks (n,).
    """

    predict: Callable[[Tensor, Tensor], Tensor]

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.logits = torch.empty(0, 0)

    def _replace(self, keep: Tensor, take: Tensor, read: Any, y: Tensor, tasks: Tensor) -> None:
        kept = self.logits[keep.to(self.logits.device)]
        super()._replace(keep, take, read, y, tasks)  # those kept come first
        if not len(take):
            self.logits = kept
            return
        new = self.predict(self.x[len(keep) :], self.tasks[len(keep) :])
        width = max(kept.shape[1], new.shape[1])
        self.logits = torch.cat([_widened(kept.to(new.device), width), _widened(new, width)])

    def state(self) -> dict[str, Any]:
        return {**super().state(), "logits": self.logits}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        super().restore(state, device)
        self.logits = state["logits"].to(device)


def _widened(logits: Tensor, width: int) -> Tensor:
    """Logits (n, outputs) as (n, width): filled with -inf, or without outputs that none of them has."""
    return F.pad(logits, (0, width - logits.shape[1]), value=-torch.inf)
