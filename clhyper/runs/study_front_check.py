"""Whether the fronts of a study fit the runs that take them, seen before anything is trained."""

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from clhyper.errors import UserError, require
from clhyper.registry import find
from clhyper.runs.config import RunConfig
from clhyper.runs.fronts import Front
from clhyper.runs.study_fronts import fronts_of, named

if TYPE_CHECKING:
    from clhyper.data.images import ImageSet
    from clhyper.runs.study import Planned


def check_fronts(planned: Iterable["Planned"]) -> None:
    """Reads the streams of fronts and of the runs that take them, and sees that they fit each other.

    Raises:
        UserError: data that can't be read, classes that there aren't or that a run's stream has too, or a front of
            another backbone, image shape or norm than a run takes.
    """
    from clhyper.runs.pretrain import single_experience

    planned = [one for one in planned if one.front]
    for front in fronts_of(planned):
        with named(front):
            trained = single_experience(front.benchmark, front.classes, front.benchmark_options)
        different = {_what_must_fit(one.config): one for one in planned if one.front and one.front.file == front.file}
        for one in different.values():
            try:
                stream = find("benchmark", one.config.benchmark).load()(**one.config.benchmark_options)
            except UserError as error:
                raise UserError(f"stream {one.stream}: {error}") from None
            _check_classes(front, trained, one, stream)
            _check_stages(front, trained, one, stream)


def _what_must_fit(config: RunConfig) -> tuple[str, ...]:
    options = config.strategy_options
    return (config.benchmark, str(config.benchmark_options), str(options["freeze_depth"]), options["front_norm"])


def _check_classes(front: Front, trained: Any, one: "Planned", stream: Any) -> None:
    """Raises `UserError` if the front is trained on classes of the run's stream."""
    lie = [(front.benchmark, front.benchmark_options), (one.config.benchmark, one.config.benchmark_options)]
    places = [(benchmark, str(options.get("data"))) for benchmark, options in lie]
    used = {label for experience in stream.train_stream for label in experience.original_classes}
    shared = {
        label - classes.start
        for images, classes in _sources(stream)
        if _same(trained.images, images) or places[0] == places[1]
        for label in used & {*classes}
    } & {*front.classes}
    require(
        not shared,
        f"front {front.name}: its classes and those of stream {one.stream} have"
        f" {', '.join(map(str, sorted(shared)))} in common; give the front others, or the stream"
        f" {'other sources' if hasattr(stream.options, 'sources') else 'a class_order without them'}",
    )


def _sources(stream: Any) -> list[tuple["ImageSet", range]]:
    """The sets of images that a stream is made of, and the labels that the classes of each have in it."""
    from clhyper.data.sources import named as source

    given = getattr(stream.options, "sources", ())
    sets = [source(text, stream.options.image_size) for text in given] or [stream.images]
    ends = itertools.accumulate(images.classes for images in sets)
    return [(images, range(end - images.classes, end)) for images, end in zip(sets, ends, strict=True)]


def _same(one: "ImageSet", other: "ImageSet") -> bool:
    """Whether two sets have the same images, from wherever they were read."""
    return one.fingerprint == other.fingerprint or (
        one.x_train.shape == other.x_train.shape
        and np.array_equal(one.y_train, other.y_train)
        and np.array_equal(one.x_train, other.x_train)
    )


def _check_stages(front: Front, trained: Any, one: "Planned", stream: Any) -> None:
    """Raises `UserError` if the front's first stages, or its images, aren't those of the run's."""
    from clhyper.backbones import split

    norm = one.config.strategy_options["front_norm"]
    require(
        front.training["norm"] == norm,
        f"front {front.name}: has {front.training['norm']} norm, and runs on stream {one.stream} take {norm} norm; give"
        f" the front norm = {norm!r}",
    )
    depth = one.config.strategy_options["freeze_depth"]
    (given, _), (wanted, _) = (split(side.backbone(), depth) for side in (trained, stream))
    shapes = [{name: tuple(value.shape) for name, value in part.state_dict().items()} for part in (given, wanted)]
    kinds = [
        f"{side.options.backbone} for images of {'x'.join(map(str, side.image_shape))}" for side in (trained, stream)
    ]
    require(
        shapes[0] == shapes[1] and trained.image_shape == stream.image_shape,
        f"front {front.name}: is one of {kinds[0]}, and runs on stream {one.stream} take one of {kinds[1]}; give both"
        " the same backbone and image_size",
    )
