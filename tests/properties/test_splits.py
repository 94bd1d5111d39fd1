"""However a data set is dealt, every image of every chosen class is dealt once, under its own label."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from clhyper.data.images import ImageSet
from clhyper.data.stream import split_stream
from clhyper.errors import UserError
from clhyper.options import StreamOptions

CLASSES = 7


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """7 classes of 3 to 9 training images and 2 test images in mixed order; an image's pixels tell its class."""
    random = np.random.default_rng(0)
    train = random.permutation(np.repeat(np.arange(CLASSES), np.arange(3, 3 + CLASSES)))
    test = random.permutation(np.repeat(np.arange(CLASSES), 2))
    x_train, x_test = (np.tile(y[:, None, None, None].astype(np.uint8), (1, 1, 4, 4)) for y in (train, test))
    names = tuple(map(str, range(CLASSES)))
    return ImageSet("seven", x_train, train, x_test, test, names, (0.0,), (1.0,), "fingerprint")


@some.composite
def options(draw) -> StreamOptions:
    order = draw(some.lists(some.integers(0, CLASSES - 1), unique=True, max_size=CLASSES))
    return StreamOptions(
        experiences=draw(some.integers(1, CLASSES)),
        class_order=tuple(order),
        order_seed=None if order else draw(some.none() | some.integers(0, 5)),
        task_labels=draw(some.booleans()),
        validation=draw(some.just(0.0) | some.floats(0.01, 0.9)),
    )


@settings(derandomize=True, deadline=None, database=None, max_examples=60)
@given(chosen=options())
def test_every_image_of_every_chosen_class_is_dealt_once_under_a_consistent_label(chosen, images):
    classes = list(chosen.class_order) or list(range(CLASSES))
    if chosen.experiences > len(classes):
        with pytest.raises(UserError, match="so at most as many experiences"):
            split_stream(images, chosen, "a stream")
        return
    stream = split_stream(images, chosen, "a stream")
    parts = {"train": images.y_train, "test": images.y_test}
    parts |= {"validation": images.y_train} if chosen.validation else {}
    assert set(stream.streams) == set(parts)
    dealt = {name: [experience.images.rows.tolist() for experience in stream.streams[name]] for name in parts}
    training = sorted(itertools.chain(*dealt["train"], *dealt.get("validation", [])))
    assert training == np.flatnonzero(np.isin(images.y_train, classes)).tolist()
    assert sorted(itertools.chain(*dealt["test"])) == np.flatnonzero(np.isin(images.y_test, classes)).tolist()
    order = [label for experience in stream.train_stream for label in experience.original_classes]
    assert sorted(order) == sorted(classes)
    assert not chosen.class_order or order == classes
    widths = [len(experience.original_classes) for experience in stream.train_stream]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] - widths[-1] <= 1
    before = np.concatenate([[0], np.cumsum(widths)])
    for name, source in parts.items():
        for number, experience in enumerate(stream.streams[name]):
            first, task = (0, number) if chosen.task_labels else (before[number], 0)
            labels = experience.images.labels
            originals = [experience.original_classes[label - first] for label in labels.tolist()]
            assert originals == source[experience.images.rows].tolist()
            assert experience.images.x()[:, 0, 0, 0].tolist() == originals
            assert set(labels.tolist()) == set(range(first, first + widths[number]))
            assert set(experience.images.tasks.tolist()) == {task}
            assert experience.classes_by_task == {task: list(range(first, first + widths[number]))}
            assert experience.dataset.targets.uniques == set(labels.tolist())
    assert stream.classes == (max(widths) if chosen.task_labels else len(classes))
