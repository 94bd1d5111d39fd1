"""Mixed: several sources one after another, such as photographs, digits and clothes; needs --sources A B ..."""

from dataclasses import dataclass
from typing import Any

from clhyper.data.mixture import mixture
from clhyper.data.sources import named
from clhyper.data.stream import ImageStream, split_stream
from clhyper.errors import UserError, require
from clhyper.options import StreamOptions, build

__all__ = ["Mixed"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of mixed."""

    sources: tuple[str, ...] = ()
    """sources in order, each cifar10, cifar100, digits, fashion, mnist or tiny-imagenet, which download unless a folder
    is named (cifar10=DIR), or the path of an .npz file or of a folder of Parquet, idx or image files"""
    experiences_each: int = 1
    """number of experiences that the classes of each source are dealt to"""
    experiences: int = 1
    """follows from --sources and --experiences-each, and needn't be given"""
    image_size: int = 32
    """side in pixels that the images of all sources are resized to"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.experiences_each >= 1, f"experiences_each {self.experiences_each}: at least 1")
        twice = [source for source in self.sources if self.sources.count(source) > 1]
        require(not twice, f"sources: {twice[:1]} occurs twice, each may occur once")
        require(not self.class_order, "class_order: mixed deals the classes of each source; --order-seed shuffles them")
        follows = len(self.sources) * self.experiences_each
        require(
            self.experiences in (1, follows),
            f"experiences {self.experiences}: {follows} follow from --sources and --experiences-each; leave it out",
        )
        object.__setattr__(self, "experiences", max(1, follows))


def Mixed(**options: Any) -> ImageStream:
    """A stream of several sources; a class is named after its source and its name there.

    Images: (3, 32, 32); grey images have three equal channels. All are normalised by the same mean and deviation.
    Raises `UserError` for no `sources`, one that can't be read, or an option that doesn't fit.
    Source: the idea of sequences of data sets, such as Serra et al. 2018; which ones is one's own choice.
    Keyword arguments: the fields of `Options`.
    """
    chosen = build(Options, "mixed", options)
    if not chosen.sources:
        raise UserError("mixed needs --sources: at least one, such as cifar10 digits my_images.npz")
    images, parts = mixture([named(source, chosen.image_size) for source in chosen.sources])
    return split_stream(images, chosen, "mixed", parts)
