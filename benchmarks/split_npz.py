"""Split npz: your own arrays of images in a NumPy archive, dealt to experiences; needs --data FILE.npz."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.data.sources import npz
from clhyper.data.stream import ImageStream, split_stream
from clhyper.errors import UserError
from clhyper.options import StreamOptions, build

__all__ = ["SplitNpz"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of split npz."""

    data: Path | None = None
    """.npz file that holds x_train, y_train, x_test, y_test and, if you like, class_names"""


def SplitNpz(**options: Any) -> ImageStream:
    """A stream of the images in a NumPy archive.

    Images: (1 or 3, height, width).
    Raises `UserError` for no `data`, a file that can't be read, or an option that doesn't fit.
    Source: one's own file.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "split-npz", options)
    if chosen.data is None:
        raise UserError("split-npz needs --data FILE.npz: the file that holds x_train, y_train, x_test and y_test")
    return split_stream(npz(chosen.data, chosen.image_size), chosen, "split-npz")
