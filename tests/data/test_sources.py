import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from clhyper.data.sources import digits


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLHYPER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_digits_are_the_grey_pictures_of_scikit_learn_split_by_class():
    images = digits()
    assert images.x_train.shape == (1437, 1, 8, 8)
    assert images.x_test.shape == (360, 1, 8, 8)
    assert images.x_train.dtype == np.uint8
    assert images.y_train.dtype == images.y_test.dtype == np.int64
    assert images.class_names == tuple("0123456789")
    pictures = np.concatenate([images.x_train, images.x_test])[:, 0]
    labels = np.concatenate([images.y_train, images.y_test])
    found = {(picture.tobytes(), label) for picture, label in zip(pictures, labels, strict=True)}
    source = load_digits()
    scaled = np.rint(source.images * 255 / 16).astype(np.uint8)
    assert found == {(picture.tobytes(), label) for picture, label in zip(scaled, source.target, strict=True)}
    shares = np.bincount(images.y_test) / np.bincount(labels)
    np.testing.assert_allclose(shares, 0.2, atol=0.005)


def test_resized_images_are_bilinear_antialiased_and_rounded():
    plain, smaller = digits(), digits(image_size=5)
    assert smaller.x_train.shape == (1437, 1, 5, 5)
    assert smaller.fingerprint != plain.fingerprint
    reference = torch.nn.functional.interpolate(
        torch.from_numpy(plain.x_train[7:8]).double(), size=(5, 5), mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(smaller.x_train[7:8], reference.numpy(), atol=0.501)


def test_resizing_to_the_same_size_changes_no_pixel():
    np.testing.assert_array_equal(digits(image_size=8).x_train, digits().x_train)
