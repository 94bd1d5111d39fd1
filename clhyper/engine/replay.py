"""Stored examples for training steps: which ones is drawn ahead, and they are prepared as the new ones are."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clhyper.backbones.head_stack import room_for
from clhyper.data.buffer import BalancedBuffer
from clhyper.data.stream import images_of

if TYPE_CHECKING:
    from clhyper.engine.strategy import Strategy

SMALLEST_ROOM = 64


class Replay:
    """What the steps of one experience see of a buffer; it pads the stored examples, so that experiences share shapes.

    Images are augmented anew at each visit, and then pass through the front; behind a frozen front, images that aren't
    augmented pass through it once.

    Args:
        strategy: In an experience, with its model.
        buffer: Images or features, at least one.
        count: Examples a step; all there are, if fewer.
        stores_features: Whether the buffer holds features.
    """

    def __init__(self, strategy: "Strategy", buffer: BalancedBuffer, count: int, stores_features: bool = False) -> None:
        self.model, self.preparation = strategy.model, images_of(strategy.experience).preparation
        self.count, self._stored = min(count, len(buffer)), len(buffer)
        self._rows = strategy.generator("replay")
        self._augmentation = strategy.generator("replay augmentation")
        x, self.are_features = buffer.x, stores_features
        self._augmented = not stores_features and self.preparation.augmentation != "none"
        if not stores_features and not self._augmented and self.model.front_frozen and strategy.freeze_depth:
            x, self.are_features = strategy.front_features(x, self.preparation), True
        self.x, self.y, self.tasks = self.padded(x), self.padded(buffer.y), self.padded(buffer.tasks)

    def padded(self, stored: Tensor) -> Tensor:
        """(stored, ...) with rows of zeros, never drawn, to a room that rarely changes."""
        missing = room_for(len(stored), SMALLEST_ROOM) - len(stored)
        return torch.cat([stored, stored.new_zeros(missing, *stored.shape[1:])])

    def draw(self, steps: int) -> dict[str, Tensor]:
        """`replay`: (steps, count) rows, each step's without repeats; `replay augmentation`: (steps, count, draws)."""
        rows = [torch.randperm(self._stored, generator=self._rows)[: self.count] for _ in range(steps)]
        drawn = {"replay": torch.stack(rows)}
        if self._augmented:
            draws = self.preparation.draw(steps * self.count, self._augmentation)
            drawn["replay augmentation"] = draws.view(steps, self.count, -1)
        return drawn

    def batch(self, drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Features (count, ...), labels and tasks (count,) of what was drawn for a step."""
        rows = drawn["replay"]
        x = self.x[rows]
        if self.are_features:
            x = x.float()
        else:
            prepared = (
                self.preparation(x, drawn["replay augmentation"]) if self._augmented else self.preparation.normalise(x)
            )
            x = self.model.features(prepared)
        return x, self.y[rows], self.tasks[rows]
