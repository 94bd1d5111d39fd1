"""Split MNIST: 28x28 grey handwritten digits, 5 experiences of 2 classes; downloads, or --data DIR."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.data.sources import torchvision_idx
from clhyper.data.stream import ImageStream, split_stream
from clhyper.options import StreamOptions, build

__all__ = ["SplitMNIST"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of split MNIST."""

    backbone: str = "small-convnet"
    data: Path | None = None
    """folder that holds train-images-idx3-ubyte and so on, plain or .gz; without it, the files are downloaded once"""


def SplitMNIST(**options: Any) -> ImageStream:
    """A stream of grey handwritten digits: 60,000 training and 10,000 test images of 10 classes.

    Images: (1, 28, 28).
    Raises `UserError` for missing or damaged files, a failed download, or an option that doesn't fit.
    Source: LeCun et al. 1998.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "split-mnist", options)
    return split_stream(torchvision_idx("MNIST", chosen.data, chosen.image_size), chosen, "split-mnist")
