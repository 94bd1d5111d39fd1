"""Text replay: stores some sequences of earlier experiences and trains an LSTM on them beside the new ones.

Source: Chaudhry et al., "On Tiny Episodic Memories in Continual Learning", 2019, arXiv 1902.10486, with windows of text
in place of images (ours).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clhyper.data.buffer import BalancedBuffer
from clhyper.data.stream import images_of
from clhyper.engine.buffered import Buffered
from clhyper.errors import require
from clhyper.recurrent.model import RecurrentModel
from strategies.lstm import LSTM, RecurrentOptions

__all__ = ["TextReplay"]


@dataclass(frozen=True, kw_only=True)
class Options(RecurrentOptions):
    """Hyperparameters of text replay."""

    layer_norm: bool = False
    """layer-norm the cell"""
    buffer_size: int = 200
    """number of stored sequences, balanced over tasks, and over classes where a sequence has one"""
    replay_batch_size: int = 64
    """stored sequences a training step"""
    replay_weight: float = 1.0
    """weight of the stored sequences' loss"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.buffer_size >= 0, f"buffer_size {self.buffer_size}: at least 0")
        require(self.replay_batch_size >= 1, f"replay_batch_size {self.replay_batch_size}: at least 1")
        require(self.replay_weight >= 0, f"replay_weight {self.replay_weight}: at least 0")


class TextReplay(Buffered, LSTM):
    """The LSTM, trained on

        L = CE(f(x), y) + w * CE(f(x_M), y_M)

    with (x_M, y_M) drawn from the stored sequences M, and w the replay weight. A window of text is stored with the one
    character after it, a byte a character.
    """

    Options = Options
    predicts_by_model = True

    def make_model(self, backbone: Any) -> RecurrentModel:
        self.layer_norm = self.options.layer_norm  # type: ignore[misc]
        self.buffer = BalancedBuffer(self.options.buffer_size)
        return super().make_model(backbone)

    def trained_tasks(self) -> Iterable[int]:
        """The experience's tasks and those of stored sequences, whose heads are trained on."""
        return {*super().trained_tasks(), *self.buffer.tasks.tolist()}

    def prepare_experience(self) -> None:
        self.replays = len(self.buffer) > 0
        self.rows = self.generator("replay")
        self.preparation = images_of(self.experience).preparation

    def draw(self, steps: int) -> dict[str, Tensor]:
        """Adds which stored sequences each step sees, without repeats: (steps, sequences)."""
        drawn = super().draw(steps)
        if self.replays:
            count = min(self.options.replay_batch_size, len(self.buffer))
            orders = [torch.randperm(len(self.buffer), generator=self.rows)[:count] for _ in range(steps)]
            drawn["replay"] = torch.stack(orders)
        return drawn

    def forward(self) -> Tensor:
        if not self.is_training or not self.replays:
            return super().forward()
        rows = self.drawn["replay"]
        stored, self.stored_labels = self.buffer.x[rows], self.buffer.y[rows]
        if self.model.reading.each_step:
            stored, self.stored_labels = stored[:, :-1], stored[:, 1:].long()
        x = torch.cat([self.mb_x, self.preparation.normalise(stored)])
        logits = self.model.back(x, torch.cat([self.mb_task_id, self.buffer.tasks[rows]]))
        self.stored_logits = logits[len(self.mb_x) :]
        return logits[: len(self.mb_x)]

    def criterion(self) -> Tensor:
        loss = super().criterion()
        if self.is_training and self.replays:
            loss = loss + self.options.replay_weight * self._criterion(self.stored_logits, self.stored_labels)
        return loss

    def finish_experience(self) -> None:
        """Stores some of the experience's sequences."""
        examples = images_of(self.experience)
        each_step = self.model.reading.each_step

        def read(rows: Tensor) -> Tensor:
            x = self.read(examples, rows)
            if not each_step:
                return x
            return torch.cat([x, examples.labels[rows.to(examples.labels.device), -1:].to(x)], dim=1)

        self.replays = False
        if self.options.buffer_size:
            labels = examples.labels[:, 0] * 0 if each_step else examples.labels
            self.buffer.update(labels, examples.tasks, read, self.generator("buffer"))

    def kept_tensors(self) -> Iterable[Tensor]:
        """The model and the stored sequences; a window's label is in it."""
        kept = super().kept_tensors()
        return [tensor for tensor in kept if tensor is not self.buffer.y] if self.model.reading.each_step else kept
