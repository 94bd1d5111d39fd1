"""Batches of tensors that are where they are used: permutations and slices in place of a data loader."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from clhyper.data.rows import Rows


class Batches:
    """Iterates over (x, y, tasks) in order and whole, for evaluation.

    Args:
        x: (images, ...) uint8 images or float32 features.
        y: (images,) labels, on the device.
        tasks: (images,) task labels, on the device.
        batch_size: Rows a batch.
        prepare: Applied to the rows of `x` of each batch.
        are_features: Whether `x` holds what the front makes of the images, in place of images.
    """

    def __init__(
        self,
        x: Rows,
        y: Tensor,
        tasks: Tensor,
        batch_size: int,
        prepare: Callable[[Tensor], Tensor] | None = None,
        are_features: bool = False,
    ) -> None:
        self.x, self.y, self.tasks = x, y, tasks
        self.batch_size, self.prepare, self.are_features = batch_size, prepare, are_features

    def __len__(self) -> int:
        return -(-len(self.y) // self.batch_size)

    def __iter__(self) -> Iterator[list[Tensor]]:
        labels = zip(self.y.split(self.batch_size), self.tasks.split(self.batch_size), strict=True)
        for x, (y, tasks) in zip(self.x.in_order(self.batch_size), labels, strict=True):
            yield [x if self.prepare is None else self.prepare(x), y, tasks]


@dataclass(frozen=True)
class Block:
    """What a few training steps in a row need, on the device.

    `x`: (steps * batch, ...) uint8 images, not augmented, or float32 features. `y`, `tasks`: (steps * batch,).
    `draws`: (steps * batch, draws), what augments the images. `drawn`: (steps, ...) each, what else was drawn ahead.
    """

    steps: int
    x: Tensor
    y: Tensor
    tasks: Tensor
    draws: Tensor
    drawn: dict[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """All of its tensors, by name."""
        return {"x": self.x, "y": self.y, "tasks": self.tasks, "draws": self.draws, **self.drawn}

    def step(self, number: int, prepared: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        """One step's batch [x, y, tasks], of the block's prepared images or features, and what was drawn for it."""
        size = len(self.y) // self.steps
        rows = slice(number * size, (number + 1) * size)
        return [prepared[rows], self.y[rows], self.tasks[rows]], {name: t[number] for name, t in self.drawn.items()}


class TrainingBatches:
    """An experience's images, dealt to blocks of steps in a new order each epoch; the ragged last batch is dropped.

    Args:
        x: (images, ...) uint8 images or float32 features; or (views * images, ...), features of one view after another.
        y: (images,) labels, on the device.
        tasks: (images,) task labels, on the device.
        batch_size: Rows a batch; fewer rows than that are one batch.
        order: CPU generator that shuffles.
        steps: Steps a block; an epoch's last block may have fewer.
        are_features: Whether `x` holds what the front makes of the images, in place of images.
        views: Augmented views of each image that `x` holds; 0: the images themselves.
    """

    def __init__(
        self,
        x: Rows,
        y: Tensor,
        tasks: Tensor,
        batch_size: int,
        order: torch.Generator,
        steps: int = 1,
        are_features: bool = False,
        views: int = 0,
    ) -> None:
        self.x, self.y, self.tasks = x, y, tasks
        self.batch_size = min(batch_size, len(y))
        self.order, self.steps, self.are_features, self.views = order, steps, are_features, views

    def __len__(self) -> int:
        """Steps an epoch."""
        return len(self.y) // self.batch_size

    def epoch(
        self, draw_augmentation: Callable[[int], Tensor], draw_steps: Callable[[int], dict[str, Tensor]]
    ) -> Iterator[Block]:
        """One epoch's blocks. All that is random in it is drawn as it begins.

        Args:
            draw_augmentation: Images to (images, draws), on the CPU; with views, (images, 1), the view of each.
            draw_steps: Steps to name -> (steps, ...), on the CPU.
        """
        device, size = self.y.device, self.batch_size
        rows = torch.randperm(len(self.y), generator=self.order)[: len(self) * size]
        draws = draw_augmentation(len(rows))
        of_x = rows + len(self.y) * draws[:, 0] if self.views else rows
        rows, draws = rows.to(device), draws.to(device)
        drawn = {name: tensor.to(device) for name, tensor in draw_steps(len(self)).items()}
        for number, x in enumerate(self.x.blocks(of_x, self.steps * size)):
            first, steps = number * self.steps, len(x) // size
            part = slice(first * size, (first + steps) * size)
            yield Block(
                steps,
                x,
                self.y[rows[part]],
                self.tasks[rows[part]],
                draws[part],
                {name: tensor[first : first + steps] for name, tensor in drawn.items()},
            )
