"""idx files: Fashion-MNIST's own where they are installed, and digits in the same layout."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from stand_ins import idx_bytes, write_idx

from benchmarks import SplitFashion, SplitMNIST
from clhyper.data.sources import idx, torchvision_idx
from clhyper.errors import UserError

INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_plain_and_packed(packed, tmp_path):
    written = write_idx(tmp_path / "files", packed)
    images = idx(tmp_path / "files")
    np.testing.assert_array_equal(images.x_train[:, 0], written["train"][0])
    np.testing.assert_array_equal(images.y_train, written["train"][1])
    np.testing.assert_array_equal(images.x_test[:, 0], written["t10k"][0])
    np.testing.assert_array_equal(images.y_test, written["t10k"][1])
    assert images.class_names == tuple("0123456789")
    assert idx(tmp_path / "files", image_size=5).image_shape == (1, 5, 5)


def test_the_same_images_plain_and_packed_are_the_same_data(tmp_path):
    for packed in (True, False):
        write_idx(tmp_path / str(packed), packed)
    plain, both = idx(tmp_path / "False"), idx(tmp_path / "True")
    np.testing.assert_array_equal(plain.x_train, both.x_train)
    assert plain.fingerprint == both.fingerprint


def test_files_of_other_names_and_labels_that_start_elsewhere_are_read_too(tmp_path):
    write_idx(tmp_path / "files", packed=False, classes=3)
    for path in (tmp_path / "files").iterdir():
        renamed = path.with_name(path.name.replace("t10k", "letters-test").replace("train", "letters-train"))
        path.rename(renamed)
        if "labels" in renamed.name:
            content = renamed.read_bytes()
            renamed.write_bytes(content[:8] + bytes(label + 1 for label in content[8:]))
    images = idx(tmp_path / "files", class_names=("-", "a", "b", "c"), splits=("letters-train", "letters-test"))
    assert images.class_names == ("a", "b", "c")
    assert sorted(set(images.y_train.tolist())) == [0, 1, 2]


def test_fashion_has_its_classes_by_name_from_torchvisions_folder_too(tmp_path):
    write_idx(tmp_path / "FashionMNIST" / "raw")
    for data in (tmp_path, tmp_path / "FashionMNIST" / "raw"):
        stream = SplitFashion(data=data)
        assert stream.images.class_names[:2] == ("T-shirt/top", "Trouser")
        assert [list(e.original_classes) for e in stream.train_stream] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


@pytest.mark.skipif(not INSTALLED.is_dir(), reason="Fashion-MNIST isn't installed")
def test_the_real_fashion_mnist_is_read_whole():
    stream = SplitFashion(data=INSTALLED)
    assert [len(e.images) for e in stream.train_stream] == [12000] * 5
    assert [len(e.images) for e in stream.test_stream] == [2000] * 5
    assert stream.image_shape == (1, 28, 28)
    assert stream.images.mean == pytest.approx((0.2860,), abs=1e-4)  # as published for the data set
    assert stream.images.std == pytest.approx((0.3530,), abs=1e-4)
    assert stream.images.y_train[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]


# Files that are no good

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
GOOD = idx_bytes(np.zeros((200, 8, 8), np.uint8))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (IMAGES, None, f"{IMAGES}: missing, and so is {IMAGES}.gz: --data takes the folder"),
        (IMAGES, b"", "no idx file of unsigned bytes in 3 dimensions, which begins with 0x00000803"),
        (IMAGES, GOOD[:10], "no idx file"),
        (IMAGES, b"\x00\x00\x0d\x03" + GOOD[4:], "no idx file"),  # floats
        (IMAGES, idx_bytes(np.zeros(200, np.uint8)), "no idx file of unsigned bytes in 3 dimensions"),
        (LABELS, GOOD, "no idx file of unsigned bytes in 1 dimensions, which begins with 0x00000801"),
        (IMAGES, GOOD[:-1], "too short for the 200 x 8 x 8 bytes of its header"),
        (IMAGES, GOOD + b"x", "too long for the 200 x 8 x 8 bytes of its header"),
        (IMAGES, GOOD[:4] + b"\xff" * 12, "too short for the 4,294,967,295 x 4,294,967,295 x"),
        (IMAGES, idx_bytes(np.zeros((0, 8, 8), np.uint8)), "0 x 8 x 8 bytes by its header: at least one image"),
        (IMAGES, idx_bytes(np.zeros((199, 8, 8), np.uint8)), f"200 labels for the 199 images of {IMAGES}"),
        (IMAGES, idx_bytes(np.zeros((200, 9, 8), np.uint8)), "images of 1x9x8 and 1x8x8"),
        (LABELS, idx_bytes(np.full(200, 11, np.uint8)), "test label 0 has no training image"),
        (LABELS, idx_bytes(np.arange(200, dtype=np.uint8) % 11), "label 10, where 0 to 9 have names"),
        (IMAGES + ".gz", gzip.compress(GOOD, mtime=0)[:-9], "can't be read"),
        (IMAGES + ".gz", gzip.compress(GOOD, mtime=0)[:-8] + bytes(8), "can't be read"),
        (IMAGES + ".gz", gzip.compress(GOOD, mtime=0)[:12] + b"\xff" * 50, "can't be read"),
        (IMAGES + ".gz", GOOD, "can't be read"),
        (IMAGES + ".gz", gzip.compress(GOOD[:4] + b"\x00\x00\xff\xff" * 3, mtime=0), "too short for the 65,535 x"),
        (IMAGES + ".gz", gzip.compress(GOOD + bytes(10**7), mtime=0), "too long for the 200 x 8 x 8"),
    ],
)
def test_a_file_that_is_no_good_is_named_with_what_is_wrong(name, content, sentence, tmp_path):
    write_idx(tmp_path / "files", packed=False)
    path = tmp_path / "files" / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as caught:
        torchvision_idx("FashionMNIST", tmp_path / "files")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "files") in str(caught.value)


# Download


@pytest.mark.parametrize(("stream", "name"), [(SplitFashion, "FashionMNIST"), (SplitMNIST, "MNIST")])
def test_without_files_they_are_downloaded_once_and_again_where_damaged(
    stream, name, tmp_path, cache, server, datasets, monkeypatch
):
    write_idx(tmp_path / "served" / "files")
    dataset = getattr(datasets, name)
    served = {path.name: path for path in (tmp_path / "served" / "files").iterdir()}
    sums = [(file, hashlib.md5(served[file].read_bytes()).hexdigest()) for file, _ in dataset.resources]
    monkeypatch.setattr(dataset, "resources", sums)
    monkeypatch.setattr(dataset, "mirrors", [f"{server}/none/", f"{server}/files/"])
    fingerprint = stream().images.fingerprint
    assert fingerprint == stream(data=tmp_path / "served" / "files").images.fingerprint
    (cache / "downloads" / name / "raw" / sums[0][0]).write_bytes(b"half")
    assert stream().images.fingerprint == fingerprint
    served[sums[0][0]].unlink()
    assert stream().images.fingerprint == fingerprint


def test_a_download_that_fails_says_why(datasets, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])  # nobody listens
    with pytest.raises(UserError, match=r"FashionMNIST couldn't be downloaded .*refused.*: --data DIR takes") as caught:
        SplitFashion()
    assert "\n" not in str(caught.value)
