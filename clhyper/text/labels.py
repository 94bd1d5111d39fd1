"""Sentences with a label a word: tags, or spans written as BIO."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from clhyper.errors import UserError, require

Kind = Literal["tags", "spans"]
OUTSIDE, INSIDE = "O", "I"


@dataclass(frozen=True)
class Sentence:
    """Words and as many labels."""

    words: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class TaggedSet:
    """A task of sequence labelling.

    `kind`: tags (every word has one, as parts of speech are) or spans (BIO). `labels`: all that training sentences
    have, and test sentences too where the tag set is a known one, in order: tags, or types of spans.
    """

    name: str
    kind: Kind
    train: tuple[Sentence, ...]
    test: tuple[Sentence, ...]
    labels: tuple[str, ...]


def tagged_set(
    name: str, kind: Kind, train: Iterable[Sentence], test: Iterable[Sentence], known: bool = False
) -> TaggedSet:
    """A task from its sentences; `known`: a label that only test sentences have is one all the same.

    Raises:
        UserError: no sentence to train on, or no span in any of them.
    """
    train, test = tuple(train), tuple(test)
    require(bool(train), f"{name}: no sentence to train on")
    found = _found(kind, train)
    require(bool(found), f"{name}: no sentence has a span, all labels are {OUTSIDE}")
    return TaggedSet(name, kind, train, test, tuple(sorted(found | _found(kind, test) if known else found)))


def _found(kind: Kind, sentences: Iterable[Sentence]) -> set[str]:
    return {label for s in sentences for label in (s.labels if kind == "tags" else types(s.labels))}


def types(labels: Iterable[str]) -> list[str]:
    """The types of the spans in BIO labels, one for each word in a span."""
    return [label[2:] for label in labels if label != OUTSIDE]


def bio(labels: Sequence[str]) -> tuple[str, ...]:
    """BIO with a B wherever a span begins: an I after another type, or after O, begins one (as conlleval reads it).

    Raises:
        UserError: a label that is neither O nor B-TYPE nor I-TYPE, or a type called O or I.
    """
    clean: list[str] = []
    for label in labels:
        mark, _, kind = label.partition("-")
        if label != OUTSIDE and (mark not in ("B", "I") or not kind):
            raise UserError(f"label {label!r}: O, B-TYPE or I-TYPE is right")
        require(kind not in (OUTSIDE, INSIDE), f"label {label!r}: a type can't be called {kind}, which has a meaning")
        before = clean[-1] if clean else OUTSIDE
        clean.append(f"B-{kind}" if mark == "I" and before[2:] != kind else label)
    return tuple(clean)


def to_inside(labels: Sequence[str]) -> list[str]:
    """BIO to what is written: the type where a span begins, I where it goes on, O outside."""
    return [INSIDE if label.startswith("I-") else label.removeprefix("B-") for label in bio(labels)]


def from_inside(written: Sequence[str]) -> list[str]:
    """What `to_inside` gave, or a model wrote, to BIO; an I that continues nothing is O."""
    labels: list[str] = []
    kind = ""
    for label in written:
        kind = "" if label == OUTSIDE else kind if label == INSIDE else label
        labels.append(f"{'I' if label == INSIDE else 'B'}-{kind}" if kind else OUTSIDE)
    return labels
