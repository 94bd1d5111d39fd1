"""Several sources of images as one."""

import itertools
from collections.abc import Sequence

import numpy as np

from clhyper.data.cache import Decoded, cached
from clhyper.data.images import ImageSet
from clhyper.data.pictures import join

__all__ = ["mixture"]


def mixture(sources: Sequence[ImageSet]) -> tuple[ImageSet, list[range]]:
    """One set of the images of all sources, and the classes that each source has in it.

    Classes are numbered on from source to source, and named after both. Images must be of one size; they have three
    channels, which are equal where an image was grey.
    """
    starts = np.cumsum([0, *(source.classes for source in sources)]).tolist()
    parts = [range(*ends) for ends in itertools.pairwise(starts)]

    def labels(split: str) -> np.ndarray:
        return np.concatenate([getattr(s, f"y_{split}") + part.start for s, part in zip(sources, parts, strict=True)])

    def build() -> Decoded:
        colour = np.empty((0, 3, *sources[0].image_shape[1:]), dtype=np.uint8)
        x_train, x_test = join([colour, *(s.x_train for s in sources)], [s.x_test for s in sources])
        names = tuple(f"{source.name} {name}" for source in sources for name in source.class_names)
        return Decoded(x_train, labels("train"), x_test, labels("test"), names)

    return cached("mixed", {"source": "mixed", "content": [source.fingerprint for source in sources]}, build), parts
