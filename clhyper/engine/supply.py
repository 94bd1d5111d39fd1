"""What an experience is trained and evaluated on: images read to the device or through a loader, and front features."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from clhyper.data.batches import Batches, TrainingBatches
from clhyper.data.memory import SHARE, fits
from clhyper.data.rows import Loader, OnDevice, Rows, gathered
from clhyper.errors import require
from clhyper.options import Loading

if TYPE_CHECKING:
    from clhyper.data.augmentation import Preparation
    from clhyper.engine.strategy import Strategy

READ_AT_ONCE = 2**26
"""bytes of images that are read at once on their way to the device"""
EVALUATION_BATCH = {"cpu": 100}
"""images at once; elsewhere 500: a CPU's caches hold what so few leave between layers, a GPU is busy with so many"""
_LIMIT = f"{SHARE:.0%} of the memory that is free"


@dataclass
class _Evaluated:
    """What is kept of a test experience: labels and tasks, and images or what the front makes of them."""

    y: Tensor
    tasks: Tensor
    x: Tensor | None = None
    features: Tensor | None = None
    made_by: object = None

    @property
    def bytes(self) -> int:
        return sum(kept.nbytes for kept in (self.x, self.features) if kept is not None)


class Supply:
    """Reads the images of `clhyper` streams for a strategy, and keeps on the device what fits there.

    Training images and their features are kept for one experience. Test images are kept from one evaluation to the
    next, and once the front is frozen its features of them in their place, until it moves.

    Args:
        strategy: Has the front, the device and the seed.
        loading: Images of an experience are read whole to the device, or block by block as they are used; auto: whole
            if they fit, see `clhyper.data.memory`. The numbers are the same.
        steps: Training steps a block.
    """

    def __init__(self, strategy: "Strategy", loading: Loading, steps: int) -> None:
        self.strategy, self.loading, self.steps = strategy, loading, steps
        self.device = strategy.device
        self._feature_bytes = 0  # of one image; not known yet
        self._training: tuple[Any, Tensor] | None = None
        self._evaluated: WeakKeyDictionary[Any, _Evaluated] = WeakKeyDictionary()

    @property
    def evaluation_bytes(self) -> int:
        """Bytes that are kept for the next evaluation."""
        return sum(kept.bytes for kept in self._evaluated.values())

    # Training

    def training(self, images: Any) -> TrainingBatches:
        """The batches of an experience: its images, or where the front is frozen what it makes of them, if it fits.

        Raises:
            UserError: views of images that aren't augmented.
        """
        strategy, views = self.strategy, getattr(self.strategy.options, "augmentation_views", None) or 0
        augmented = images.preparation.augmentation != "none"
        require(
            augmented or not views,
            f"augmentation_views {views}: images are not augmented, so that all views of one are alike",
        )
        if self._front_is_frozen:
            strategy.model.folded_front()  # now: what folds it is no part of a step that is captured
        x = self._rows(images)
        once = self._front_is_frozen and (not augmented or views > 0)
        features = self._training_features(images, x, views) if once else None
        return TrainingBatches(
            x if features is None else OnDevice(features),
            images.labels.to(self.device),
            images.tasks.to(self.device),
            strategy.train_mb_size,
            strategy.generator("batches"),
            self.steps,
            are_features=features is not None,
            views=views if features is not None else 0,
        )

    def read(self, images: Any, rows: Tensor | None = None) -> Tensor:
        """uint8 (n, ...): images on the device, all or some rows of them; the time it takes counts as loading."""
        if self._training is not None and self._training[0] is images:
            x = self._training[1]
            return x if rows is None else x[rows.to(self.device)]
        with self.strategy.apart("loading"):
            return self._whole(images) if rows is None else images.x(rows).to(self.device)

    def features_in_order(self, images: Any, size: int) -> Iterator[Tensor]:
        """What the front makes of the images of the experience that is being trained on, not augmented, in order."""
        batches = getattr(self.strategy.dataloader, "batches", None)
        if batches is None or batches.views:
            x = (self.strategy.read(images, rows) for rows in torch.arange(len(images.labels)).split(size))
        else:
            x = batches.x.in_order(size)
            if batches.are_features:
                return x
        return (self.strategy.model.features(images.preparation.normalise(rows)) for rows in x)

    def release(self) -> None:
        """Lets go of the training images, as an experience ends."""
        self._training = None

    def _rows(self, images: Any) -> Rows:
        self.release()
        if not self._read_whole(images):
            return Loader(images, self.device)
        x = self.read(images)
        self._training = (images, x)
        return OnDevice(x)

    def _training_features(self, images: Any, x: Rows, views: int) -> Tensor | None:
        """Features of all images, (images, ...) or (views * images, ...), or None if they don't fit."""
        size, preparation = self.strategy.eval_mb_size, images.preparation
        count = len(images) * max(1, views)

        def batches() -> Iterator[Tensor]:
            draws = self.strategy.generator("views")
            for _ in range(max(1, views)):
                drawn = preparation.draw(len(images), draws).to(self.device)
                for rows, how in zip(x.in_order(size), drawn.split(size), strict=True):
                    yield preparation(rows, how)

        features = self._features_that_fit(batches(), count)
        if features is None and views:
            self.strategy.notice(
                f"augmentation_views {views}: the features of {views} views of an experience's images take more than"
                f" {_LIMIT}, so images are augmented anew at every visit"
            )
        elif features is None:
            self.strategy.notice(
                f"the features of an experience's images take more than {_LIMIT}, so they are computed at every visit"
            )
        return features

    # Evaluation

    def evaluation(self, images: Any) -> Batches:
        """The batches of a test experience, whole and in order; what they are made of is kept if it fits."""
        size, preparation = self.strategy.eval_mb_size, images.preparation
        kept = self._evaluated.get(images)
        if kept is None:
            kept = _Evaluated(images.labels.to(self.device), images.tasks.to(self.device))
        if kept.made_by != self._front_now(preparation):
            kept.features, kept.made_by = None, None
        if kept.features is None:
            x = self._evaluation_rows(images, kept)
            if self._front_is_frozen:
                prepared = (preparation.normalise(rows) for rows in x.in_order(size))
                others = sum(other.bytes for other in self._evaluated.values() if other is not kept)
                kept.features = self._features_that_fit(prepared, len(images), others)
                kept.made_by = self._front_now(preparation)
                kept.x = kept.x if kept.features is None else None
        else:
            x = OnDevice(kept.features)
        self._evaluated[images] = kept
        if kept.features is not None:
            return Batches(OnDevice(kept.features), kept.y, kept.tasks, size, are_features=True)
        return Batches(x, kept.y, kept.tasks, size, preparation.normalise)

    def _evaluation_rows(self, images: Any, kept: _Evaluated) -> Rows:
        if kept.x is not None:
            return OnDevice(kept.x)
        if not self._read_whole(images):
            return Loader(images, self.device)
        x = self._whole(images)
        if fits(0, self.device, self.evaluation_bytes + x.nbytes):
            kept.x = x
        return OnDevice(x)

    def _front_now(self, preparation: "Preparation") -> object:
        """Changes whenever what the frozen front makes of images could."""
        return (preparation, self.strategy.model.folded_front()) if self._front_is_frozen else None

    # Both

    @property
    def _front_is_frozen(self) -> bool:
        return self.strategy.freeze_depth > 0 and self.strategy.model.front_frozen

    def _read_whole(self, images: Any) -> bool:
        if self.loading != "auto":
            return self.loading == "device"
        if fits(_image_bytes(images) * len(images), self.device):
            return True
        self.strategy.notice(
            f"the images of an experience take more than {_LIMIT}, so they are read as they are used; --loading device"
            " reads them whole"
        )
        return False

    def _whole(self, images: Any) -> Tensor:
        """All images on the device; what the host holds of them on the way is bounded."""
        at_once = max(1, READ_AT_ONCE // _image_bytes(images))
        if len(images) <= at_once:
            return images.x().to(self.device)
        return gathered(Loader(images, self.device).in_order(at_once), len(images))

    @torch.no_grad()
    def _features_that_fit(self, prepared: Iterator[Tensor], count: int, held: int = 0) -> Tensor | None:
        """What the front makes of batches of `count` images in all, or None."""
        if not fits(count * self._feature_bytes, self.device, held):
            return None
        features = (self.strategy.model.features(x) for x in prepared)
        first = next(features)
        if not self._feature_bytes:  # only now it is known
            self._feature_bytes = first[0].nbytes
            if not fits(count * self._feature_bytes, self.device, held):
                return None
        return gathered(itertools.chain([first], features), count)


def _image_bytes(images: Any) -> int:
    """Bytes of one image."""
    return images.source[0].nbytes
