"""An experience of a stream: an Avalanche experience whose images are also there as uint8 tensors."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks.scenarios.dataset_scenario import DatasetExperience
from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset, TransformGroups
from torch import Tensor
from torch.utils.data import Dataset

from clhyper.backbones.model import classes_by_task
from clhyper.data.augmentation import Preparation
from clhyper.data.domains import Domain, in_domain

__all__ = ["ExperienceImages", "ImageExperience", "JoinedImages", "ListedImages", "images_of", "join"]


class ExperienceImages(Dataset):
    """The images of an experience, rows of the source's array: whole as tensors, or one by one as a torch data set.

    Args:
        source: uint8 (all images, channels, height, width).
        rows: Rows of the source that belong to the experience.
        labels: (images,) labels as the strategies see them; of sequences with a label a step, (sequences, steps).
        tasks: (images,) task labels.
        preparation: uint8 images to network inputs.
        domain: How the experience's images look; they are brought into it as they are read.
    """

    def __init__(
        self,
        source: np.ndarray,
        rows: np.ndarray,
        labels: Tensor,
        tasks: Tensor,
        preparation: Preparation,
        domain: Domain = (),
    ) -> None:
        self.source, self.rows, self.labels, self.tasks = source, rows, labels, tasks
        self.preparation, self.domain = preparation, domain

    @functools.cached_property
    def targets(self) -> list[int]:
        """The labels as a list, as torch's data sets have them."""
        return self.labels.tolist()

    def x(self, chosen: Tensor | None = None) -> Tensor:
        """uint8 (images, channels, height, width) of the chosen images, or of all of them, read now."""
        rows = self.rows if chosen is None else self.rows[chosen.cpu().numpy()]
        return in_domain(self.domain, torch.from_numpy(np.ascontiguousarray(self.source[rows])))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        label = self.labels[index]
        return self.x(torch.tensor([index]))[0], label if label.dim() else int(label)


class JoinedImages(ExperienceImages):
    """The images of several experiences one after another, each in the domain of its experience."""

    def __init__(self, parts: Sequence[ExperienceImages]) -> None:
        rows = np.concatenate([part.rows for part in parts])
        labels, tasks = (torch.cat([getattr(part, name) for part in parts]) for name in ("labels", "tasks"))
        super().__init__(parts[0].source, rows, labels, tasks, parts[0].preparation)
        self.parts = parts

    def x(self, chosen: Tensor | None = None) -> Tensor:
        """uint8 (images, channels, height, width) of the chosen images, or of all of them, read now."""
        chosen = torch.arange(len(self)) if chosen is None else chosen.cpu()
        x = torch.empty(len(chosen), *self.source.shape[1:], dtype=torch.uint8)
        start = 0
        for part in self.parts:
            here = (chosen >= start) & (chosen < start + len(part))
            x[here] = part.x(chosen[here] - start)
            start += len(part)
        return x


class ImageExperience(DatasetExperience):
    """An Avalanche experience that also has its images as tensors.

    `images`: the tensors. `classes_by_task`: labels of each task in it. `original_classes`: the source's own labels.
    """

    images: ExperienceImages
    classes_by_task: dict[int, list[int]]
    original_classes: tuple[int, ...]
    task_labels: list[int]
    task_label: int


def image_experience(
    number: int,
    images: ExperienceImages,
    targets: DataAttribute,
    classes_by_task: dict[int, list[int]],
    original_classes: Sequence[int],
) -> ImageExperience:
    """The experience of some images.

    targets: their labels as Avalanche keeps them; experiences with the same labels share them, since finding the
    classes among them takes longer than all else.
    """
    experience = ImageExperience(dataset=_avalanche_dataset(images, targets), current_experience=number)
    experience.images = images
    experience.classes_by_task = classes_by_task
    experience.original_classes = tuple(original_classes)
    experience.task_labels = list(classes_by_task)
    if len(classes_by_task) == 1:
        (experience.task_label,) = classes_by_task
    return experience


def as_targets(labels: Tensor) -> DataAttribute:
    """Labels (images,) as Avalanche keeps them."""
    return DataAttribute(labels.tolist(), "targets")


def _avalanche_dataset(images: ExperienceImages, targets: DataAttribute) -> Any:
    """The same images for Avalanche's own loaders and plugins, image by image."""
    return TaskAwareSupervisedClassificationDataset(
        [images],
        data_attributes=[
            targets,
            DataAttribute(images.tasks.tolist(), "targets_task_labels", use_in_getitem=True),
        ],
        transform_groups=TransformGroups(
            {"train": (_OneImage(images.preparation), None), "eval": (_OneImage(images.preparation.plain()), None)}
        ),
    )


class ListedImages:
    """The images of an experience of any Avalanche benchmark, read one by one and as its evaluation transform gives
    them; the same face as `ExperienceImages`, for those who need a few."""

    def __init__(self, experience: Any) -> None:
        self.dataset = experience.dataset.eval()
        self.labels = torch.tensor(list(self.dataset.targets), dtype=torch.long)
        tasks = getattr(self.dataset, "targets_task_labels", [0] * len(self.labels))
        self.tasks = torch.tensor(list(tasks), dtype=torch.long)
        self.preparation = _AsTheyAre()

    def x(self, chosen: Tensor | None = None) -> Tensor:
        rows = range(len(self.labels)) if chosen is None else chosen.tolist()
        return torch.stack([torch.as_tensor(self.dataset[row][0]) for row in rows])


class _AsTheyAre:
    augmentation = "none"

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return x

    normalise = __call__


def images_of(experience: Any) -> Any:
    """The experience's images with their labels, tasks and preparation: `ExperienceImages`, or `ListedImages`."""
    return getattr(experience, "images", None) or ListedImages(experience)


def join(experiences: Sequence[Any]) -> Any:
    """The union of experiences as one, with their tasks and classes; for joint training, on any Avalanche stream."""
    together: dict[int, set[int]] = {}
    for experience in experiences:
        for task, labels in classes_by_task(experience).items():
            together.setdefault(task, set()).update(labels)
    classes = {task: sorted(labels) for task, labels in together.items()}
    parts: list[Any] = [getattr(experience, "images", None) for experience in experiences]
    last = experiences[-1].current_experience
    joined: Any
    if all(part is not None for part in parts):
        images = JoinedImages(parts)
        original = [label for experience in experiences for label in experience.original_classes]
        joined = image_experience(last, images, as_targets(images.labels), classes, list(dict.fromkeys(original)))
    else:
        dataset = functools.reduce(lambda one, other: one.concat(other), (e.dataset for e in experiences))
        joined = DatasetExperience(dataset=dataset, current_experience=last)
    joined.classes_by_task = classes
    joined.classes_in_this_experience = set().union(*classes.values())
    joined.task_labels = list(classes)
    joined.origin_stream = experiences[-1].origin_stream
    return joined


class _OneImage:
    """A preparation of batches as a transform of single images."""

    def __init__(self, preparation: Preparation) -> None:
        self.preparation = preparation

    def __call__(self, x: Tensor) -> Tensor:
        return self.preparation(x[None])[0]
