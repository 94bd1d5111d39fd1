"""Text as a stream: documents of several kinds to windows of characters, an experience a kind."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import CLScenario, EagerCLStream, with_classes_timeline
from avalanche.benchmarks.utils import DataAttribute
from torch import Tensor

from clhyper.data.augmentation import Preparation
from clhyper.data.experience import ExperienceImages, ImageExperience, image_experience
from clhyper.data.scenario import Stream
from clhyper.errors import require
from clhyper.measures import BITS
from clhyper.recurrent.reading import Characters

__all__ = ["Codes", "Document", "TextSet", "TextStream", "text_stream"]

LARGEST_VOCABULARY = 256
"""characters that a uint8 tells apart"""


@dataclass(frozen=True)
class Document:
    """A text by its name in the source."""

    name: str
    text: str


@dataclass(frozen=True)
class TextSet:
    """Documents by kind, and what is known of them all.

    `vocabulary`: every character of the stream once, in order; a character's code is its place.
    `class_names`: the kinds. `mean`, `std`: empty, for there is nothing to normalise.
    `fingerprint`: changes whenever a document does.
    """

    name: str
    documents: Mapping[str, Sequence[Document]]
    vocabulary: str
    fingerprint: str
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.documents)


@dataclass(frozen=True)
class Codes(Preparation):
    """Codes of characters as they are: (batch, length) uint8 to the same."""

    def normalise(self, x: Tensor) -> Tensor:
        return x


class TextStream(Stream):
    """An Avalanche benchmark (`train_stream`, `test_stream`) of text: an experience a kind, measured in bits.

    An example is a window of characters, uint8 (length,), and its label is the next character at each step, (length,).
    `images`: the documents.
    """

    measure = BITS
    images: TextSet

    @property
    def classes(self) -> int:
        """Characters of the vocabulary."""
        return len(self.images.vocabulary)

    def similarity(self) -> dict[str, Any]:
        """Not measured: of text there is no `mean` and no `matrix`."""
        return {"mean": None, "matrix": []}

    def backbone(self, name: str | None = None) -> Characters:
        """How the characters are read, for strategies of sequences."""
        require(name is None, f"backbone {name}: text is read character by character, and has no other backbone")
        return Characters(self.classes)


def text_set(name: str, documents: Mapping[str, Sequence[Document]]) -> TextSet:
    """Documents by kind with the vocabulary of them all. Raises `UserError` for too many different characters."""
    every = [document for of_kind in documents.values() for document in of_kind]
    vocabulary = "".join(sorted(set().union(*(document.text for document in every))))
    require(
        len(vocabulary) <= LARGEST_VOCABULARY,
        f"{name}: {len(vocabulary)} different characters, at most {LARGEST_VOCABULARY} can be told apart",
    )
    content = hashlib.blake2b(digest_size=16)
    for kind, of_kind in documents.items():
        content.update(kind.encode())
        for document in of_kind:
            content.update(f"\0{document.name}\0{document.text}".encode())
    return TextSet(name, documents, vocabulary, content.hexdigest())


def text_stream(text: TextSet, options: Any, name: str) -> TextStream:
    """An experience a kind of `text`, in its order, or in that of the options' `order_seed`.

    Of each kind a share of the documents is the test split, and with `validation` a further share is held out: the
    first of an order that is drawn once and for all, so that no document is on two sides. Each side's documents follow
    one another and are cut into windows; what is left over at the end is dropped.

    Raises:
        UserError: a kind with too few documents, or a side that isn't as long as a window.
    """
    kinds = list(text.documents)
    if options.order_seed is not None:
        kinds = [kinds[place] for place in np.random.default_rng(options.order_seed).permutation(len(kinds))]
    sides = {"train": [], "test": [], **({"validation": []} if options.validation else {})}  # type: ignore[var-annotated]
    place = {character: code for code, character in enumerate(text.vocabulary)}
    for number, kind in enumerate(kinds):
        dealt = _dealt(text.documents[kind], kind, options)
        for side, documents in dealt.items():
            most = options.characters_each if side == "train" else options.test_characters_each
            codes = np.array([place[c] for document in documents for c in document.text[:most]][:most], dtype=np.uint8)
            sides[side].append(_experience(codes, number, text.class_names.index(kind), kind, side, text, options))
    scenario = CLScenario([EagerCLStream(side, experiences) for side, experiences in sides.items()])
    return TextStream(name, text, options, list(with_classes_timeline(scenario).streams.values()))


def _dealt(documents: Sequence[Document], kind: str, options: Any) -> dict[str, list[Document]]:
    """The documents of one kind by side."""
    order = np.random.default_rng(0).permutation(len(documents))
    tested = max(1, round(options.test_share * len(documents)))
    held_out = max(1, math.ceil(options.validation * (len(documents) - tested))) if options.validation else 0
    require(
        len(documents) > tested + held_out,
        f"{kind}: {len(documents)} documents, of which {tested} are for the test"
        + (f" and {held_out} are held out" if held_out else "")
        + ", so that none is left to train on",
    )
    ends = {
        "test": order[:tested],
        "validation": order[tested : tested + held_out],
        "train": order[tested + held_out :],
    }
    return {side: [documents[place] for place in sorted(chosen)] for side, chosen in ends.items() if len(chosen)}


def _experience(
    codes: np.ndarray, number: int, genre: int, kind: str, side: str, text: TextSet, options: Any
) -> ImageExperience:
    """One side's windows of one kind."""
    windows = (len(codes) - 1) // options.window
    require(
        windows > 0,
        f"{kind}: {len(codes)} {side} characters are less than a window of {options.window} and the one after it: take"
        " a smaller --window or more characters",
    )
    x = codes[: windows * options.window].reshape(windows, options.window)
    following = torch.from_numpy(codes[1 : windows * options.window + 1].astype(np.int64)).view_as(torch.from_numpy(x))
    task = number if options.task_labels else 0
    examples = ExperienceImages(x, np.arange(windows), following, torch.full((windows,), task), Codes((), ()))
    targets = DataAttribute([genre] * windows, "targets")
    return image_experience(number, examples, targets, {task: list(range(len(text.vocabulary)))}, [genre])
