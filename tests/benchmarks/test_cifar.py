"""CIFAR from small files in torchvision's layout, whose sums stand in for those of the real ones."""

import hashlib
import tarfile
from pathlib import Path

import numpy as np
import pytest
from stand_ins import write_cifar

from clhyper.data.sources import cifar10, cifar100
from clhyper.errors import UserError

pytestmark = pytest.mark.usefixtures("cache")


def test_cifar10_is_read_from_files_already_there(tmp_path, datasets, monkeypatch):
    train, test = write_cifar(tmp_path / "files", datasets.CIFAR10, monkeypatch)
    for data in (tmp_path / "files", tmp_path / "files" / "cifar-10-batches-py"):
        images = cifar10(data)
        np.testing.assert_array_equal(images.x_train, train)
        np.testing.assert_array_equal(images.x_test, test)
        np.testing.assert_array_equal(images.y_test, np.arange(20) % 10)
        assert images.class_names[3] == "class 3"


def test_cifar100_has_the_fine_classes_and_can_be_resized(tmp_path, datasets, monkeypatch):
    write_cifar(tmp_path / "files", datasets.CIFAR100, monkeypatch)
    images = cifar100(tmp_path / "files", image_size=16)
    assert images.image_shape == (3, 16, 16)
    assert images.classes == 100
    np.testing.assert_array_equal(images.y_train, np.arange(200) % 100)


@pytest.mark.parametrize("file", ["data_batch_2", "test_batch", "batches.meta"])
@pytest.mark.parametrize("defect", ["missing", "damaged"])
def test_a_wrong_cifar_file_is_named_even_once_the_images_are_cached(tmp_path, datasets, monkeypatch, file, defect):
    write_cifar(tmp_path / "files", datasets.CIFAR10, monkeypatch)
    cifar10(tmp_path / "files")
    path = tmp_path / "files" / "cifar-10-batches-py" / file
    path.write_bytes(path.read_bytes()[:-1]) if defect == "damaged" else path.unlink()
    with pytest.raises(UserError, match=f"{file}: {defect}"):
        cifar10(tmp_path / "files")


def test_a_folder_without_cifar_says_what_data_takes(tmp_path):
    with pytest.raises(UserError, match=r"missing: --data takes the folder that holds an intact cifar-100-python"):
        cifar100(tmp_path)


def test_a_download_that_fails_says_why_and_what_to_do(datasets, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar.tar.gz")  # nobody listens
    with pytest.raises(
        UserError, match=r"CIFAR10 couldn't be downloaded .*refused.*: --data DIR takes files"
    ) as caught:
        cifar10()
    assert "\n" not in str(caught.value)


def serve_cifar(tmp_path, server, dataset, monkeypatch) -> Path:
    """The archive that `dataset` is downloaded from."""
    write_cifar(tmp_path / "files", dataset, monkeypatch)
    archive = tmp_path / "served" / dataset.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "files" / dataset.base_folder, dataset.base_folder)
    monkeypatch.setattr(dataset, "url", f"{server}/{dataset.filename}")
    monkeypatch.setattr(dataset, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    return archive


def test_without_files_cifar_is_downloaded_once(tmp_path, server, datasets, monkeypatch):
    archive = serve_cifar(tmp_path, server, datasets.CIFAR10, monkeypatch)
    downloaded = cifar10()
    assert downloaded.fingerprint == cifar10(tmp_path / "files").fingerprint
    archive.unlink()
    assert cifar10().fingerprint == downloaded.fingerprint


def test_a_download_that_was_cut_short_is_repeated(tmp_path, cache, server, datasets, monkeypatch):
    serve_cifar(tmp_path, server, datasets.CIFAR10, monkeypatch)
    folder = cache / "downloads" / "cifar-10-batches-py"
    fingerprint = cifar10().fingerprint
    (folder / "batches.meta").unlink()
    assert cifar10().fingerprint == fingerprint


def test_a_damaged_archive_is_a_failed_download(tmp_path, server, datasets, monkeypatch):
    archive = serve_cifar(tmp_path, server, datasets.CIFAR10, monkeypatch)
    archive.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(UserError, match="couldn't be downloaded"):
        cifar10()
