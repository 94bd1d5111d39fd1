"""Image files in folders, one folder a class."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from clhyper.data.cache import Decoded, cached
from clhyper.data.decode import hash_tree, share_of_each_class
from clhyper.data.images import ImageSet
from clhyper.data.pictures import join, read_pictures
from clhyper.errors import UserError, require

__all__ = ["folder"]

TEST_SHARE = 0.2
TEST_FOLDERS = ("test", "val")

Listed = tuple[list[Path], list[str]]
"""image files, and the class of each"""


def folder(data: Path, image_size: int | None = None, test_share: float = TEST_SHARE) -> ImageSet:
    """The image files under the folder `data`, in any format that Pillow reads.

    A file is taken for an image by the end of its name (`.png`, `.jpg`); others and hidden ones are left out.

    data: holds `train/<class>/` and `test/<class>/` (or `val/`), or `<class>/` itself: then the same share of each
    class is drawn as the test split, always alike (ours).
    test_share: that share.
    Classes are named after their folders and numbered in the order of their names. Images are grey (1 channel) where
    all are; otherwise RGB.
    Raises `UserError`, naming the file or folder, for what is no image, a class without images, or sizes that differ
    while `image_size` is None.
    """
    tests = [data / name for name in TEST_FOLDERS if (data / name).is_dir()]
    has_splits = (data / "train").is_dir()
    require(has_splits or not tests, f"{data}: a folder {tests[0].name if tests else ''}, but no train: add it")
    if has_splits:
        require(len(tests) > 0, f"{data}: a folder train, but neither test nor val: add one of them")
        require(test_share == TEST_SHARE, f"test_share {test_share}: {tests[0]} is the test split: leave it out")
        train, test = _list(data / "train"), _list(tests[0])
        unknown = sorted(set(test[1]) - set(train[1]))
        require(not unknown, f"{tests[0] / ''.join(unknown[:1])}: a class that {data / 'train'} doesn't have")
    else:
        require(0 < test_share < 1, f"test_share {test_share}: a share between 0 and 1")
        train, test = _list(data), ([], [])
    number_of = {name: number for number, name in enumerate(sorted(set(train[1])))}
    key = {
        "source": "folder",
        "content": [hash_tree(data, paths) for paths, _ in (train, test)],
        "test_share": None if has_splits else test_share,
        "image_size": image_size,
    }

    def build() -> Decoded:
        y_train, y_test = (np.array([number_of[name] for name in of], dtype=np.int64) for _, of in (train, test))
        batches = read_pictures(train[0], image_size)
        if has_splits:
            x_train, x_test = join(batches, read_pictures(test[0], image_size, batches[0].shape[2:]))
        else:
            (x,) = join(batches)
            stay, apart = share_of_each_class(np.array(train[1]), test_share, f"{data}: test_share")
            x_train, y_train, x_test, y_test = x[stay], y_train[stay], x[apart], y_train[apart]
        return Decoded(x_train, y_train, x_test, y_test, tuple(number_of))

    return cached("folder", key, build)


def _list(root: Path) -> Listed:
    """All image files in the class folders of `root`, in the order of their names."""
    Image.init()
    suffixes = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    paths: list[Path] = []
    classes: list[str] = []
    try:
        for of_class in sorted(path for path in _visible(root.iterdir(), root) if path.is_dir()):
            inside = (path for path in _visible(of_class.rglob("*"), of_class) if path.is_file())
            files = sorted(path for path in inside if path.suffix.lower() in suffixes)
            require(len(files) > 0, f"{of_class}: no images, files such as .png or .jpg: a class needs some")
            paths += files
            classes += [of_class.name] * len(files)
    except OSError as error:
        raise UserError(
            f"{root}: can't be read ({error.strerror or error}): --data takes a folder of images"
        ) from error
    require(len(paths) > 0, f"{root}: no class folders: images belong in {root / 'CLASS'}")
    return paths, classes


def _visible(paths: Iterator[Path], root: Path) -> Iterator[Path]:
    return (path for path in paths if not any(part.startswith(".") for part in path.relative_to(root).parts))
