"""Small data sets in the layouts of the real ones, made of the digits."""

import functools
import gzip
import hashlib
import pickle

import numpy as np
from PIL import Image

from clhyper.data.sources import digits

TINY_IDS = ("n02124075", "n04067472", "n01443537", "n07749582")
TINY_WORDS = {"n02124075": "Egyptian cat", "n04067472": "reel", "n01443537": "goldfish, Carassius auratus"}


@functools.cache
def digits_of(label, count, start=0):
    """uint8 (count, 8, 8)."""
    source = digits()
    return source.x_train[source.y_train == label][start : start + count, 0]


def some_digits(classes, count, start=0):
    """Images (classes * count, 8, 8) and their labels, class after class."""
    images = np.concatenate([digits_of(label, count, start) for label in range(classes)])
    return images, np.repeat(np.arange(classes), count)


def idx_bytes(array):
    """A uint8 array as an idx file."""
    return (0x0800 + array.ndim).to_bytes(4) + b"".join(n.to_bytes(4) for n in array.shape) + array.tobytes()


def write_idx(folder, packed=True, classes=10, count=20):
    """Training and test images and labels that the files hold."""
    folder.mkdir(parents=True)
    written = {}
    for split, start in (("train", 0), ("t10k", count)):
        images, labels = some_digits(classes, count, start)
        written[split] = (images, labels)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
            path = folder / f"{split}-{kind}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(idx_bytes(array)) if packed else idx_bytes(array))
    return written


def write_folder(root, classes=4, count=10, start=0, suffix="png", size=8):
    """Image files, one folder a class, and the images by their paths."""
    written = {}
    for label in range(classes):
        of_class = root / f"digit {label}"
        of_class.mkdir(parents=True)
        for number, pixels in enumerate(digits_of(label, count, start)):
            path = of_class / f"{number:03}.{suffix}"
            Image.fromarray(pixels).resize((size, size), Image.Resampling.NEAREST).save(path)
            written[path] = pixels
    return written


def write_tiny_imagenet(root, count=6):
    """`root/tiny-imagenet-200` with four classes; every other picture is grey, as some of the real ones are."""
    folder = root / "tiny-imagenet-200"
    annotations = []
    (folder / "val" / "images").mkdir(parents=True)
    for label, wordnet_id in enumerate(TINY_IDS):
        (folder / "train" / wordnet_id / "images").mkdir(parents=True)
        for number, pixels in enumerate(digits_of(label, 2 * count)):
            picture = Image.fromarray(pixels).resize((64, 64))
            picture = picture if number % 2 else picture.convert("RGB")
            if number < count:
                picture.save(folder / "train" / wordnet_id / "images" / f"{wordnet_id}_{number}.JPEG")
            else:
                name = f"val_{label + number * len(TINY_IDS)}.JPEG"
                picture.save(folder / "val" / "images" / name)
                annotations.append(f"{name}\t{wordnet_id}\t0\t32\t44\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(annotations))
    (folder / "wnids.txt").write_text("\n".join(TINY_IDS) + "\n")
    (folder / "words.txt").write_text("".join(f"{one}\t{words}\n" for one, words in TINY_WORDS.items()))
    return folder


def write_batch(path, generator, key, classes, count=20):
    pixels = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
    path.write_bytes(pickle.dumps({"data": pixels, key: [i % classes for i in range(count)]}))
    return pixels.reshape(-1, 3, 32, 32)


def write_cifar(root, dataset, monkeypatch):
    """Training and test images that the files hold."""
    folder = root / dataset.base_folder
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    fine = dataset.meta["key"] == "fine_label_names"
    key, classes = ("fine_labels", 100) if fine else ("labels", 10)
    count = 200 if fine else 20
    train = [write_batch(folder / name, generator, key, classes, count) for name, _ in dataset.train_list]
    test = [write_batch(folder / name, generator, key, classes, count) for name, _ in dataset.test_list]
    names = [f"class {i}" for i in range(classes)]
    (folder / dataset.meta["filename"]).write_bytes(pickle.dumps({dataset.meta["key"]: names}))

    def md5(name):
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    for attribute in ("train_list", "test_list"):
        monkeypatch.setattr(dataset, attribute, [[name, md5(name)] for name, _ in getattr(dataset, attribute)])
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": md5(dataset.meta["filename"])})
    return np.concatenate(train), np.concatenate(test)
