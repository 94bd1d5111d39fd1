"""Domains: how the images of one experience look, as transforms of whole batches that are applied as images are read.

A domain is a tuple of transforms, applied in order. Another kind of domain is one more class here, and one more line
in `domain_of`; it then composes with the others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clhyper.data.corruptions import corruption
from clhyper.options import StreamOptions

__all__ = ["Domain", "Permutation", "Rotation", "Transform", "domain_of", "in_domain"]

Transform = Callable[[Tensor], Tensor]
"""uint8 (images, channels, height, width) to the same type and shape; each image on its own, and always alike"""

Domain = tuple[Transform, ...]

ROTATED_AT_ONCE = 2**22
"""numbers of the images that are rotated in one call: 16 MiB as float32"""


def domain_of(experience: int, options: StreamOptions) -> Domain:
    """The domain of one experience of a stream: corrupted first, then brought into the stream's variant.

    A variant leaves experience 0 as it is.
    """
    names = options.corruptions
    corrupted: Domain = corruption(names[experience % len(names)]) if names else ()
    if options.variant == "none" or experience == 0:
        return corrupted
    if options.variant == "permuted":
        return (*corrupted, Permutation((options.order_seed or 0, experience)))
    return (*corrupted, Rotation(experience * options.max_angle / options.experiences))


def in_domain(domain: Domain, x: Tensor) -> Tensor:
    """uint8 (images, channels, height, width) as they look in a domain."""
    for transform in domain:
        x = transform(x)
    return x


@dataclass(frozen=True)
class Permutation:
    """Shuffles the pixels of all images, and of all their channels, alike.

    `seed`: whole numbers that the order of the pixels follows from: the stream's order seed (0 without one) and the
    experience, so that an experience's order doesn't depend on how many follow.
    Source: Goodfellow et al. 2013 (permuted MNIST); that the first experience is left as it is, is ours.
    """

    seed: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        order = np.random.default_rng(self.seed).permutation(x.shape[2] * x.shape[3])
        return x.flatten(2).index_select(2, torch.from_numpy(order)).view_as(x)


@dataclass(frozen=True)
class Rotation:
    """Turns images about their middle, counter-clockwise; bilinear, black where nothing was, size unchanged.

    `angle`: degrees.
    Source: Lopez-Paz & Ranzato 2017 (rotated MNIST), who draw experience i's angle from the i-th of as many equal parts
    of 0 to 180 degrees as there are experiences; here (ours) it is where that part begins, and nothing is drawn.
    """

    angle: float

    def __call__(self, x: Tensor) -> Tensor:
        from torchvision.transforms.functional import InterpolationMode, rotate

        if not len(x):
            return x
        batches = x.split(max(1, ROTATED_AT_ONCE // x[0].numel()))
        return torch.cat([rotate(batch, self.angle, InterpolationMode.BILINEAR) for batch in batches])
