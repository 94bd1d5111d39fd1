"""Streams of several sources, and of corrupted CIFAR-100."""

import numpy as np
import pytest
import torch
from stand_ins import some_digits, write_cifar, write_folder, write_idx

from benchmarks import Mixed, NoisyCIFAR100, SplitCIFAR100
from clhyper.data.decode import resize
from clhyper.data.sources import digits, named
from clhyper.errors import UserError
from clhyper.evaluation import AccuracyMatrix
from clhyper.registry import find
from clhyper.runs.config import checked_options
from strategies import Naive


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Of one source in each layout; all are pictures of digits."""
    root = tmp_path_factory.mktemp("sources")
    (x, y), (x_test, y_test) = some_digits(3, 20), some_digits(3, 5, 20)
    np.savez(root / "three.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test, class_names=["zero", "one", "two"])
    write_idx(root / "idx", classes=4, count=10)
    write_folder(root / "folder")
    return root


def sources(files):
    return (str(files / "three.npz"), "digits", str(files / "idx"), str(files / "folder"))


def test_every_source_is_an_experience_with_its_own_classes_task_and_images_in_colour(files):
    stream = Mixed(sources=sources(files))
    assert [e.task_labels for e in stream.train_stream] == [[0], [1], [2], [3]]
    assert [len(e.original_classes) for e in stream.train_stream] == [3, 10, 4, 4]
    assert stream.classes == 10
    assert stream.image_shape == (3, 32, 32)
    assert stream.images.class_names[1:5] == ("npz one", "npz two", "digits 0", "digits 1")
    grey = resize(digits().x_train, 32)
    images = stream.train_stream[1].images
    for channel in range(3):
        assert np.array_equal(images.x()[:, channel].numpy(), grey[:, 0])
    assert images.labels.tolist() == digits().y_train.tolist()
    x = np.concatenate([e.images.x().numpy() for e in stream.train_stream]) / 255
    assert stream.images.mean == pytest.approx(x.mean(axis=(0, 2, 3)))


def test_sources_are_named_with_their_folder_or_by_their_path(files):
    assert named(str(files / "three.npz")).class_names == ("zero", "one", "two")
    assert named(f"fashion={files / 'idx'}").class_names[:2] == ("T-shirt/top", "Trouser")
    assert named(f"mnist={files / 'idx'}").class_names[:2] == ("0 - zero", "1 - one")
    assert named(str(files / "folder"), 16).image_shape == (1, 16, 16)


def test_the_classes_of_a_source_can_be_several_experiences_that_never_mix_with_others(files):
    stream = Mixed(sources=("digits", str(files / "idx")), experiences_each=2, classes_each=2, order_seed=3)
    groups = [e.original_classes for e in stream.train_stream]
    assert [len(classes) for classes in groups] == [2, 2, 2, 2]
    assert max(*groups[0], *groups[1]) < 10 <= min(*groups[2], *groups[3])
    assert len({*groups[0], *groups[1]}) == 4
    assert groups != [
        e.original_classes
        for e in Mixed(
            sources=("digits", str(files / "idx")), **{"experiences_each": 2, "classes_each": 2}
        ).train_stream
    ]
    alike, different = (Mixed(sources=("digits",), experiences_each=2, alike=share) for share in (1.0, 0.0))
    assert alike.similarity()["mean"] > different.similarity()["mean"]


def test_experiences_can_be_made_equally_large_and_balanced(files):
    stream = Mixed(sources=sources(files), images_each=20, validation=0.2)
    assert [len(e.images) for e in stream.train_stream] == [20] * 4
    assert torch.bincount(stream.train_stream[1].images.labels).tolist() == [2] * 10
    plain = Mixed(sources=sources(files), validation=0.2)
    for limited, whole in zip(stream.train_stream, plain.train_stream, strict=True):
        assert set(limited.images.rows) <= set(whole.images.rows)
    assert [len(e.images) for e in stream.test_stream] == [len(e.images) for e in plain.test_stream]


def test_a_mixed_stream_can_be_corrupted_rotated_and_learned_without_task_labels(files):
    stream = Mixed(
        sources=sources(files), corrupt=("none", "blur"), variant="rotated", task_labels=False, images_each=32
    )
    assert [len(e.images.domain) for e in stream.train_stream] == [0, 2, 1, 2]
    assert [e.classes_by_task for e in stream.train_stream][2] == {0: [13, 14, 15, 16]}
    matrix = AccuracyMatrix(stream.eval_stream)
    strategy = Naive(stream.backbone("small-convnet"), epochs=1, plugins=[matrix])
    for experience in stream.train_stream:
        strategy.train(experience)
    assert None not in matrix.matrix[-1]


def test_options_of_mixed_survive_being_written_and_read(files):
    entry = find("benchmark", "mixed")
    once = checked_options(entry, {"sources": ["digits", "mnist"], "experiences_each": 2})
    assert once["experiences"] == 4
    assert checked_options(entry, once) == once


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "mixed needs --sources: at least one"),
        ({"sources": ("digit",)}, "unknown source, and no file or folder, 'digit': did you mean 'digits'?"),
        ({"sources": ("digits=there",)}, "source digits=there: digits install with the dependencies"),
        ({"sources": ("digits", "digits")}, "sources: .'digits'. occurs twice"),
        ({"sources": ("digits",), "experiences": 3}, "experiences 3: 1 follow from --sources"),
        ({"sources": ("digits",), "class_order": (1,)}, "class_order: mixed deals the classes of each source"),
        ({"sources": ("digits",), "classes_each": 11}, "classes_each 11: mixed has 10 classes to deal"),
        ({"sources": ("digits",), "experiences_each": 4, "classes_each": 3}, "so at most 3 experiences of 3"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        Mixed(**options)


# Corrupted CIFAR-100


def test_noisy_cifar100_is_four_experiences_of_five_classes_each_corrupted_in_its_way(tmp_path, datasets, monkeypatch):
    write_cifar(tmp_path, datasets.CIFAR100, monkeypatch)
    stream, clean = (NoisyCIFAR100(data=tmp_path, **options) for options in ({}, {"corrupt": ("none",)}))
    assert [len(e.images.domain) for e in stream.train_stream] == [0, 1, 1, 3]
    for one in (stream, clean):
        dealt = [e.original_classes for e in one.train_stream]
        assert dealt == [tuple(range(5 * n, 5 * n + 5)) for n in range(4)]
    plain = SplitCIFAR100(data=tmp_path)
    for part in ("train", "test"):
        for number in range(4):
            same = torch.equal(stream.streams[part][number].images.x(), plain.streams[part][number].images.x())
            assert same == (number == 0)
            assert torch.equal(clean.streams[part][number].images.x(), plain.streams[part][number].images.x())
    longer = NoisyCIFAR100(data=tmp_path, experiences=20, order_seed=1)
    assert [len(e.images.domain) for e in longer.train_stream] == [0, 1, 1, 3] * 5
    assert len({label for e in longer.train_stream for label in e.original_classes}) == 100
