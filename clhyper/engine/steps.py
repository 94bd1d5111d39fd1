"""The training steps of an experience whose images are tensors: dealt, drawn ahead and prepared block by block."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from clhyper.data.batches import Block, TrainingBatches
from clhyper.evaluation.counter import Macs, OperationCounter
from clhyper.threads import turns

if TYPE_CHECKING:
    from clhyper.data.augmentation import Preparation
    from clhyper.engine.strategy import Strategy

STEPS_AHEAD = 8
"""steps whose images are prepared at once on a GPU, where larger batches cost less an image"""


class Steps:
    """A strategy's loader in training: Avalanche's loop iterates over it, engines take its blocks.

    Args:
        strategy: Says what else is drawn ahead, and has the front.
        batches: The experience's images.
        preparation: uint8 images to network inputs.
    """

    def __init__(self, strategy: "Strategy", batches: TrainingBatches, preparation: "Preparation") -> None:
        self.strategy, self.batches, self.preparation = strategy, batches, preparation
        self.through_front = strategy.freeze_depth > 0 and strategy.model.front_frozen and not batches.are_features
        self._augmentation = strategy.generator("augmentation")
        self._macs: dict[torch.Size, Macs] = {}

    @property
    def are_features(self) -> bool:
        """Whether batches hold what the frozen front makes of the images, in place of images."""
        return self.through_front or self.batches.are_features

    def __len__(self) -> int:
        return len(self.batches)

    def blocks(self) -> Iterator[Block]:
        """One epoch, a few steps at a time."""
        return self.batches.epoch(self._draw, self.strategy.draw)

    def _draw(self, count: int) -> Tensor:
        """What augments some images, or chooses among their views: (count, draws)."""
        if self.batches.views:
            return torch.randint(self.batches.views, (count, 1), generator=self._augmentation)
        return self.preparation.draw(count, self._augmentation)

    def prepare(self, block: Block) -> Tensor:
        """The block's images augmented and normalised, then as features if the front is frozen: (images, ...)."""
        if self.batches.are_features:
            return block.x
        x = self.preparation(block.x, block.draws)
        return self.strategy.model.features(x) if self.through_front else x

    def __iter__(self) -> Iterator[list[Tensor]]:
        for block in self.blocks():
            turns.rest()
            prepared = self.counted(block)
            for number in range(block.steps):
                batch, self.strategy.drawn = block.step(number, prepared)
                yield batch

    def counted(self, block: Block) -> Tensor:
        """`prepare`, whose MACs those plugins are told that count."""
        plugins = self.strategy.plugins_with("count_work")
        if not plugins:
            return self.prepare(block)
        if block.x.shape not in self._macs:
            with OperationCounter() as counter:
                prepared = self.prepare(block)
            self._macs[block.x.shape] = counter.macs()
        else:
            prepared = self.prepare(block)
        for plugin in plugins:
            plugin.count_work("preparation", self._macs[block.x.shape])
        return prepared


class DrawnSteps:
    """The loader of another benchmark's experience, each of whose batches gets what is drawn for one step."""

    def __init__(self, strategy: "Strategy", loader: Any) -> None:
        self.strategy, self.loader = strategy, loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.loader:
            turns.rest()
            drawn = self.strategy.draw(1)
            self.strategy.drawn = {name: tensor[0].to(self.strategy.device) for name, tensor in drawn.items()}
            yield batch
