"""Image files in folders, one folder a class."""

import numpy as np
import pytest
from PIL import Image
from stand_ins import digits_of, write_folder

from benchmarks import SplitFolder
from clhyper.data.sources import folder
from clhyper.errors import UserError

pytestmark = pytest.mark.usefixtures("cache")


def pictures(x, y):
    return {(image.tobytes(), int(label)) for image, label in zip(x, y, strict=True)}


@pytest.mark.parametrize("test", ["test", "val"])
@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "gif", "webp", "jpg"])
def test_training_and_test_folders_in_any_format_are_the_two_splits(test, suffix, tmp_path):
    write_folder(tmp_path / "train", count=5, suffix=suffix)
    write_folder(tmp_path / test, count=3, start=10, suffix=suffix)
    images = folder(tmp_path)
    assert images.class_names == ("digit 0", "digit 1", "digit 2", "digit 3")
    assert images.y_train.tolist() == np.repeat(range(4), 5).tolist()
    assert images.y_test.tolist() == np.repeat(range(4), 3).tolist()
    if suffix in ("png", "bmp", "tiff"):  # without loss, and grey
        np.testing.assert_array_equal(images.x_train[5:10, 0], digits_of(1, 5))
        np.testing.assert_array_equal(images.x_test[9:, 0], digits_of(3, 3, 10))


def test_class_folders_alone_are_split_by_a_share_of_every_class_always_alike(tmp_path):
    written = write_folder(tmp_path, count=10)
    images, again = folder(tmp_path), folder(tmp_path)
    assert np.bincount(images.y_train).tolist() == [8] * 4
    assert np.bincount(images.y_test).tolist() == [2] * 4
    both = pictures(images.x_train, images.y_train) | pictures(images.x_test, images.y_test)
    assert both == {(pixels.tobytes(), int(path.parent.name[-1])) for path, pixels in written.items()}
    np.testing.assert_array_equal(images.x_test, again.x_test)
    assert np.bincount(folder(tmp_path, test_share=0.5).y_test).tolist() == [5] * 4
    assert folder(tmp_path, test_share=0.5).fingerprint != images.fingerprint


def test_images_of_several_sizes_are_resized_to_one_if_told_so(tmp_path):
    write_folder(tmp_path, classes=2, count=5)
    wide = tmp_path / "digit 1" / "wide.png"
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(wide)
    sentence = f"{wide}: an image of 9x8 pixels, where the first has 8x8: --image-size resizes all to one size"
    with pytest.raises(UserError, match=sentence):
        folder(tmp_path)
    assert folder(tmp_path, image_size=6).image_shape == (1, 6, 6)


def test_test_images_of_another_size_than_the_training_images_are_named(tmp_path):
    write_folder(tmp_path / "train", classes=2, count=2)
    write_folder(tmp_path / "test", classes=2, count=2, size=9)
    with pytest.raises(UserError, match=r"test/digit 0/000.png: an image of 9x9 pixels, where the first has 8x8"):
        folder(tmp_path)


def test_one_colour_image_makes_all_of_them_rgb(tmp_path):
    write_folder(tmp_path, classes=2, count=5)
    Image.fromarray(np.full((8, 8, 3), (200, 0, 9), np.uint8)).save(tmp_path / "digit 0" / "red.png")
    images = folder(tmp_path)
    assert images.image_shape == (3, 8, 8)
    grey = images.x_train[images.y_train == 1][0]
    assert (grey[0] == grey[1]).all()


def test_hidden_files_and_files_that_are_no_images_are_left_out_and_subfolders_belong_to_their_class(tmp_path):
    write_folder(tmp_path, classes=2, count=5)
    before = folder(tmp_path)
    (tmp_path / "README.txt").write_text("my digits")
    (tmp_path / "digit 0" / "README.txt").write_text("my zeros")
    (tmp_path / "digit 1" / "labels.json").write_text("{}")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("main")
    (tmp_path / "digit 0" / ".DS_Store").write_bytes(b"\x00")
    (tmp_path / "digit 0" / ".thumbnails").mkdir()
    (tmp_path / "digit 0" / ".thumbnails" / "000.png").write_bytes(b"small")
    assert folder(tmp_path).fingerprint == before.fingerprint
    (tmp_path / "digit 0" / "more").mkdir()
    Image.fromarray(digits_of(0, 1, 20)[0]).save(tmp_path / "digit 0" / "more" / "one.png")
    assert len(folder(tmp_path).x_train) + len(folder(tmp_path).x_test) == 11


def test_an_image_that_changes_or_moves_to_another_class_is_another_data_set(tmp_path):
    write_folder(tmp_path, classes=2, count=5)
    seen = [folder(tmp_path).fingerprint]
    (tmp_path / "digit 0" / "000.png").rename(tmp_path / "digit 1" / "moved.png")
    seen.append(folder(tmp_path).fingerprint)
    Image.fromarray(digits_of(7, 1)[0]).save(tmp_path / "digit 1" / "moved.png")
    seen.append(folder(tmp_path).fingerprint)
    assert len(set(seen)) == 3


@pytest.mark.parametrize(
    ("broken", "options", "sentence"),
    [
        (lambda root: (root / "digit 1" / "notes.PNG").write_text("no"), {}, r"digit 1/notes.PNG: not an image"),
        (lambda root: (root / "digit 1" / "000.png").write_bytes(b""), {}, r"digit 1/000.png: not an image"),
        (lambda root: (root / "digit 9").mkdir(), {}, "digit 9: no images, files such as .png or .jpg: a class needs"),
        (
            lambda root: [path.rename(path.with_suffix(".txt")) for path in list((root / "digit 1").iterdir())],
            {},
            "digit 1: no images, files such as .png or .jpg: a class needs some",
        ),
        (lambda root: (root / "train").mkdir(), {}, "a folder train, but neither test nor val"),
        (lambda root: (root / "val").mkdir(), {}, "a folder val, but no train"),
        (lambda root: None, {"test_share": 0.0}, "test_share 0.0: a share between 0 and 1"),
        (lambda root: None, {"test_share": 1.0}, "test_share 1.0: a share between 0 and 1"),
        (
            lambda root: [path.unlink() for path in sorted((root / "digit 1").iterdir())[1:]],
            {},
            "test_share 0.2: class digit 1 has one image, which can't be split",
        ),
    ],
)
def test_a_folder_that_is_no_good_is_named_with_what_is_wrong(broken, options, sentence, tmp_path):
    write_folder(tmp_path, classes=2, count=5)
    broken(tmp_path)
    with pytest.raises(UserError, match=sentence):
        folder(tmp_path, **options)


def test_a_test_folder_that_does_not_fit_the_training_folder_is_said(tmp_path):
    write_folder(tmp_path / "train", classes=2, count=2)
    write_folder(tmp_path / "test", classes=2, count=2)
    with pytest.raises(UserError, match=r"test_share 0.5: .*test is the test split: leave it out"):
        folder(tmp_path, test_share=0.5)
    (tmp_path / "test" / "digit 1").rename(tmp_path / "test" / "digit 7")
    with pytest.raises(UserError, match=r"test/digit 7: a class that .*train doesn't have"):
        folder(tmp_path)
    with pytest.raises(UserError, match=r"nowhere: can't be read \(No such file"):
        folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no class folders: images belong in .*empty/CLASS"):
        folder(tmp_path / "empty")


def test_the_stream_needs_a_folder_and_an_experience_needs_test_images(tmp_path):
    with pytest.raises(UserError, match="split-folder needs --data DIR"):
        SplitFolder()
    write_folder(tmp_path / "train", classes=2, count=2)
    write_folder(tmp_path / "test", classes=1, count=2)
    with pytest.raises(UserError, match="experience 1: no test images of its classes: deal fewer experiences"):
        SplitFolder(data=tmp_path, experiences=2)
    assert len(SplitFolder(data=tmp_path, experiences=1).test_stream[0].images) == 2
