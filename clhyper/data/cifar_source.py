"""CIFAR-10 and CIFAR-100 through torchvision: files already there, or downloaded once."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from clhyper.data.cache import Decoded, cached
from clhyper.data.decode import resize
from clhyper.data.download import downloaded
from clhyper.data.images import ImageSet
from clhyper.errors import UserError

__all__ = ["cifar10", "cifar100"]


def cifar10(data: Path | None = None, image_size: int | None = None) -> ImageSet:
    """CIFAR-10: 50,000 training and 10,000 test images, colour, 32x32 pixels, 10 classes.

    data: the folder that holds `cifar-10-batches-py`; without it, the files are downloaded into the cache folder.
    Raises `UserError` where the download fails, or a file is missing or damaged.
    Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    return _cifar("CIFAR10", data, image_size)


def cifar100(data: Path | None = None, image_size: int | None = None) -> ImageSet:
    """CIFAR-100: 50,000 training and 10,000 test images, colour, 32x32 pixels, 100 (fine) classes.

    data: the folder that holds `cifar-100-python`; otherwise as `cifar10`.
    """
    return _cifar("CIFAR100", data, image_size)


def _cifar(class_name: str, data: Path | None, image_size: int | None) -> ImageSet:
    from torchvision import datasets

    dataset = getattr(datasets, class_name)
    if data is None:
        root = downloaded(
            class_name,
            dataset.base_folder,
            lambda root: _wrong_file(dataset, root) is None,
            lambda root: _download(dataset, root),
        )
    else:
        root = data.absolute().parent if data.absolute().name == dataset.base_folder else data
        if wrong := _wrong_file(dataset, root):
            path, defect = wrong
            raise UserError(f"{path}: {defect}: --data takes the folder that holds an intact {dataset.base_folder}")

    def build() -> Decoded:
        train, test = (dataset(root, train=train, download=False) for train in (True, False))
        return Decoded(
            x_train=resize(train.data.transpose(0, 3, 1, 2), image_size),
            y_train=np.asarray(train.targets, dtype=np.int64),
            x_test=resize(test.data.transpose(0, 3, 1, 2), image_size),
            y_test=np.asarray(test.targets, dtype=np.int64),
            class_names=tuple(train.classes),
        )

    # The files were just found to have these sums, so the sums are the content's hash.
    content = [md5 for _, md5 in _files(dataset)]
    name = class_name.lower()
    return cached(name, {"source": name, "content": content, "image_size": image_size}, build)


def _files(dataset: Any) -> list[tuple[str, str]]:
    """Name and MD5 sum of each file in the data set's folder."""
    return [*map(tuple, dataset.train_list), *map(tuple, dataset.test_list), _meta(dataset)]


def _meta(dataset: Any) -> tuple[str, str]:
    return dataset.meta["filename"], dataset.meta["md5"]


def _wrong_file(dataset: Any, root: Path) -> tuple[Path, str] | None:
    """The first file that is missing or damaged, and which of the two it is."""
    from torchvision.datasets.utils import check_integrity

    for name, md5 in _files(dataset):
        path = root / dataset.base_folder / name
        if not path.is_file():
            return path, "missing"
        try:
            intact = check_integrity(path, md5)
        except OSError as error:
            return path, f"can't be read ({error.strerror})"
        if not intact:
            return path, "damaged (its MD5 sum is wrong)"
    return None


def _download(dataset: Any, root: Path) -> None:
    # torchvision doesn't look at every file before it decides that there is nothing to download.
    shutil.rmtree(root / dataset.base_folder, ignore_errors=True)
    dataset(root, train=False, download=True)
