import functools
import operator

import numpy as np
import pytest
import torch

from benchmarks import SplitDigits
from clhyper.data.sources import digits
from clhyper.data.stream import images_of, join
from clhyper.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def source():
    torch.set_num_threads(1)
    return digits()


def original_labels(experience):
    """The source's label of each image of an experience, found by the picture itself."""
    return experience.images.rows, [experience.original_classes[y] for y in experience.images.labels.tolist()]


def relabelled(stream):
    return [list(experience.original_classes) for experience in stream.train_stream]


# Which classes


def test_every_class_is_dealt_once_and_with_all_its_images(source):
    stream = SplitDigits()
    assert relabelled(stream) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    for part, labels in [(stream.train_stream, source.y_train), (stream.test_stream, source.y_test)]:
        seen = np.concatenate([experience.images.rows for experience in part])
        assert sorted(seen) == list(range(len(labels)))
        for experience in part:
            rows, originals = original_labels(experience)
            assert labels[rows].tolist() == originals


def test_with_task_labels_an_experiences_labels_count_from_0_and_its_number_is_its_task():
    for number, experience in enumerate(SplitDigits().train_stream):
        assert set(experience.images.labels.tolist()) == {0, 1}
        assert set(experience.images.tasks.tolist()) == {number}
        assert experience.task_labels == [number]
        assert experience.classes_by_task == {number: [0, 1]}
        assert set(experience.classes_in_this_experience) == {0, 1}
    assert SplitDigits().classes == 2


def test_without_task_labels_labels_count_on_in_the_order_of_appearance():
    stream = SplitDigits(task_labels=False, class_order=(7, 1, 9, 0, 3, 2, 8, 4, 6, 5))
    for number, experience in enumerate(stream.train_stream):
        assert set(experience.images.labels.tolist()) == {2 * number, 2 * number + 1}
        assert set(experience.images.tasks.tolist()) == {0}
        assert experience.classes_by_task == {0: [2 * number, 2 * number + 1]}
    assert relabelled(stream) == [[7, 1], [9, 0], [3, 2], [8, 4], [6, 5]]
    assert stream.classes == 10


def test_classes_that_do_not_divide_evenly_go_to_the_first_experiences():
    stream = SplitDigits(experiences=4)
    assert relabelled(stream) == [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]
    assert stream.classes == 3
    assert sum(len(experience.images) for experience in stream.train_stream) == 1437
    assert SplitDigits(experiences=10).classes == 1
    assert relabelled(SplitDigits(experiences=1)) == [list(range(10))]


def test_a_class_order_of_some_classes_leaves_the_others_out(source):
    stream = SplitDigits(experiences=2, class_order=(9, 3, 4))
    assert relabelled(stream) == [[9, 3], [4]]
    rows = np.concatenate([experience.images.rows for experience in stream.train_stream])
    assert len(rows) == np.isin(source.y_train, [3, 4, 9]).sum()
    first = stream.train_stream[0].images
    assert source.y_train[first.rows].tolist() == [[9, 3][label] for label in first.labels.tolist()]


def test_an_order_seed_shuffles_the_classes_always_alike():
    orders = [functools.reduce(operator.iadd, relabelled(SplitDigits(order_seed=seed)), []) for seed in (0, 1, 1)]
    assert orders[1] == orders[2] != orders[0]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert orders[0] != list(range(10))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"experiences": 11}, "experiences 11: split-digits has 10 classes, so at most as many experiences"),
        ({"experiences": 3, "class_order": (1, 2)}, "experiences 3: split-digits has 2 classes"),
        ({"experiences": 0}, "experiences 0: at least 1"),
        ({"class_order": (1, 2, 1, 3, 4)}, "class_order: class 1 occurs twice"),
        ({"class_order": (1, 2, 3, 4, 10)}, r"class_order: \[10\] is no class of split-digits, which has 0 to 9"),
        ({"class_order": (1, 2, 3, 4, -1)}, r"class_order: \[-1\] is no class"),
        ({"class_order": (1, 0), "order_seed": 3}, "class_order and order_seed contradict each other"),
        ({"validation": 1.0}, "validation 1.0: a share"),
        ({"validation": -0.1}, "validation -0.1: a share"),
        ({"experience": 2}, "unknown option of split-digits 'experience': did you mean 'experiences'?"),
    ],
)
def test_an_option_that_does_not_fit_the_data_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        SplitDigits(**options)


# Images


def test_images_are_the_sources_own_read_when_asked(source):
    images = SplitDigits().train_stream[3].images
    assert images.x().dtype == torch.uint8
    assert np.array_equal(images.x().numpy(), source.x_train[images.rows])
    chosen = torch.tensor([5, 0, 7])
    assert torch.equal(images.x(chosen), images.x()[chosen])


def test_avalanches_view_of_an_experience_is_the_same_images_prepared():
    for stream in (SplitDigits(), SplitDigits(task_labels=False)):
        experience = stream.train_stream[2]
        assert len(experience.dataset) == len(experience.images)
        assert list(experience.dataset.targets) == experience.images.labels.tolist()
        assert list(experience.dataset.targets_task_labels) == experience.images.tasks.tolist()
        x, y, task = experience.dataset[11]
        torch.testing.assert_close(x, experience.images.preparation.normalise(experience.images.x())[11])
        assert (y, task) == (int(experience.images.labels[11]), int(experience.images.tasks[11]))


def test_training_images_are_augmented_and_others_never():
    stream = SplitDigits(augmentation="crop-flip", validation=0.1)
    assert [e.images.preparation.augmentation for e in stream.train_stream] == ["crop-flip"] * 5
    assert [e.images.preparation.augmentation for e in stream.test_stream] == ["none"] * 5
    assert [e.images.preparation.augmentation for e in stream.eval_stream] == ["none"] * 5
    experience = stream.train_stream[0]
    plain = experience.dataset.eval()[4][0]
    torch.testing.assert_close(plain, experience.images.preparation.normalise(experience.images.x())[4])
    assert any(not torch.equal(experience.dataset.train()[4][0], plain) for _ in range(10))


def test_prepared_training_images_have_mean_0_and_deviation_1():
    stream = SplitDigits()
    x = torch.cat([e.images.preparation.normalise(e.images.x()) for e in stream.train_stream])
    assert abs(float(x.mean())) < 1e-3
    assert abs(float(x.std()) - 1) < 1e-3


# Held-out images


def test_validation_holds_out_the_same_share_of_every_class_and_of_training_images_only(source):
    stream = SplitDigits(validation=0.2)
    training = np.concatenate([e.images.rows for e in stream.train_stream])
    held_out = np.concatenate([e.images.rows for e in stream.eval_stream])
    assert not set(training) & set(held_out)
    assert sorted([*training, *held_out]) == list(range(len(source.y_train)))
    for label in range(10):
        of_class = (source.y_train == label).sum()
        assert (source.y_train[held_out] == label).sum() == round(0.2 * of_class)
        rows = np.flatnonzero(source.y_train == label)
        assert not set(rows[:5]) <= set(held_out)  # drawn, not the first or last of their class
        assert not set(rows[-5:]) <= set(held_out)
    for experience in stream.eval_stream:
        rows, originals = original_labels(experience)
        assert source.y_train[rows].tolist() == originals
        assert np.array_equal(experience.images.x().numpy(), source.x_train[rows])
    assert stream.evaluated_on == "validation"


def test_what_is_held_out_is_the_same_every_time_and_in_every_order():
    def held_out(**options):
        return sorted(np.concatenate([e.images.rows for e in SplitDigits(validation=0.1, **options).eval_stream]))

    assert held_out() == held_out() == held_out(order_seed=3) == held_out(experiences=2)
    assert held_out() != sorted(range(len(held_out())))


def test_without_validation_the_test_images_are_evaluated_on():
    stream = SplitDigits()
    assert stream.evaluated_on == "test"
    assert stream.eval_stream is stream.test_stream


def test_however_small_the_share_each_class_gives_an_image_and_keeps_one():
    few = SplitDigits(validation=0.0001)
    assert [len(e.images) for e in few.eval_stream] == [2] * 5
    most = SplitDigits(validation=0.9999)
    assert [len(e.images) for e in most.train_stream] == [2] * 5


# The first experiences only


def test_the_first_experiences_of_a_stream_are_those_of_the_whole_stream():
    options = {"order_seed": 3, "variant": "rotated", "classes_each": 2, "experiences": 7, "validation": 0.2}
    whole, cut = SplitDigits(**options), SplitDigits(**options, first=3)
    assert len(cut.train_stream) == len(cut.eval_stream) == len(cut.test_stream) == 3
    assert relabelled(cut) == relabelled(whole)[:3]
    for name in ("train_stream", "eval_stream"):
        for theirs, ours in zip(getattr(whole, name), getattr(cut, name), strict=False):
            assert np.array_equal(theirs.images.rows, ours.images.rows)
            assert torch.equal(theirs.images.x(torch.arange(4)), ours.images.x(torch.arange(4)))


def test_a_stream_without_task_labels_that_is_cut_has_outputs_for_what_is_left():
    assert SplitDigits(task_labels=False, first=2).classes == 4


def test_more_first_experiences_than_there_are_is_bad_input():
    with pytest.raises(UserError, match="first 6: split-digits has 5 experiences"):
        SplitDigits(first=6)
    with pytest.raises(UserError, match="first 0: at least 1"):
        SplitDigits(first=0)


# Experiences together


def test_joined_experiences_have_all_images_tasks_and_classes():
    stream = SplitDigits(experiences=4)
    joined = join(list(stream.train_stream))
    assert joined.classes_by_task == {0: [0, 1, 2], 1: [0, 1, 2], 2: [0, 1], 3: [0, 1]}
    assert sorted(joined.images.rows) == list(range(1437))
    together = {
        (int(row), label, task)
        for row, label, task in zip(
            joined.images.rows, joined.images.labels.tolist(), joined.images.tasks.tolist(), strict=True
        )
    }
    apart = {
        (int(row), label, task)
        for e in stream.train_stream
        for row, label, task in zip(e.images.rows, e.images.labels.tolist(), e.images.tasks.tolist(), strict=True)
    }
    assert together == apart
    assert len(joined.dataset) == 1437


def test_an_avalanche_experience_shows_the_same_face_as_ours():
    stream = SplitDigits()
    ours = stream.train_stream[1].images

    class Plain:
        dataset = stream.train_stream[1].dataset

    listed = images_of(Plain)
    assert torch.equal(listed.labels, ours.labels)
    assert torch.equal(listed.tasks, ours.tasks)
    chosen = torch.tensor([3, 1])
    torch.testing.assert_close(
        listed.preparation.normalise(listed.x(chosen)), ours.preparation.normalise(ours.x(chosen))
    )
    assert images_of(stream.train_stream[1]) is ours
