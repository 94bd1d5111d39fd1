"""A data set dealt into experiences, by class or by domain: an Avalanche benchmark whose images stay uint8 tensors."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import CLScenario, EagerCLStream, with_classes_timeline
from torch import Tensor

from clhyper.backbones import Backbone, build_backbone
from clhyper.data.alike import alike_order
from clhyper.data.augmentation import Preparation
from clhyper.data.decode import balanced, share_of_each_class
from clhyper.data.domains import domain_of
from clhyper.data.experience import ExperienceImages, ImageExperience, as_targets, image_experience, images_of, join
from clhyper.data.images import ImageSet
from clhyper.data.scenario import Stream
from clhyper.data.similarity import similarity
from clhyper.errors import require
from clhyper.options import StreamOptions

__all__ = ["ExperienceImages", "ImageExperience", "ImageStream", "images_of", "join", "split_stream"]


class ImageStream(Stream):
    """An Avalanche benchmark (`train_stream`, `test_stream`) that knows its images."""

    images: ImageSet
    options: StreamOptions

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.image_shape

    @property
    def classes(self) -> int:
        """Outputs that the widest classifier of the stream needs: of the widest experience, or of all of them."""
        widths = [max(experience.classes_in_this_experience) + 1 for experience in self.streams["train"]]
        return max(widths)

    def similarity(self) -> dict[str, Any]:
        """How alike the experiences' training images are, 0 to 1; see `clhyper.data.similarity.similarity`."""
        return similarity([experience.images for experience in self.train_stream], self.images.fingerprint)

    def backbone(self, name: str | None = None) -> Backbone:
        """A newly initialised backbone for these images, by default the one in the stream's options."""
        return build_backbone(name or self.options.backbone, self.image_shape, self.classes)


def split_stream(
    images: ImageSet, options: StreamOptions, name: str, parts: Sequence[Sequence[int]] = ()
) -> ImageStream:
    """Deals the classes of `images` to experiences; or, with a `variant`, gives all of them to each, in its domain.

    With task labels an experience's number is its task, and its labels count from 0; without, the task is 0 throughout
    and labels count on in the order of appearance: where classes come again, so do their labels. Classes that don't
    divide evenly go to the first experiences.

    parts: classes that don't mix, such as those of one source; each is dealt, variant or not, to as many experiences.

    Raises:
        UserError: more experiences than classes, a class order that isn't one, an experience without images, or fewer
            experiences than are asked for with `first`.
    """
    smallest = min(images.image_shape[1:])
    require(
        smallest > 2 or not any("blur" in corrupted for corrupted in options.corruptions),
        f"corrupt: {name} has images of {smallest} pixels, and a blur needs at least 3: --image-size resizes them",
    )
    groups = []
    for part in parts or [range(images.classes)]:
        groups += _groups(images, part, options, options.experiences // max(1, len(parts)), not parts, name)
    require(
        options.first is None or options.first <= len(groups),
        f"first {options.first}: {name} has {len(groups)} experiences",
    )
    groups = groups[: options.first]
    training, held_out = np.arange(len(images.y_train)), np.arange(0)
    if options.validation:
        training, held_out = share_of_each_class(images.y_train, options.validation, "validation")
    plain = Preparation(images.mean, images.std)
    augmented = Preparation(images.mean, images.std, options.augmentation)
    splits = {
        "train": (images.x_train, images.y_train, training, augmented),
        "test": (images.x_test, images.y_test, np.arange(len(images.y_test)), plain),
    }
    if options.validation:
        splits["validation"] = (images.x_train, images.y_train, held_out, plain)
    scenario = CLScenario(
        [EagerCLStream(stream, _experiences(stream, groups, options, *split)) for stream, split in splits.items()]
    )
    return ImageStream(name, images, options, list(with_classes_timeline(scenario).streams.values()))


def _groups(
    images: ImageSet, part: Sequence[int], options: StreamOptions, experiences: int, varied: bool, name: str
) -> list[list[int]]:
    """The classes of each of so many experiences, of a part of the classes; varied: in a variant they come again."""
    order, each = _class_order(images, part, options, name), options.classes_each
    require(each is None or each <= len(order), f"classes_each {each}: {name} has {len(order)} classes to deal")
    if varied and options.variant != "none":
        again, width = itertools.cycle(order), each or len(order)
        return [list(itertools.islice(again, width)) for _ in range(experiences)]
    require(
        experiences * (each or 1) <= len(order),
        f"experiences {experiences}: {name} has {len(order)} classes, so at most "
        + (f"{len(order) // each} experiences of {each}" if each else "as many experiences"),
    )
    dealt = order[: experiences * each] if each else order
    sizes = [len(group) for group in np.array_split(dealt, experiences)]
    if options.alike is not None:
        seed = options.order_seed or 0
        dealt = alike_order(images.x_train, images.y_train, sorted(dealt), sizes, options.alike, seed)
    ends = np.cumsum(sizes)
    return [dealt[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _class_order(images: ImageSet, part: Sequence[int], options: StreamOptions, name: str) -> list[int]:
    if options.class_order:
        order = list(options.class_order)
        twice = sorted({label for label in order if order.count(label) > 1})
        require(not twice, f"class_order: class {twice[0] if twice else ''} occurs twice, each may occur once")
        outside = [label for label in order if not 0 <= label < images.classes]
        require(not outside, f"class_order: {outside[:1]} is no class of {name}, which has 0 to {images.classes - 1}")
        return order
    if options.order_seed is None:
        return list(part)
    return np.random.default_rng(options.order_seed).permutation(list(part)).tolist()


def _experiences(
    stream: str,
    groups: list[list[int]],
    options: StreamOptions,
    source: np.ndarray,
    all_labels: np.ndarray,
    allowed: np.ndarray,
    preparation: Preparation,
) -> list[ImageExperience]:
    """The experiences of one stream: those rows of the source that are allowed, dealt by their classes."""
    experiences = []
    number_of = {label: number for number, label in enumerate(dict.fromkeys(itertools.chain(*groups)))}
    dealt: dict[tuple[int, ...], tuple[np.ndarray, Tensor, Any]] = {}
    for number, classes in enumerate(groups):
        label_of = {label: i for i, label in enumerate(classes)} if options.task_labels else number_of
        if tuple(classes) not in dealt:
            rows = allowed[np.isin(all_labels[allowed], classes)]
            require(len(rows) > 0, f"experience {number}: no {stream} images of its classes: deal fewer experiences")
            most = options.images_each if stream == "train" else options.test_images_each
            if most:
                rows = rows[balanced(all_labels[rows], most)]
            labels = torch.tensor([label_of[label] for label in all_labels[rows].tolist()], dtype=torch.long)
            dealt[tuple(classes)] = (rows, labels, as_targets(labels))
        rows, labels, targets = dealt[tuple(classes)]
        task = number if options.task_labels else 0
        domain = domain_of(number, options)
        images = ExperienceImages(source, rows, labels, torch.full_like(labels, task), preparation, domain)
        known = {task: [label_of[label] for label in classes]}
        experiences.append(image_experience(number, images, targets, known, classes))
    return experiences
