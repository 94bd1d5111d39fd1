"""A data set of images, decoded: uint8 arrays and what must be known of them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageSet:
    """Training and test images of one source, with labels 0 to classes - 1.

    `x_train`, `x_test`: uint8 (images, channels, height, width), memory-mapped where they come from the cache.
    `y_train`, `y_test`: int64 (images,).
    `mean`, `std`: of the training images, one number a channel, in units of 0 to 1. Those that `--validation` holds out
    are among them (ours), so that networks see the same numbers with and without it; test images never are.
    `fingerprint`: changes whenever the decoded content would.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        channels, height, width = self.x_train.shape[1:]
        return channels, height, width
