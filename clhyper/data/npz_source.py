"""Images in a NumPy archive: one's own arrays, `x_train`, `y_train`, `x_test`, `y_test` and `class_names`."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from clhyper.data.cache import Decoded, cached
from clhyper.data.decode import check_alike, hash_files, number_classes, resize
from clhyper.data.images import ImageSet
from clhyper.errors import UserError, require

__all__ = ["npz"]

SHAPES = "(images, height, width), and with 1 or 3 channels before or after height and width,"


def npz(data: Path, image_size: int | None = None) -> ImageSet:
    """The images in the `.npz` file `data`.

    `x_train`, `x_test`: uint8, or floats from 0 to 1; (images, height, width), (images, height, width, channels) or
    (images, channels, height, width) with 1 or 3 channels.
    `y_train`, `y_test`: integers (images,).
    `class_names` (optional): strings; the name of label n is number n.
    Raises `UserError`, naming the file and the array, for anything else.
    """
    content = hash_files([data])
    return cached(
        "npz",
        {"source": "npz", "content": content, "image_size": image_size},
        lambda: _decode(data, image_size),
    )


def _decode(path: Path, image_size: int | None) -> Decoded:
    arrays = _read(path)
    images = {name: _as_images(path, name, arrays.pop(name)) for name in ("x_train", "x_test")}
    for split in ("train", "test"):
        _check_labels(path, f"y_{split}", arrays[f"y_{split}"], len(images[f"x_{split}"]))
    y_train, y_test, labels = number_classes(path, arrays["y_train"], arrays["y_test"])
    x_train, x_test = (resize(images.pop(name), image_size) for name in ("x_train", "x_test"))
    check_alike(path, x_train, x_test)
    return Decoded(x_train, y_train, x_test, y_test, _class_names(path, arrays.get("class_names"), labels))


def _read(path: Path) -> dict[str, np.ndarray]:
    """The file's arrays; `class_names` is missing where the file has none."""
    try:
        archive = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: damaged, or no .npz file, such as numpy.savez writes") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise UserError(f"{path}: a single array, where an .npz file, such as numpy.savez writes, is needed")
    arrays = {}
    with archive:
        for name in ("x_train", "y_train", "x_test", "y_test", "class_names"):
            if name not in archive:
                has = ", ".join(archive.files) or "none"
                require(name == "class_names", f"{path}: no array {name}: its arrays are {has}")
                continue
            try:
                arrays[name] = archive[name]
            except ValueError as error:
                raise UserError(
                    f"{path}: {name} is damaged, or holds Python objects: numbers (or strings, for names) are right"
                ) from error
            except (OSError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise UserError(f"{path}: {name} is damaged: write or copy the file anew") from error
    return arrays


def _as_images(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """`array` as uint8 (images, channels, height, width)."""
    shape = array.shape
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and shape[1] in (1, 3) and shape[3] in (1, 3):
        raise UserError(
            f"{path}: {name} has shape {shape}, whose channels could be the second or the last number:"
            " images wider than 3 pixels are right"
        )
    elif array.ndim == 4 and shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4 or shape[1] not in (1, 3):
        raise UserError(f"{path}: {name} has shape {shape}: {SHAPES} are right")
    require(array.size > 0, f"{path}: {name} has shape {shape}: at least one image of one pixel is needed")
    if array.dtype == np.uint8:
        return array
    is_float = np.issubdtype(array.dtype, np.floating)
    if not (is_float and array.min() >= 0 and array.max() <= 1):  # false for NaN too
        found = f"{array.dtype} from {array.min()} to {array.max()}" if is_float else str(array.dtype)
        raise UserError(f"{path}: {name} holds {found}: uint8, or floats from 0 to 1, are right")
    return np.rint(array.astype(np.float32) * 255).astype(np.uint8)


def _check_labels(path: Path, name: str, labels: np.ndarray, images: int) -> None:
    require(
        labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer),
        f"{path}: {name} holds {labels.dtype} of shape {labels.shape}: integers of shape (images,) are right",
    )
    require(len(labels) == images, f"{path}: {name} has {len(labels)} labels for {images} images: one each is right")


def _class_names(path: Path, names: np.ndarray | None, labels: tuple[int, ...]) -> tuple[str, ...]:
    if names is None:
        return tuple(map(str, labels))
    require(
        names.ndim == 1 and names.dtype.kind == "U",
        f"{path}: class_names holds {names.dtype} of shape {names.shape}: strings of shape (classes,) are right",
    )
    require(
        labels[0] >= 0 and labels[-1] < len(names),
        f"{path}: class_names has {len(names)} names, for labels from {labels[0]} to {labels[-1]}:"
        " the name of label n is number n, counted from 0",
    )
    return tuple(str(names[label]) for label in labels)
