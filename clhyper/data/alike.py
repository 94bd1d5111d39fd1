"""One source cut into experiences that are more or less alike, by which classes come together."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from clhyper.data.similarity import Moments, features, similarities

__all__ = ["alike_order"]

IMAGES = 100
"""training images of a class that are looked at, at most"""
TRIES = 300
"""swaps of two classes that are tried on the way up, and as many on the way down"""
COMPONENTS = 16
"""principal components of the features that are compared, so that a swap costs little"""
_LEAST = 1e-6
"""of a gain that counts: above what rounding is on any machine, so that all find the same order"""


def alike_order(
    x: np.ndarray, y: np.ndarray, classes: Sequence[int], sizes: Sequence[int], share: float, seed: int
) -> list[int]:
    """The classes in an order whose groups of `sizes`, one after another, are more or less alike.

    From a random order, swaps of two classes that make the groups less alike are kept, until a number of them has been
    tried, then swaps that make them more alike; of all orders tried on the way from the least to the most alike it is
    the one whose mean similarity is nearest to least + share * (most - least). (Ours; the similarity is that of
    `clhyper.data.similarity`, of fewer images and of principal components of their features.)

    x: uint8 (images, channels, height, width). y: (images,) their classes. share: 0 to 1. seed: of the whole search.
    """
    random = np.random.default_rng((seed, len(classes)))
    search = _Search(_of_classes(x, y, classes), random.permutation(len(classes)).tolist(), [0, *np.cumsum(sizes)])
    if len(sizes) > 1:
        search.climb(random, -1.0)
        least = search.now()
        tried = [least, *search.climb(random, 1.0), search.now()]
        wanted = (1 - share) * least[0] + share * search.now()[0]
        search.order = min(tried, key=lambda step: abs(step[0] - wanted))[1]
    return [classes[number] for number in search.order]


def _of_classes(x: np.ndarray, y: np.ndarray, classes: Sequence[int]) -> list[Moments]:
    """Of principal components of each class's images."""
    found = []
    for label in classes:
        rows = np.flatnonzero(y == label)
        rows = np.sort(np.random.default_rng(label).permutation(rows)[:IMAGES])
        found.append(features(torch.from_numpy(np.ascontiguousarray(x[rows]))))
    together = torch.cat(found)
    centre = together.mean(0)
    _, vectors = torch.linalg.eigh(torch.cov(together.T))
    return [Moments.of((part - centre) @ vectors[:, -COMPONENTS:]) for part in found]


@dataclass
class _Search:
    """An order of classes, its groups, and how alike each two of them are."""

    classes: list[Moments]
    order: list[int]
    ends: list[int]

    def __post_init__(self) -> None:
        self.groups = [self._group(number, self.order) for number in range(len(self.ends) - 1)]
        self.matrix = torch.stack([similarities(group, self.groups) for group in self.groups])

    def now(self) -> tuple[float, list[int]]:
        """The mean similarity of all pairs, and the order."""
        return float(self.matrix.tril(-1).sum()) / (len(self.groups) * (len(self.groups) - 1) / 2), [*self.order]

    def climb(self, random: np.random.Generator, sign: float) -> list[tuple[float, list[int]]]:
        """Keeps what makes `sign` times the mean similarity larger; gives what `now` was after each try."""
        tried = []
        for _ in range(TRIES):
            one, other = random.choice(len(self.order), 2, replace=False).tolist()
            touched = [bisect.bisect_right(self.ends, place) - 1 for place in (one, other)]
            if touched[0] == touched[1]:
                continue
            before, kept = self.now()[0], (self.order, self.groups, self.matrix)
            self._swap(one, other, touched)
            tried.append(self.now())
            if sign * (tried[-1][0] - before) <= _LEAST:
                self.order, self.groups, self.matrix = kept
        return tried

    def _swap(self, one: int, other: int, touched: list[int]) -> None:
        order, groups, matrix = [*self.order], [*self.groups], self.matrix.clone()
        order[one], order[other] = order[other], order[one]
        for number in touched:
            groups[number] = self._group(number, order)
        for number in touched:
            matrix[number] = matrix[:, number] = similarities(groups[number], groups)
        self.order, self.groups, self.matrix = order, groups, matrix

    def _group(self, number: int, order: list[int]) -> Moments:
        first, *rest = (self.classes[label] for label in order[self.ends[number] : self.ends[number + 1]])
        for moments in rest:
            first = first + moments
        return first
