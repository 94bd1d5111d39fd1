"""Split Tiny ImageNet: colour photographs resized to 32x32, 20 experiences of 10 classes; downloads, or --data DIR."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.data.sources import tiny_imagenet
from clhyper.data.stream import ImageStream, split_stream
from clhyper.options import Augmentation, StreamOptions, build

__all__ = ["SplitTinyImageNet"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of split Tiny ImageNet."""

    experiences: int = 20
    image_size: int = 32
    """side in pixels that images are resized to; 64 leaves them as they are"""
    augmentation: Augmentation = "flip"
    data: Path | None = None
    """folder that holds tiny-imagenet-200; without it, the files are downloaded once"""


def SplitTinyImageNet(**options: Any) -> ImageStream:
    """A stream of colour photographs: 100,000 training and 10,000 test images of 200 classes.

    Images: (3, 32, 32), or (3, 64, 64) with `image_size=64`.
    Raises `UserError` for missing or damaged files, a failed download, or an option that doesn't fit.
    Source: Le & Yang 2015; dealt, resized and augmented as in Hemati et al. 2023.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "split-tiny-imagenet", options)
    return split_stream(tiny_imagenet(chosen.data, chosen.image_size), chosen, "split-tiny-imagenet")
