"""How alike experiences are: the Frechet distance between their images, seen by a fixed random network.

d(A, B) = |m_A - m_B|^2 + Tr(S_A + S_B - 2 (S_A S_B)^(1/2)), with m the mean and S the covariance of features

Source: Dowson & Landau 1982 (the distance between two normal distributions), Heusel et al. 2017 (of features of
images). They take features of a trained Inception network; here (ours) it is one layer of random filters, rectified and
pooled, which belongs to no data set and no strategy, and tells images apart well enough to classify them (Jarrett et
al. 2009, Saxe et al. 2011). Labels play no part: experiences are alike whose images are.
"""

import contextlib
import functools
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clhyper.data.cache import cache_folder

__all__ = ["Moments", "features", "similarities", "similarity", "similarity_of"]

IMAGES = 400
"""training images of an experience that are looked at, at most"""
SIZE = 32
"""side in pixels that images are resized to"""
FILTERS, WITHOUT_MEAN = 16, 12
"""filters, and how many of them see edges alone, not how bright it is"""
_VERSION = 1
_AT_ONCE = 256


@dataclass(frozen=True)
class Moments:
    """Sums over features (images, numbers), float64, which add up: `count`, `total` (numbers,), `squares` (numbers,
    numbers)."""

    count: int
    total: Tensor
    squares: Tensor

    @classmethod
    def of(cls, found: Tensor) -> "Moments":
        return cls(len(found), found.sum(0), found.T @ found)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @functools.cached_property
    def mean(self) -> Tensor:
        return self.total / self.count

    @functools.cached_property
    def covariance(self) -> Tensor:
        return self.squares / self.count - self.mean.outer(self.mean)

    @functools.cached_property
    def root(self) -> Tensor:
        """Of the covariance."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def similarities(one: Moments, others: Sequence[Moments]) -> Tensor:
    """(others,) from 0 to 1: 1 / (1 + d / v), with d the Frechet distance and v the mean of both total variances.

    1 is alike, 1/2 as far apart as an experience's own images are spread. (Dividing by v is ours: so contrast and the
    number of features play no part.)
    """
    means, covariances = (torch.stack([getattr(o, name) for o in others]) for name in ("mean", "covariance"))
    variances = one.covariance.trace() + covariances.diagonal(dim1=1, dim2=2).sum(1)
    shared = torch.linalg.eigvalsh(one.root @ covariances @ one.root).clamp(min=0).sqrt().sum(1)
    distances = (one.mean - means).square().sum(1) + variances - 2 * shared
    return 1 / (1 + distances.clamp(min=0) / (variances / 2).clamp(min=1e-12))


def similarity(images: Sequence[Any], fingerprint: str) -> dict[str, Any]:
    """`matrix` (experience x experience) of similarities, and their `mean` over pairs, None for a single experience.

    Kept in the cache folder beside the decoded images. Takes about a second for 10,000 images that are looked at.

    Args:
        images: `ExperienceImages` of the training stream.
        fingerprint: Of the set of images that they are rows of.
    """
    parts = [[zlib.crc32(np.ascontiguousarray(part.rows).data), repr(part.domain)] for part in images]
    key = hashlib.blake2b(json.dumps([_VERSION, fingerprint, parts]).encode(), digest_size=16).hexdigest()
    path = cache_folder() / "similarity" / f"{key}.json"
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(kept, dict) and kept.keys() == {"mean", "matrix"}:
            return kept
    found = similarity_of([_moments(part, number) for number, part in enumerate(images)])
    with contextlib.suppress(OSError):  # that a cache can't be written has been said where images are read
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(found, file)
        os.replace(file.name, path)
    return found


def similarity_of(experiences: Sequence[Moments]) -> dict[str, Any]:
    """`matrix` and `mean` of `similarity`, to 6 digits."""
    matrix = torch.eye(len(experiences), dtype=torch.float64)
    for i in range(1, len(experiences)):
        matrix[i, :i] = matrix[:i, i] = similarities(experiences[i], experiences[:i])
    pairs = matrix[np.tril_indices(len(experiences), -1)]
    rounded = [[round(value, 6) for value in row] for row in matrix.tolist()]
    return {"mean": round(float(pairs.mean()), 6) if len(pairs) else None, "matrix": rounded}


def _moments(images: Any, seed: int) -> Moments:
    """Of some of an experience's images; which, the seed says."""
    chosen = np.random.default_rng(seed).permutation(len(images))[:IMAGES]
    return Moments.of(features(images.x(torch.from_numpy(np.sort(chosen)))))


@torch.no_grad()
def features(x: Tensor) -> Tensor:
    """uint8 (images, 1 or 3, height, width) to float64 (images, 64): what random filters see in each quarter."""
    seen = []
    for part in x.split(_AT_ONCE):
        colours = part.float().expand(-1, 3, -1, -1) / 255
        if part.shape[2:] != (SIZE, SIZE):
            colours = F.interpolate(colours, (SIZE, SIZE), mode="bilinear", antialias=True)
        responses = F.conv2d(colours, _filters(), stride=2, padding=2).relu()
        seen.append(F.adaptive_avg_pool2d(responses, 2).flatten(1).double())
    return torch.cat(seen)


@functools.cache
def _filters() -> Tensor:
    """(filters, 3, 5, 5), always the same."""
    random = np.random.default_rng(0).standard_normal((FILTERS, 3, 5, 5))
    random[:WITHOUT_MEAN] -= random[:WITHOUT_MEAN].mean(axis=(1, 2, 3), keepdims=True)
    return torch.from_numpy(random * (2 / 75) ** 0.5).float()
