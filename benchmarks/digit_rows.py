"""Digit rows: scikit-learn's digits read row by row, a small stream of sequences; installs with the dependencies."""

from dataclasses import dataclass
from typing import Any

from clhyper.data.sources import digits
from clhyper.data.stream import ImageStream, split_stream
from clhyper.options import StreamOptions, build

__all__ = ["DigitRows"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of digit rows."""

    backbone: str = "rows"
    """how images are read: rows, for recurrent strategies"""


def DigitRows(**options: Any) -> ImageStream:
    """The images of split-digits, each a sequence of 8 rows of 8 pixels that is classified after the last.

    Images: (1, 8, 8).
    Raises `UserError` for an option that doesn't fit the data.
    Source: Alpaydin & Kaynak 1998, as scikit-learn ships it; rows as steps as in Le, Jaitly and Hinton 2015, who took
    pixels.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "digit-rows", options)
    return split_stream(digits(chosen.image_size), chosen, "digit-rows")
