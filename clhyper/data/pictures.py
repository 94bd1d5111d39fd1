"""Encoded images, such as PNG and JPEG, to arrays of one shape."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from clhyper.data.decode import resize
from clhyper.errors import UserError

__all__ = ["decode_picture", "join", "read_pictures", "stack"]

PICTURES_AT_ONCE = 256
"""few, so that a batch of large photographs fits in memory"""


def decode_picture(content: BytesIO | Path, where: str) -> np.ndarray:
    """uint8 (1 or 3 channels, height, width); raises `UserError`, naming `where`, for what is no 8-bit image."""
    try:
        with Image.open(content) as image:
            if image.mode == "F" or image.mode.startswith("I"):
                raise UserError(f"{where}: an image of mode {image.mode}: 8 bits a channel are right")
            if image.mode in ("1", "L"):
                return np.asarray(image.convert("L"))[None]
            return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds
        raise UserError(f"{where}: not an image that Pillow can decode, or a damaged one") from error


def read_pictures(
    paths: Sequence[Path], image_size: int | None, pixels: tuple[int, ...] | None = None
) -> list[np.ndarray]:
    """Image files as batches, each uint8 (images, channels, height, width).

    pixels: the (height, width) that images must have that aren't resized; None: that of the first one.
    """
    batches: list[np.ndarray] = []
    for start in range(0, len(paths), PICTURES_AT_ONCE):
        part = paths[start : start + PICTURES_AT_ONCE]
        images = [decode_picture(path, str(path)) for path in part]
        pixels = pixels or images[0].shape[1:]
        batches.append(stack(images, [str(path) for path in part], image_size, pixels))
    return batches


def stack(
    images: Sequence[np.ndarray], places: Sequence[str], image_size: int | None, pixels: tuple[int, ...]
) -> np.ndarray:
    """One array (images, channels, height, width), of as many channels as the richest image has.

    places: where each image comes from, for the error.
    Raises `UserError` for an image whose (height, width) isn't `pixels`, unless all are resized to `image_size`.
    """
    channels = max(len(image) for image in images)
    stacked = np.empty((len(images), channels, *((image_size, image_size) if image_size else pixels)), dtype=np.uint8)
    alike: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        if image_size is None and image.shape[1:] != pixels:
            raise UserError(
                f"{places[i]}: an image of {_size(image.shape[1:])} pixels, where the first has {_size(pixels)}:"
                " --image-size resizes all to one size"
            )
        alike.setdefault(image.shape, []).append(i)
    for indices in alike.values():
        stacked[indices] = resize(np.stack([images[i] for i in indices]), image_size)
    return stacked


def join(*splits: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The batches of each split as one array, all of as many channels as the richest batch of any split has."""
    channels = max((batch.shape[1] for batches in splits for batch in batches), default=1)
    return [
        np.concatenate([np.broadcast_to(batch, (len(batch), channels, *batch.shape[2:])) for batch in batches])
        for batches in splits
    ]


def _size(pixels: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in reversed(pixels))
