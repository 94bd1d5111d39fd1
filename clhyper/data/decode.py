"""What the image sources have in common: hashing files, resizing, numbering classes, shares of every class."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from clhyper.errors import UserError, require

__all__ = ["balanced", "check_alike", "hash_files", "hash_tree", "number_classes", "resize", "share_of_each_class"]

RESIZED_AT_ONCE = 2**24
"""numbers of the source images that are resized in one call: 64 MiB as float32"""

_SHARE_SEED = 0


def hash_files(paths: Sequence[Path]) -> list[str]:
    """A hash of each file's content; raises `UserError` for one that can't be read."""
    hashes = []
    for path in paths:
        try:
            with path.open("rb") as file:
                hashes.append(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest())
        except OSError as error:
            raise UserError(f"{path}: can't be read ({error.strerror or error})") from error
    return hashes


def hash_tree(root: Path, paths: Sequence[Path]) -> str:
    """One hash of the files' content and of their places under `root`; raises as `hash_files`."""
    places = [path.relative_to(root).as_posix() for path in paths]
    content = json.dumps([places, hash_files(paths)])
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def resize(images: np.ndarray, size: int | None) -> np.ndarray:
    """uint8 (images, channels, height, width) -> (images, channels, size, size): bilinear, antialiased, rounded.

    `size` None leaves the images as they are.
    """
    if size is None or images.shape[2:] == (size, size):
        return images
    resized = np.empty((*images.shape[:2], size, size), dtype=np.uint8)
    step = max(1, RESIZED_AT_ONCE // images[0].size)
    for start in range(0, len(images), step):
        batch = torch.from_numpy(np.array(images[start : start + step])).float()  # a copy: files are read-only
        batch = F.interpolate(batch, size=(size, size), mode="bilinear", antialias=True)
        resized[start : start + step] = batch.round_().clamp_(0, 255).to(torch.uint8).numpy()
    return resized


def number_classes(
    source: Path, y_train: np.ndarray, y_test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Labels renumbered 0 to classes - 1 in the order of the source's own labels, which come third.

    Raises `UserError`, naming `source`, where a split is empty or the test split has a class that training lacks.
    """
    for split, labels in (("training", y_train), ("test", y_test)):
        require(len(labels) > 0, f"{source}: no {split} images: at least one is needed")
    known = np.unique(y_train)
    unseen = np.setdiff1d(y_test, known)
    if len(unseen):
        raise UserError(
            f"{source}: test label {unseen[0]} has no training image: all classes of the test split must be trained"
        )
    numbered = [np.searchsorted(known, labels).astype(np.int64) for labels in (y_train, y_test)]
    return numbered[0], numbered[1], tuple(known.tolist())


def check_alike(source: Path, x_train: np.ndarray, x_test: np.ndarray) -> None:
    """Raises `UserError`, naming `source`, unless training and test images have the same shape."""
    if x_train.shape[1:] != x_test.shape[1:]:
        shapes = " and ".join("x".join(map(str, x.shape[1:])) for x in (x_train, x_test))
        raise UserError(
            f"{source}: training and test images of {shapes} (channels x height x width): both must be alike"
            " (--image-size resizes them)"
        )


def share_of_each_class(labels: np.ndarray, share: float, option: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows that stay and rows set apart: the same share of every class, drawn with a fixed seed.

    Every class has at least one image in both; raises `UserError`, naming the `option`, for one with a single image.
    """
    random = np.random.default_rng(_SHARE_SEED)
    apart = []
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        require(len(rows) > 1, f"{option} {share}: class {label} has one image, which can't be split")
        apart.append(rows[: min(max(1, round(share * len(rows))), len(rows) - 1)])
    chosen = np.sort(np.concatenate(apart))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def balanced(labels: np.ndarray, most: int) -> np.ndarray:
    """At most so many positions in `labels`, in order: as many of one class as of another, as far as they go.

    Drawn with a fixed seed; fewer are among those that more would be.
    """
    shuffled = np.random.default_rng(_SHARE_SEED).permutation(len(labels))
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        of_class = shuffled[labels[shuffled] == label]
        rank[of_class] = np.arange(len(of_class))
    return np.sort(shuffled[np.argsort(rank[shuffled], kind="stable")[:most]])
