"""Augmentation and normalisation of whole batches of uint8 images, where they are."""

import functools
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from clhyper.options import Augmentation

PADDING = 4


def draw(count: int, kind: Augmentation, generator: torch.Generator | None = None) -> Tensor:
    """What augments `count` images: (count, draws) whole numbers, on the generator's device (the CPU without one).

    A flip is 0 or 1; a crop has a row and a column more, 0 to twice the padding.
    """
    device = generator.device if generator is not None else None

    def numbers(below: int, columns: int) -> Tensor:
        return torch.randint(below, (count, columns), generator=generator, device=device)

    if kind == "none":
        return torch.empty(count, 0, dtype=torch.long, device=device)
    if kind == "flip":
        return numbers(2, 1)
    return torch.cat([numbers(2, 1), numbers(2 * PADDING + 1, 2)], dim=1)


def augment(x: Tensor, kind: Augmentation, draws: Tensor) -> Tensor:
    """Each image (batch, channels, height, width) cropped and flipped on its own, in distribution as torchvision's
    `RandomCrop(size, padding=4)` and `RandomHorizontalFlip()`; type and device stay.

    draws: (batch, draws) from `draw`, on the device of `x`.
    """
    if kind == "none":
        return x
    batch, _, height, width = x.shape
    columns = torch.arange(width, device=x.device).expand(batch, width)
    columns = torch.where(draws[:, :1] == 1, width - 1 - columns, columns)
    rows = torch.arange(height, device=x.device).expand(batch, height)
    if kind == "crop-flip":
        rows, columns = rows + draws[:, 1:2], columns + draws[:, 2:]
        x = F.pad(x, (PADDING,) * 4)
    images = torch.arange(batch, device=x.device)
    return x.permute(0, 2, 3, 1)[images[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Preparation:
    """uint8 images to the float32 images that networks see, augmented in training.

    `mean`, `std`: one number a channel, in units of 0 to 1.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation = "none"

    def __call__(self, x: Tensor, draws: Tensor | None = None) -> Tensor:
        """(batch, channels, height, width) uint8 to float32, augmented as drawn (with torch's own numbers, if nothing
        was) and normalised."""
        drawn = self.draw(len(x)).to(x.device) if draws is None else draws
        return self.normalise(augment(x, self.augmentation, drawn))

    def plain(self) -> "Preparation":
        """The same without augmentation."""
        return replace(self, augmentation="none")

    def draw(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """What augments `count` images; see `draw`."""
        return draw(count, self.augmentation, generator)

    def normalise(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) uint8 to float32 of mean 0 and deviation 1 over the training images."""
        return (x.float() / 255 - _column(self.mean, x.device)) / _column(self.std, x.device)


@functools.lru_cache(maxsize=64)
def _column(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(channels, 1, 1), made once: a copy to the device has no place in a captured step."""
    return torch.tensor(values, device=device).view(-1, 1, 1)
