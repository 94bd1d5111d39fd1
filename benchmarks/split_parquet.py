"""Split Parquet: your own images in Hugging Face's Parquet layout, dealt to experiences; needs --data DIR."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.data.sources import parquet
from clhyper.data.stream import ImageStream, split_stream
from clhyper.errors import UserError
from clhyper.options import Augmentation, StreamOptions, build

__all__ = ["SplitParquet"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of split Parquet."""

    augmentation: Augmentation = "crop-flip"
    data: Path | None = None
    """folder that holds train.parquet and test.parquet, or shards such as train-00000-of-00001.parquet"""
    image_column: str | None = None
    """column of encoded images; without it, the only one"""
    label_column: str | None = None
    """column of integer labels; without it, label, labels, fine_label or the only one of integers"""


def SplitParquet(**options: Any) -> ImageStream:
    """A stream of the images in the Parquet files of a folder.

    Images: (1 or 3, height, width).
    Raises `UserError` for no `data`, files that can't be read, or an option that doesn't fit.
    Source: one's own files, or an image data set of https://huggingface.co/datasets.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "split-parquet", options)
    if chosen.data is None:
        raise UserError("split-parquet needs --data DIR: the folder that holds train.parquet and test.parquet")
    images = parquet(chosen.data, chosen.image_size, chosen.image_column, chosen.label_column)
    return split_stream(images, chosen, "split-parquet")
