"""Images in idx files, the layout of MNIST and of those that took it over; downloaded by torchvision, or one's own."""

import gzip
import hashlib
import io
import math
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from clhyper.data.cache import Decoded, cached
from clhyper.data.decode import check_alike, number_classes, resize
from clhyper.data.download import downloaded
from clhyper.data.images import ImageSet
from clhyper.errors import UserError, require

__all__ = ["idx", "torchvision_idx"]

DEFLATED = 1032
"""bytes that one byte of a .gz file can unpack to at most"""


def torchvision_idx(class_name: str, data: Path | None = None, image_size: int | None = None) -> ImageSet:
    """A data set of torchvision's that comes as idx files: MNIST, FashionMNIST, KMNIST.

    data: a folder as for `idx`, or torchvision's, which has the files in `<class_name>/raw`; without it, the files are
    downloaded into the cache folder.
    Raises `UserError` where the download fails, or a file is missing or damaged.
    """
    from torchvision import datasets

    dataset = getattr(datasets, class_name)

    def fetch(root: Path) -> None:
        # torchvision takes files that are there for whole ones.
        shutil.rmtree(root / class_name, ignore_errors=True)
        dataset(root, download=True)

    if data is None:
        data = downloaded(class_name, class_name, lambda root: _intact(dataset, root / class_name / "raw"), fetch)
    nested = data / class_name / "raw"
    return idx(nested if nested.is_dir() else data, image_size, class_name.lower(), dataset.classes)


def _intact(dataset: Any, folder: Path) -> bool:
    from torchvision.datasets.utils import check_integrity

    return all(check_integrity(folder / Path(name).name, md5) for name, md5 in dataset.resources)


def idx(
    data: Path,
    image_size: int | None = None,
    name: str = "idx",
    class_names: Sequence[str] = (),
    splits: tuple[str, str] = ("train", "t10k"),
) -> ImageSet:
    """The images in the idx files of the folder `data`: grey, one size.

    data: holds `<split>-images-idx3-ubyte` and `<split>-labels-idx1-ubyte`, plain or with `.gz`, of both splits.
    name: of the set. class_names: the name of label n is number n; by default the label itself.
    splits: what the files of the training and the test split begin with.
    Raises `UserError`, naming the file, for one that is missing, cut short or of another kind.
    Source: the format's description at http://yann.lecun.com/exdb/mnist.
    """
    paths = [_find(data, f"{split}-{kind}") for split in splits for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    content = [_hash(path) for path in paths]
    key = {"source": "idx", "content": content, "class_names": list(class_names), "image_size": image_size}
    return cached(name, key, lambda: _decode(data, paths, image_size, class_names))


def _find(data: Path, name: str) -> Path:
    # Where both are there, the packed one: it carries a checksum.
    found = [path for path in (data / f"{name}.gz", data / name) if path.is_file()]
    require(
        len(found) > 0, f"{data / name}: missing, and so is {name}.gz: --data takes the folder that holds idx files"
    )
    return found[0]


@contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedIOBase]:
    """The file's content to read, unpacked if its name ends in `.gz`; raises `UserError` where that fails."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (OSError, EOFError, MemoryError, zlib.error) as error:
        raise UserError(f"{path}: can't be read ({error or type(error).__name__}): copy it anew") from error


def _hash(path: Path) -> str:
    """Of the unpacked content, so that images plain and packed are the same data."""
    with _unpacked(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _decode(data: Path, paths: list[Path], image_size: int | None, class_names: Sequence[str]) -> Decoded:
    (x_train, y_train), (x_test, y_test) = (_read_split(*paths[:2]), _read_split(*paths[2:]))
    y_train, y_test, labels = number_classes(data, y_train, y_test)
    if class_names and labels[-1] >= len(class_names):
        raise UserError(
            f"{data}: label {labels[-1]}, where 0 to {len(class_names) - 1} have names: other labels are right"
        )
    x_train, x_test = resize(x_train, image_size), resize(x_test, image_size)
    check_alike(data, x_train, x_test)
    names = tuple(class_names[label] if class_names else str(label) for label in labels)
    return Decoded(x_train, y_train, x_test, y_test, names)


def _read_split(image_path: Path, label_path: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = _read(image_path, 3)[:, None], _read(label_path, 1)
    require(
        len(images) == len(labels),
        f"{label_path}: {len(labels)} labels for the {len(images)} images of {image_path.name}: one each is right",
    )
    return images, labels


def _read(path: Path, dimensions: int) -> np.ndarray:
    """The unsigned bytes of an idx file, in the shape that its header says."""
    magic = 0x0800 + dimensions
    with _unpacked(path) as file:
        header = file.read(4 + 4 * dimensions)
        require(
            len(header) == 4 + 4 * dimensions and int.from_bytes(header[:4]) == magic,
            f"{path}: no idx file of unsigned bytes in {dimensions} dimensions, which begins with {magic:#010x}",
        )
        shape = struct.unpack(f">{dimensions}I", header[4:])
        size, said = math.prod(shape), " x ".join(f"{length:,}" for length in shape)
        require(0 not in shape, f"{path}: {said} bytes by its header: at least one image of one pixel is needed")
        possible = path.stat().st_size * (DEFLATED if path.suffix == ".gz" else 1)
        require(size <= possible, f"{path}: too short for the {said} bytes of its header: copy it anew")
        content = file.read(size + 1)
    defect = "short" if len(content) < size else "long"
    require(len(content) == size, f"{path}: too {defect} for the {said} bytes of its header: copy it anew")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
