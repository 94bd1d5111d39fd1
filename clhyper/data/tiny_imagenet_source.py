"""Tiny ImageNet: photographs of 200 classes; files already there, or downloaded once."""

import shutil
from pathlib import Path

import numpy as np

from clhyper.data.cache import Decoded, cached
from clhyper.data.decode import hash_tree
from clhyper.data.download import downloaded
from clhyper.data.images import ImageSet
from clhyper.data.pictures import join, read_pictures
from clhyper.errors import UserError, require

__all__ = ["tiny_imagenet"]

FOLDER = "tiny-imagenet-200"
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def tiny_imagenet(data: Path | None = None, image_size: int | None = None) -> ImageSet:
    """Tiny ImageNet: 100,000 training images, and the 10,000 validation images as test split, colour, 64x64 pixels.

    data: the folder `tiny-imagenet-200` or the one that holds it; without it, the files are downloaded into the cache
    folder. The labels of its own test images aren't public, so these are left out.
    Classes are numbered in the order of `wnids.txt` and named as in `words.txt`.
    Raises `UserError` where the download fails, or a file is missing or damaged.
    Source: Le & Yang 2015, http://cs231n.stanford.edu.
    """
    if data is None:
        data = downloaded("Tiny ImageNet", FOLDER, lambda root: (root / FOLDER).is_dir(), _fetch)
    root = data / FOLDER if (data / FOLDER).is_dir() else data
    # Only names: nothing in the lists may lead out of the folder.
    wordnet_ids = dict.fromkeys(Path(line.strip()).name for line in _lines(root / "wnids.txt"))
    number_of = {wordnet_id: number for number, wordnet_id in enumerate(wordnet_ids)}
    words = dict(line.split("\t", 1) for line in _lines(root / "words.txt") if "\t" in line)
    train = [(path, number) for wordnet_id, number in number_of.items() for path in _training_images(root, wordnet_id)]
    test = [_annotated(root, line, number_of) for line in _lines(root / "val" / "val_annotations.txt")]
    names = tuple(words.get(wordnet_id, wordnet_id).strip() for wordnet_id in wordnet_ids)
    key = {
        "source": "tiny-imagenet",
        "content": [hash_tree(root, [path for path, _ in split]) for split in (train, test)],
        "labels": [number for _, number in test],
        "classes": [list(wordnet_ids), list(names)],
        "image_size": image_size,
    }

    def build() -> Decoded:
        batches = read_pictures([path for path, _ in train], image_size)
        x_train, x_test = join(batches, read_pictures([path for path, _ in test], image_size, batches[0].shape[2:]))
        y_train, y_test = (np.array([number for _, number in split], dtype=np.int64) for split in (train, test))
        return Decoded(x_train, y_train, x_test, y_test, names)

    return cached("tiny-imagenet", key, build)


def _fetch(root: Path) -> None:
    """Unpacks beside the place, and moves the folder there once it is whole."""
    from torchvision.datasets.utils import download_and_extract_archive

    partial = root / f"{FOLDER}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    download_and_extract_archive(URL, root, partial, md5=MD5, remove_finished=True)
    (partial / FOLDER).replace(root / FOLDER)
    partial.rmdir()


def _lines(path: Path) -> list[str]:
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise UserError(f"{path}: missing: --data takes the folder that holds {FOLDER}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: can't be read ({error}): copy it anew") from error
    require(len(lines) > 0, f"{path}: empty: copy it anew")
    return lines


def _training_images(root: Path, wordnet_id: str) -> list[Path]:
    folder = root / "train" / wordnet_id / "images"
    paths = sorted(path for path in folder.glob("*.JPEG") if not path.name.startswith("."))
    require(len(paths) > 0, f"{folder}: no training images, such as {wordnet_id}_0.JPEG: copy the folder anew")
    return paths


def _annotated(root: Path, line: str, number_of: dict[str, int]) -> tuple[Path, int]:
    """A validation image and its class, from a line of the annotations."""
    fields = line.split("\t")
    if len(fields) < 2 or fields[1] not in number_of:
        raise UserError(
            f"{root / 'val' / 'val_annotations.txt'}: {line[:80]!r}: a file and a class of wnids.txt, parted by a tab,"
            " are right"
        )
    return root / "val" / "images" / Path(fields[0]).name, number_of[fields[1]]
