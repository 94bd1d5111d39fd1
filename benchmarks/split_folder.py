"""Split folder: your own image files, one folder a class, dealt to experiences; needs --data DIR."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.data.sources import folder
from clhyper.data.stream import ImageStream, split_stream
from clhyper.errors import UserError
from clhyper.options import StreamOptions, build

__all__ = ["SplitFolder"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of split folder."""

    data: Path | None = None
    """folder that holds train/CLASS and test/CLASS (or val/CLASS), or CLASS itself, each with its images"""
    test_share: float = 0.2
    """share of each class's images that is drawn as the test split, where there is no folder test or val"""


def SplitFolder(**options: Any) -> ImageStream:
    """A stream of the image files in a folder, one folder a class.

    Images: (1 or 3, height, width).
    Raises `UserError` for no `data`, files that can't be read, or an option that doesn't fit.
    Source: one's own files, as torchvision's `ImageFolder` has them.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "split-folder", options)
    if chosen.data is None:
        raise UserError("split-folder needs --data DIR: the folder that holds train/CLASS and test/CLASS, or CLASS")
    return split_stream(folder(chosen.data, chosen.image_size, chosen.test_share), chosen, "split-folder")
