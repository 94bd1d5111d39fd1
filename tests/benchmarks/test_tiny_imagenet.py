"""Tiny ImageNet from a few pictures in its layout."""

import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image
from stand_ins import TINY_IDS, write_tiny_imagenet

from benchmarks import SplitTinyImageNet
from clhyper.data import tiny_imagenet_source
from clhyper.data.sources import tiny_imagenet
from clhyper.errors import UserError

pytestmark = pytest.mark.usefixtures("cache")


def test_pictures_are_read_in_the_order_of_the_classes_and_named_by_their_words(tmp_path):
    folder = write_tiny_imagenet(tmp_path)
    images = tiny_imagenet(tmp_path)
    assert images.x_train.shape == images.x_test.shape == (24, 3, 64, 64)
    assert images.y_train.tolist() == np.repeat(range(4), 6).tolist()
    assert images.class_names == ("Egyptian cat", "reel", "goldfish, Carassius auratus", "n07749582")
    for row, label, number in ((0, 0, 0), (8, 1, 2), (23, 3, 5)):
        path = folder / "train" / TINY_IDS[label] / "images" / f"{TINY_IDS[label]}_{number}.JPEG"
        picture = np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)
        np.testing.assert_array_equal(images.x_train[row], picture)


def test_the_validation_pictures_are_the_test_split_with_their_own_labels(tmp_path):
    folder = write_tiny_imagenet(tmp_path)
    annotations = folder / "val" / "val_annotations.txt"
    lines = annotations.read_text().splitlines()
    annotations.write_text("\n".join(reversed(lines)))
    images = tiny_imagenet(folder)
    assert images.y_test.tolist() == np.repeat([3, 2, 1, 0], 6).tolist()
    picture = np.asarray(Image.open(folder / "val" / "images" / lines[-1].split("\t")[0]).convert("RGB"))
    np.testing.assert_array_equal(images.x_test[0], picture.transpose(2, 0, 1))


def test_the_stream_is_of_32_pixels_and_flipped_unless_told_otherwise(tmp_path):
    write_tiny_imagenet(tmp_path)
    stream = SplitTinyImageNet(data=tmp_path, experiences=2)
    assert stream.image_shape == (3, 32, 32)
    assert stream.train_stream[0].images.preparation.augmentation == "flip"
    assert SplitTinyImageNet(data=tmp_path, experiences=2, image_size=64).image_shape == (3, 64, 64)
    with pytest.raises(UserError, match="experiences 20: split-tiny-imagenet has 4 classes"):
        SplitTinyImageNet(data=tmp_path)


def test_another_label_is_another_data_set(tmp_path):
    folder = write_tiny_imagenet(tmp_path)
    before = tiny_imagenet(folder).fingerprint
    annotations = folder / "val" / "val_annotations.txt"
    annotations.write_text(annotations.read_text().replace(TINY_IDS[0], TINY_IDS[1]))
    assert tiny_imagenet(folder).fingerprint != before


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("wnids.txt", None, "wnids.txt: missing: --data takes the folder that holds tiny-imagenet-200"),
        ("wnids.txt", b"", "wnids.txt: empty"),
        ("wnids.txt", b"\xff\xfe", "wnids.txt: can't be read"),
        ("wnids.txt", b"n02124075\nn0\n", r"train/n0/images: no training images, such as n0_0.JPEG"),
        ("wnids.txt", b"n02124075\n", "a file and a class of wnids.txt, parted by a tab"),
        ("wnids.txt", b"/etc\n", "train/etc/images: no training images"),
        ("words.txt", None, "words.txt: missing"),
        ("val/val_annotations.txt", None, "val_annotations.txt: missing"),
        ("val/val_annotations.txt", b"val_0.JPEG n02124075", "'val_0.JPEG n02124075': a file and a class"),
        ("val/val_annotations.txt", b"no.JPEG\tn02124075", r"val/images/no.JPEG: can't be read"),
        ("val/val_annotations.txt", b"/etc/passwd\tn02124075", r"val/images/passwd: can't be read"),
        (f"train/{TINY_IDS[1]}/images/{TINY_IDS[1]}_3.JPEG", b"", f"{TINY_IDS[1]}_3.JPEG: not an image"),
        (
            f"train/{TINY_IDS[1]}/images/{TINY_IDS[1]}_3.JPEG",
            b"\xff\xd8\xff\xe0",
            f"{TINY_IDS[1]}_3.JPEG: not an image",
        ),
    ],
)
def test_a_missing_or_damaged_file_is_named(file, content, sentence, tmp_path):
    path = write_tiny_imagenet(tmp_path) / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as caught:
        tiny_imagenet(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.fixture
def served(tmp_path, server, monkeypatch):
    """The archive that is downloaded."""
    write_tiny_imagenet(tmp_path / "files")
    archive = shutil.make_archive(str(tmp_path / "served" / "tiny-imagenet-200"), "zip", tmp_path / "files")
    content = (tmp_path / "served" / "tiny-imagenet-200.zip").read_bytes()
    monkeypatch.setattr(tiny_imagenet_source, "URL", f"{server}/tiny-imagenet-200.zip")
    monkeypatch.setattr(tiny_imagenet_source, "MD5", hashlib.md5(content).hexdigest())
    return tmp_path / "served" / archive


def test_without_files_they_are_downloaded_and_unpacked_once(tmp_path, cache, served):
    partial = cache / "downloads" / "tiny-imagenet-200.partial" / "tiny-imagenet-200"
    partial.mkdir(parents=True)  # as a process that was killed leaves it
    (partial / "wnids.txt").write_text("half")
    downloaded = tiny_imagenet()
    assert downloaded.fingerprint == tiny_imagenet(tmp_path / "files").fingerprint
    served.unlink()
    assert tiny_imagenet().fingerprint == downloaded.fingerprint
    left = {path.name for path in (cache / "downloads").iterdir()}
    assert left - {"tiny-imagenet-200.lock"} == {"tiny-imagenet-200"}


def test_a_damaged_archive_is_a_failed_download(served, cache):
    served.write_bytes(served.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"Tiny ImageNet couldn't be downloaded .*: --data DIR takes files") as caught:
        tiny_imagenet()
    assert "\n" not in str(caught.value)
    assert not (cache / "downloads" / "tiny-imagenet-200").exists()
