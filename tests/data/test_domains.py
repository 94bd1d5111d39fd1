"""Domain-incremental streams: every experience has all classes, each time in another domain."""

import numpy as np
import pytest
import torch

from benchmarks import SplitDigits
from clhyper.data.domains import Permutation, Rotation, domain_of, in_domain
from clhyper.data.sources import digits
from clhyper.data.stream import images_of, join
from clhyper.errors import UserError
from clhyper.options import StreamOptions

VARIANTS = ["permuted", "rotated"]


@pytest.fixture(scope="module")
def source():
    return digits()


@pytest.fixture(scope="module")
def colour():
    return torch.randint(0, 256, (20, 3, 6, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


# Transforms


def test_a_permutation_moves_the_pixels_of_all_images_and_channels_alike_and_loses_none(colour):
    places = torch.arange(54, dtype=torch.uint8).view(1, 1, 6, 9)
    order = Permutation((0, 1))(places).flatten().long()
    assert order.tolist() != list(range(54))
    assert sorted(order.tolist()) == list(range(54))
    assert torch.equal(Permutation((0, 1))(colour).flatten(2), colour.flatten(2)[:, :, order])


def test_a_permutation_follows_from_order_seed_and_experience_alone(colour):
    def permuted(experience, **options):
        return in_domain(domain_of(experience, StreamOptions(variant="permuted", **options)), colour)

    assert torch.equal(permuted(3), permuted(3, experiences=100))
    assert torch.equal(permuted(3), permuted(3, order_seed=0))
    different = [permuted(1), permuted(2), permuted(1, order_seed=1), permuted(2, order_seed=1), colour]
    assert not any(torch.equal(one, other) for i, one in enumerate(different) for other in different[:i])


def test_a_rotation_by_right_angles_moves_pixels_and_changes_none():
    square = digits_as_tensor()
    for turns in (1, 2, 3):
        assert torch.equal(Rotation(90.0 * turns)(square), square.rot90(turns, (2, 3)))


def test_a_rotation_interpolates_and_is_black_where_nothing_was():
    white = torch.full((1, 1, 9, 9), 255, dtype=torch.uint8)
    turned = Rotation(45.0)(white)[0, 0]
    assert turned[4, 4] == 255
    assert turned[0, 0] == turned[0, 8] == turned[8, 0] == turned[8, 8] == 0
    between = (turned > 0) & (turned < 255)
    assert between.any()
    assert torch.equal(turned, turned.rot90())


def test_experience_i_of_n_is_turned_by_i_nths_of_the_largest_angle():
    def angles(**options):
        options = StreamOptions(variant="rotated", **options)
        return [[turn.angle for turn in domain_of(i, options)] for i in range(options.experiences)]

    assert angles() == [[], [36.0], [72.0], [108.0], [144.0]]
    assert angles(experiences=4, max_angle=90.0) == [[], [22.5], [45.0], [67.5]]


@pytest.mark.parametrize("transform", [Permutation((0, 1)), Rotation(33.0), Rotation(90.0)])
def test_an_image_looks_the_same_alone_and_in_any_batch(transform, colour):
    whole = transform(colour)
    assert whole.dtype == torch.uint8
    assert whole.shape == colour.shape
    assert torch.equal(whole, torch.cat([transform(colour[i : i + 1]) for i in range(20)]))
    assert torch.equal(whole, torch.cat([transform(part) for part in colour.split(7)]))
    assert transform(colour[:0]).shape == (0, 3, 6, 9)


def digits_as_tensor():
    return torch.from_numpy(np.array(digits().x_train))


# Streams


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task_labels", [True, False])
def test_every_experience_has_all_classes_with_the_same_labels(variant, task_labels, source):
    stream = SplitDigits(variant=variant, experiences=3, task_labels=task_labels)
    for number, experience in enumerate(stream.train_stream):
        task = number if task_labels else 0
        assert experience.original_classes == tuple(range(10))
        assert experience.classes_by_task == {task: list(range(10))}
        assert experience.task_labels == [task]
        assert experience.images.labels.tolist() == source.y_train.tolist()
        assert set(experience.images.tasks.tolist()) == {task}
        assert set(experience.classes_in_this_experience) == set(range(10))
    assert stream.classes == 10
    assert len(stream.train_stream) == len(stream.test_stream) == 3


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_experience_is_the_source_in_its_own_domain_in_training_test_and_validation(variant, source):
    stream = SplitDigits(variant=variant, experiences=3, validation=0.2)
    for number in range(3):
        domain = domain_of(number, stream.options)
        for part, x in (("train", source.x_train), ("validation", source.x_train), ("test", source.x_test)):
            images = stream.streams[part][number].images
            plain = torch.from_numpy(np.array(x[images.rows]))
            assert torch.equal(images.x(), in_domain(domain, plain))
            assert torch.equal(images.x(), plain) == (number == 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_whole_batches_single_images_and_avalanches_view_are_the_same(variant):
    experience = SplitDigits(variant=variant, experiences=3).train_stream[2]
    images, prepared = experience.images, experience.images.preparation.normalise(experience.images.x())
    chosen = torch.tensor([700, 3, 3, 1436])
    assert torch.equal(images.x(chosen), images.x()[chosen])
    for row in chosen.tolist():
        assert torch.equal(images[row][0], images.x()[row])
        assert images[row][1] == images.labels[row]
        x, y, task = experience.dataset[row]
        torch.testing.assert_close(x, prepared[row])
        assert (y, task) == (int(images.labels[row]), 2)


def test_a_class_order_chooses_the_classes_of_every_experience(source):
    stream = SplitDigits(variant="rotated", experiences=4, class_order=(7, 2))
    for experience in stream.train_stream:
        originals = [experience.original_classes[label] for label in experience.images.labels.tolist()]
        assert originals == source.y_train[np.isin(source.y_train, [2, 7])].tolist()
    assert stream.classes == 2


def test_more_experiences_than_classes_share_the_images_of_the_source():
    stream = SplitDigits(variant="permuted", experiences=100)
    assert len(stream.train_stream) == 100
    experiences = list(stream.train_stream)
    assert all(experience.images.source is stream.images.x_train for experience in experiences)
    assert all(experience.images.labels is experiences[0].images.labels for experience in experiences)
    assert len({experience.images.x(torch.tensor([5])).numpy().tobytes() for experience in experiences}) == 100


@pytest.mark.parametrize("variant", VARIANTS)
def test_joined_experiences_keep_each_image_in_its_domain_with_its_label_and_task(variant):
    experiences = list(SplitDigits(variant=variant, experiences=3).train_stream)
    joined = join(experiences)
    assert joined.classes_by_task == {task: list(range(10)) for task in range(3)}
    assert torch.equal(joined.images.x(), torch.cat([e.images.x() for e in experiences]))
    assert torch.equal(joined.images.tasks, torch.arange(3).repeat_interleave(1437))
    assert joined.images.labels.tolist() == experiences[0].images.labels.tolist() * 3
    chosen = torch.tensor([4000, 2, 1437, 1436, 2, 2874])
    assert torch.equal(joined.images.x(chosen), joined.images.x()[chosen])
    prepared = joined.images.preparation.normalise(joined.images.x(chosen))
    for row, x in zip(chosen.tolist(), prepared, strict=True):
        torch.testing.assert_close(joined.dataset[row][0], x)
        assert tuple(joined.dataset[row][1:]) == (int(joined.images.labels[row]), row // 1437)


def test_normalisation_stays_that_of_the_source():
    plain, permuted = (SplitDigits(variant=variant).train_stream[1].images for variant in ("none", "permuted"))
    assert images_of(SplitDigits().train_stream[1]).preparation == permuted.preparation
    assert (plain.preparation.mean, plain.preparation.std) == (permuted.preparation.mean, permuted.preparation.std)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"variant": "permutated"}, "unknown variant 'permutated': did you mean 'permuted'?"),
        ({"variant": "rotated", "max_angle": 0.0}, "max_angle 0.0: more than 0 and at most 360 degrees"),
        ({"variant": "rotated", "max_angle": 361.0}, "max_angle 361.0: more than 0"),
        ({"variant": "rotated", "max_angle": float("nan")}, "max_angle nan: more than 0"),
        ({"max_angle": 90.0}, "max_angle 90.0: variant none turns no image, --variant rotated does"),
        ({"variant": "permuted", "max_angle": 90.0}, "variant permuted turns no image"),
        ({"variant": "permuted", "augmentation": "flip"}, "flip and variant permuted contradict .*--augmentation none"),
        ({"variant": "rotated", "class_order": (1, 1)}, "class_order: class 1 occurs twice"),
        ({"variant": "rotated", "experiences": 0}, "experiences 0: at least 1"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        SplitDigits(**options)
