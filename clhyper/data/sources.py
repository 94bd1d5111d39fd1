"""Image sources by name; and the digits, which install with the dependencies."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from clhyper.data.cache import Decoded, cached
from clhyper.data.cifar_source import cifar10, cifar100
from clhyper.data.decode import resize
from clhyper.data.folder_source import folder
from clhyper.data.idx_source import idx, torchvision_idx
from clhyper.data.images import ImageSet
from clhyper.data.npz_source import npz
from clhyper.data.parquet_source import parquet
from clhyper.data.tiny_imagenet_source import tiny_imagenet
from clhyper.errors import require, unknown

__all__ = [
    "cifar10",
    "cifar100",
    "digits",
    "folder",
    "idx",
    "named",
    "npz",
    "parquet",
    "tiny_imagenet",
    "torchvision_idx",
]


def digits(image_size: int | None = None) -> ImageSet:
    """scikit-learn's 1,797 handwritten digits: grey, 8x8 pixels, 10 classes.

    A fixed fifth, stratified by class, is the test split.

    Source: https://archive.ics.uci.edu/dataset/80 (its test part, as scikit-learn ships it).
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    loaded = load_digits()
    images = np.rint(loaded.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = loaded.target.astype(np.int64)

    def build() -> Decoded:
        x_train, x_test, y_train, y_test = train_test_split(
            images, labels, test_size=0.2, stratify=labels, random_state=0
        )
        return Decoded(
            resize(x_train, image_size), y_train, resize(x_test, image_size), y_test, tuple(map(str, range(10)))
        )

    content = hashlib.blake2b(images.tobytes() + labels.tobytes(), digest_size=16).hexdigest()
    return cached("digits", {"source": "digits", "content": content, "image_size": image_size}, build)


_NAMED: dict[str, Callable[[Path | None, int | None], ImageSet]] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "digits": lambda data, image_size: digits(image_size),
    "fashion": lambda data, image_size: torchvision_idx("FashionMNIST", data, image_size),
    "mnist": lambda data, image_size: torchvision_idx("MNIST", data, image_size),
    "tiny-imagenet": tiny_imagenet,
}


def named(text: str, image_size: int | None = None) -> ImageSet:
    """The source that a text names: `cifar10`, or `cifar10=DIR` for files that are there, or a path.

    A path is an .npz file, or a folder of Parquet files, of idx files, or with a folder of images for each class.
    Raises `UserError` for a name that there isn't, or as the source does.
    """
    name, _, data = text.partition("=")
    if name in _NAMED:
        require(not data or name != "digits", f"source {text}: digits install with the dependencies; leave {data} out")
        return _NAMED[name](Path(data) if data else None, image_size)
    path = Path(text)
    if not path.exists():
        raise unknown("source, and no file or folder,", text, _NAMED)
    if path.is_file():
        return npz(path, image_size)
    if any(path.rglob("*.parquet")):
        return parquet(path, image_size)
    return idx(path, image_size) if any(path.glob("*-images-idx3-ubyte*")) else folder(path, image_size)
