"""Split CIFAR-100: 32x32 colour photographs, 20 experiences of 5 classes; downloads, or --data DIR."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.data.sources import cifar100
from clhyper.data.stream import ImageStream, split_stream
from clhyper.options import Augmentation, StreamOptions, build

__all__ = ["SplitCIFAR100"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of split CIFAR-100."""

    experiences: int = 20
    augmentation: Augmentation = "crop-flip"
    data: Path | None = None
    """folder that holds cifar-100-python; without it, the files are downloaded once"""


def SplitCIFAR100(**options: Any) -> ImageStream:
    """A stream of colour photographs: 50,000 training and 10,000 test images of 100 classes.

    Images: (3, 32, 32).
    Raises `UserError` for missing or damaged files, a failed download, or an option that doesn't fit.
    Source: Krizhevsky 2009.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "split-cifar100", options)
    return split_stream(cifar100(chosen.data, chosen.image_size), chosen, "split-cifar100")
