"""Brown characters: genres of the Brown corpus, character by character; NLTK downloads it, or NLTK_DATA names it."""

from dataclasses import dataclass
from typing import Any

from clhyper.data.brown_source import brown
from clhyper.data.text import TextStream, text_stream
from clhyper.errors import require
from clhyper.options import build

__all__ = ["BrownCharacters"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of Brown characters."""

    genres: tuple[str, ...] = ("news", "religion", "learned", "romance", "science_fiction")
    """genres in order, an experience each: news, editorial, reviews, religion, hobbies, lore, belles_lettres,
    government, learned, fiction, mystery, science_fiction, adventure, romance, humor"""
    experiences: int = 1
    """follows from --genres, and needn't be given"""
    order_seed: int | None = None
    """seed that shuffles the genres; without it, they come as they are given"""
    task_labels: bool = True
    """tell strategies the genre (task-incremental); off: one head for all (domain-incremental)"""
    window: int = 100
    """characters of a training example, read from an empty state"""
    characters_each: int | None = None
    """training characters of each experience at most; without it, all"""
    test_characters_each: int | None = None
    """test characters of each experience at most; with --validation, held-out ones; without it, all"""
    test_share: float = 0.2
    """share of a genre's documents that are the test split"""
    validation: float = 0.0
    """share of the training documents held out; runs are then evaluated on these and never read the test split"""

    def __post_init__(self) -> None:
        require(
            self.experiences in (1, len(self.genres)),
            f"experiences {self.experiences}: {len(self.genres)} follow from --genres; leave it out",
        )
        object.__setattr__(self, "experiences", len(self.genres))
        require(self.order_seed is None or self.order_seed >= 0, f"order_seed {self.order_seed}: at least 0")
        require(self.window >= 1, f"window {self.window}: at least 1 character")
        for name in ("characters_each", "test_characters_each"):
            value = getattr(self, name)
            require(value is None or value > self.window, f"{name} {value}: more than a window of {self.window}")
        require(0 < self.test_share < 1, f"test_share {self.test_share}: a share between 0 and 1")
        require(0 <= self.validation < 1, f"validation {self.validation}: a share from 0 up to, but not including, 1")


def BrownCharacters(**options: Any) -> TextStream:
    """A stream of English text, a genre an experience, measured in bits per character.

    Examples: windows of characters, uint8 (window,), each with the character after it at every step.
    Raises `UserError` for a missing corpus, or an option that doesn't fit.
    Source: Francis & Kucera 1979, as NLTK reads it.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "brown-characters", options)
    return text_stream(brown(chosen.genres), chosen, "brown-characters")
