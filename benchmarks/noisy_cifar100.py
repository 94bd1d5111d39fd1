"""Noisy CIFAR-100: 4 experiences of 5 classes, each corrupted in its own way; downloads, or --data DIR."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.data.sources import cifar100
from clhyper.data.stream import ImageStream, split_stream
from clhyper.options import Augmentation, StreamOptions, build

__all__ = ["NoisyCIFAR100"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of noisy CIFAR-100."""

    experiences: int = 4
    classes_each: int = 5
    """classes that each experience has, further ones are left out"""
    corrupt: tuple[str, ...] = ("paper",)
    """how images of experience 0, 1, ... are corrupted, in training and test alike, and over again if there are more;
    none: the clean stream to compare with"""
    augmentation: Augmentation = "crop-flip"
    data: Path | None = None
    """folder that holds cifar-100-python; without it, the files are downloaded once"""


def NoisyCIFAR100(**options: Any) -> ImageStream:
    """A stream of colour photographs: clean; solarized; blurred; with autocontrast, grey and blurred.

    Images: (3, 32, 32).
    Raises `UserError` for missing or damaged files, a failed download, or an option that doesn't fit.
    Source: Hemati et al. 2023; images of Krizhevsky 2009.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "noisy-cifar100", options)
    return split_stream(cifar100(chosen.data, chosen.image_size), chosen, "noisy-cifar100")
