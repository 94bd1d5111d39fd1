"""A data set dealt into experiences, by class or by domain: an Avalanche benchmark whose images stay uint8 tensors."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import CLScenario, EagerCLStream, with_classes_timeline
from torch import Tensor

from clhyper.backbones import Backbone, build_backbone
from clhyper.data.augmentation import Preparation
from clhyper.data.decode import share_of_each_class
from clhyper.data.domains import domain_of
from clhyper.data.experience import ExperienceImages, ImageExperience, as_targets, image_experience, images_of, join
from clhyper.data.images import ImageSet
from clhyper.errors import require
from clhyper.options import StreamOptions

__all__ = ["ExperienceImages", "ImageExperience", "ImageStream", "images_of", "join", "split_stream"]


class ImageStream(CLScenario):
    """An Avalanche benchmark (`train_stream`, `test_stream`) that knows its images.

    `eval_stream`: what runs are evaluated on: the test stream, or held-out training images with `validation`.
    """

    def __init__(self, name: str, images: ImageSet, options: StreamOptions, streams: Sequence[EagerCLStream]) -> None:
        super().__init__(streams)
        self.name = name
        self.images = images
        self.options = options

    @property
    def evaluated_on(self) -> str:
        return "validation" if self.options.validation else "test"

    @property
    def eval_stream(self) -> EagerCLStream:
        return self.streams[self.evaluated_on]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.images.image_shape

    @property
    def classes(self) -> int:
        """Outputs that the widest classifier of the stream needs: of the widest experience, or of all of them."""
        widths = [max(experience.classes_in_this_experience) + 1 for experience in self.streams["train"]]
        return max(widths)

    def backbone(self, name: str | None = None) -> Backbone:
        """A newly initialised backbone for these images, by default the one in the stream's options."""
        return build_backbone(name or self.options.backbone, self.image_shape, self.classes)


def split_stream(images: ImageSet, options: StreamOptions, name: str) -> ImageStream:
    """Deals the classes of `images` to experiences; or, with a `variant`, gives all of them to each, in its domain.

    With task labels an experience's number is its task, and its labels count from 0; without, the task is 0 throughout
    and labels count on in the order of appearance: where classes come again, so do their labels. Classes that don't
    divide evenly go to the first experiences.

    Raises:
        UserError: more experiences than classes, a class order that isn't one, or an experience without images.
    """
    order = _class_order(images, options, name)
    if options.variant == "none":
        require(
            options.experiences <= len(order),
            f"experiences {options.experiences}: {name} has {len(order)} classes, so at most as many experiences",
        )
        groups = [group.tolist() for group in np.array_split(np.array(order), options.experiences)]
    else:
        groups = [order] * options.experiences
    training, held_out = np.arange(len(images.y_train)), np.arange(0)
    if options.validation:
        training, held_out = share_of_each_class(images.y_train, options.validation, "validation")
    plain = Preparation(images.mean, images.std)
    augmented = Preparation(images.mean, images.std, options.augmentation)
    parts = {
        "train": (images.x_train, images.y_train, training, augmented),
        "test": (images.x_test, images.y_test, np.arange(len(images.y_test)), plain),
    }
    if options.validation:
        parts["validation"] = (images.x_train, images.y_train, held_out, plain)
    scenario = CLScenario(
        [EagerCLStream(stream, _experiences(stream, groups, options, *part)) for stream, part in parts.items()]
    )
    return ImageStream(name, images, options, list(with_classes_timeline(scenario).streams.values()))


def _class_order(images: ImageSet, options: StreamOptions, name: str) -> list[int]:
    if options.class_order:
        order = list(options.class_order)
        twice = sorted({label for label in order if order.count(label) > 1})
        require(not twice, f"class_order: class {twice[0] if twice else ''} occurs twice, each may occur once")
        outside = [label for label in order if not 0 <= label < images.classes]
        require(not outside, f"class_order: {outside[:1]} is no class of {name}, which has 0 to {images.classes - 1}")
        return order
    if options.order_seed is None:
        return list(range(images.classes))
    return np.random.default_rng(options.order_seed).permutation(images.classes).tolist()


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
        first = number_of[classes[0]] if options.task_labels else 0
        if tuple(classes) not in dealt:
            rows = allowed[np.isin(all_labels[allowed], classes)]
            require(len(rows) > 0, f"experience {number}: no {stream} images of its classes: deal fewer experiences")
            labels = torch.tensor([number_of[label] - first for label in all_labels[rows].tolist()], dtype=torch.long)
            dealt[tuple(classes)] = (rows, labels, as_targets(labels))
        rows, labels, targets = dealt[tuple(classes)]
        task = number if options.task_labels else 0
        domain = domain_of(number, options)
        images = ExperienceImages(source, rows, labels, torch.full_like(labels, task), preparation, domain)
        known = {task: [number_of[label] - first for label in classes]}
        experiences.append(image_experience(number, images, targets, known, classes))
    return experiences
