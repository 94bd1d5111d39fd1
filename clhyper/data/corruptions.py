"""Corruptions: noise of images as transforms of whole batches, the same for training and test images.

What each computes is torchvision's own function of uint8 tensors, so that an image looks as torchvision makes it look.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from clhyper.options import corruption_steps

__all__ = ["Autocontrast", "Blur", "Grayscale", "Solarize", "corruption"]

REACH = 2
"""pixels that a blur reaches to each side: its kernel is 5x5"""
BLURRED_AT_ONCE = 2**22
"""numbers of the images that are blurred in one call: 32 MiB as float64"""


@dataclass(frozen=True)
class Solarize:
    """Inverts every number from a threshold on. `threshold`: a share of white, 0 to 1."""

    threshold: float

    def __call__(self, x: Tensor) -> Tensor:
        from torchvision.transforms.functional import solarize

        return solarize(x, 255 * self.threshold)


@dataclass(frozen=True)
class Blur:
    """Gaussian blur with a kernel of 5x5 pixels, mirrored at the borders. `sigma`: its standard deviation in pixels.

    Computed in float64, and so the same in any batch. torchvision computes in float32, whose rounding makes about 1 in
    100,000 numbers its neighbour, depending on batch and device.
    """

    sigma: float

    def __call__(self, x: Tensor) -> Tensor:
        if not len(x):
            return x
        down, across = (_blurring(side, self.sigma).to(x.device) for side in x.shape[2:])
        batches = x.split(max(1, BLURRED_AT_ONCE // x[0].numel()))
        return torch.cat([(down @ part.double() @ across.T).round().byte() for part in batches])


def _blurring(side: int, sigma: float) -> Tensor:
    """(side, side) float64: what every pixel of a row, or column, takes of each."""
    weights = torch.exp(-0.5 * (torch.arange(-REACH, REACH + 1).double() / sigma) ** 2)
    places = F.pad(torch.arange(side).double()[None], (REACH, REACH), mode="reflect")[0].long()
    taken = torch.zeros(side, side, dtype=torch.float64)
    for start, weight in enumerate(weights / weights.sum()):
        taken[torch.arange(side), places[start : start + side]] += weight
    return taken


@dataclass(frozen=True)
class Autocontrast:
    """Stretches each channel of each image to the whole range from black to white."""

    def __call__(self, x: Tensor) -> Tensor:
        from torchvision.transforms.functional import autocontrast

        return autocontrast(x)


@dataclass(frozen=True)
class Grayscale:
    """Luminance in all three channels; grey images stay as they are."""

    def __call__(self, x: Tensor) -> Tensor:
        from torchvision.transforms.functional import rgb_to_grayscale

        return rgb_to_grayscale(x, 3) if x.shape[1] == 3 else x


_KINDS = {"solarize": Solarize, "blur": Blur, "autocontrast": Autocontrast, "grayscale": Grayscale}


def corruption(name: str) -> tuple[Solarize | Blur | Autocontrast | Grayscale, ...]:
    """The transforms that a name such as `autocontrast+grayscale+blur:0.65` stands for, in order; see `--corrupt`."""
    return tuple(_KINDS[step](*numbers) for step, *numbers in corruption_steps(name))
