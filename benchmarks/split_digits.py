"""Split digits: scikit-learn's 8x8 handwritten digits, 5 experiences of 2 classes; installs with the dependencies."""

from dataclasses import dataclass
from typing import Any

from clhyper.data.sources import digits
from clhyper.data.stream import ImageStream, split_stream
from clhyper.options import StreamOptions, build

__all__ = ["SplitDigits"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of split digits."""

    backbone: str = "small-convnet"


def SplitDigits(**options: Any) -> ImageStream:
    """A stream of grey handwritten digits: 1,437 training and 360 test images of 10 classes.

    Images: (1, 8, 8).
    Raises `UserError` for an option that doesn't fit the data.
    Source: Alpaydin & Kaynak 1998, as scikit-learn ships it.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "split-digits", options)
    return split_stream(digits(chosen.image_size), chosen, "split-digits")
