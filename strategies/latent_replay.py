"""Latent replay: stores the frozen front's features of old images and trains the back on them beside the new ones.

Source: Pellegrini et al., "Latent Replay for Real-Time Continual Learning", 2020, with the split point and the
buffer of Hemati et al., "Partial Hypernetworks for Continual Learning", CoLLAs 2023.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from clhyper.backbones import Backbone
from clhyper.backbones.heads import HeadedModel
from clhyper.data.buffer import BalancedBuffer
from clhyper.data.stream import images_of
from clhyper.engine.buffered import Buffered
from clhyper.engine.replay import Replay
from clhyper.errors import require
from clhyper.options import DepthOptions, TrainingOptions

__all__ = ["LatentReplay"]


@dataclass(frozen=True, kw_only=True)
class ReplayOptions(TrainingOptions):
    """Hyperparameters of replay at any depth."""

    buffer_size: int = 200
    """number of stored examples, balanced over (task, class)"""
    replay_batch_size: int = 64
    """stored examples a training step"""
    replay_weight: float = 1.0
    """weight of the stored examples' loss"""
    stored_as: Literal["float32", "float16"] = "float32"
    """type of stored features; images are stored as uint8"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.buffer_size >= 0, f"buffer_size {self.buffer_size}: at least 0")
        require(self.replay_batch_size >= 1, f"replay_batch_size {self.replay_batch_size}: at least 1")
        require(self.replay_weight >= 0, f"replay_weight {self.replay_weight}: at least 0")


@dataclass(frozen=True, kw_only=True)
class Options(ReplayOptions, DepthOptions):
    """Hyperparameters of latent replay."""


class LatentReplay(Buffered):
    """Front g_phi frozen after the first experience, back h_omega trained on

        L = CE(h_omega(g_phi(x)), y) + w * CE(h_omega(z), y_z)

    with (z, y_z) drawn from the stored features z = g_phi(x_old), and w the replay weight. New and stored features go
    through the back as one batch.

    At freeze depth 0 there is no front: the buffer holds images, augmented anew each time, which is plain replay.
    """

    Options: ClassVar[type[Any]] = Options
    predicts_by_model = True
    replay: Replay | None = None

    def make_model(self, backbone: Backbone) -> HeadedModel:
        self.buffer = BalancedBuffer(self.options.buffer_size)
        return HeadedModel(backbone, self.freeze_depth)

    def trained_tasks(self) -> Iterable[int]:
        """The experience's tasks and those of stored examples, whose heads are trained on."""
        return {*super().trained_tasks(), *self.buffer.tasks.tolist()}

    def prepare_experience(self) -> None:
        self.replay = None
        if len(self.buffer):
            self.replay = Replay(self, self.buffer, self.options.replay_batch_size, self.freeze_depth > 0)

    def draw(self, steps: int) -> dict[str, Tensor]:
        return {**super().draw(steps), **(self.replay.draw(steps) if self.replay else {})}

    def forward(self) -> Tensor:
        if not self.is_training or self.replay is None:
            return super().forward()
        new = self.batch_features()
        stored, self.stored_labels, tasks = self.replay.batch(self.drawn)
        logits = self.model.back(torch.cat([new, stored]), torch.cat([self.mb_task_id, tasks]))
        self.stored_logits = logits[len(new) :]
        return logits[: len(new)]

    def criterion(self) -> Tensor:
        loss = super().criterion()
        if self.is_training and self.replay is not None:
            loss = loss + self.options.replay_weight * self._criterion(self.stored_logits, self.stored_labels)
        return loss

    def finish_experience(self) -> None:
        """Stores some of the experience's images: their features without augmentation, or themselves at depth 0."""
        images = images_of(self.experience)

        def read(rows: Tensor) -> Tensor:
            x = self.read(images, rows)
            if self.freeze_depth:
                x = self.front_features(x, images.preparation).to(getattr(torch, self.options.stored_as))
            return x

        self.replay = None
        if self.options.buffer_size:
            self.buffer.update(images.labels, images.tasks, read, self.generator("buffer"))
