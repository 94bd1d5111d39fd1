"""Streams of a hundred tasks, more than any class order has classes for."""

import numpy as np
import pytest
import torch

from benchmarks import SplitDigits
from clhyper.data.domains import domain_of, in_domain
from clhyper.errors import UserError
from clhyper.evaluation import AccuracyMatrix
from strategies import PartialHypernetwork


@pytest.mark.parametrize("variant", ["permuted", "rotated"])
def test_in_a_variant_a_few_classes_an_experience_are_dealt_over_and_over(variant):
    stream = SplitDigits(variant=variant, experiences=100, classes_each=3, order_seed=1)
    first, last = stream.train_stream[0], stream.train_stream[99]
    order = np.random.default_rng(1).permutation(10).tolist()
    for number, experience in enumerate(stream.train_stream):
        assert list(experience.original_classes) == [order[(3 * number + i) % 10] for i in range(3)]
        assert experience.classes_by_task == {number: [0, 1, 2]}
    originals = [last.original_classes[label] for label in last.images.labels.tolist()]
    assert originals == stream.images.y_train[last.images.rows].tolist()
    plain = torch.from_numpy(np.array(stream.images.x_train[last.images.rows]))
    assert torch.equal(last.images.x(), in_domain(domain_of(99, stream.options), plain))
    assert not torch.equal(last.images.x(), plain)
    assert stream.classes == 3
    assert first.images.source is last.images.source


def test_without_task_labels_a_class_that_comes_again_has_its_label_again():
    stream = SplitDigits(variant="rotated", experiences=5, classes_each=4, task_labels=False)
    assert [e.classes_by_task[0] for e in stream.train_stream] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1], [2, 3, 4, 5], [6, 7, 8, 9],
    ]  # fmt: skip
    third = stream.train_stream[2].images
    assert third.labels.tolist() == stream.images.y_train[third.rows].tolist()


def test_classes_beyond_those_of_each_experience_are_left_out():
    stream = SplitDigits(experiences=3, classes_each=2, order_seed=1)
    order = np.random.default_rng(1).permutation(10).tolist()
    assert [list(e.original_classes) for e in stream.train_stream] == [order[:2], order[2:4], order[4:6]]


def test_images_of_an_experience_are_limited_class_by_class_for_training_and_for_testing():
    stream = SplitDigits(images_each=20, test_images_each=10)
    assert {tuple(e.images.labels.bincount().tolist()) for e in stream.train_stream} == {(10, 10)}
    assert {tuple(e.images.labels.bincount().tolist()) for e in stream.test_stream} == {(5, 5)}
    held_out = SplitDigits(validation=0.5, test_images_each=10)
    assert {tuple(e.images.labels.bincount().tolist()) for e in held_out.eval_stream} == {(5, 5)}
    assert all(len(e.images) > 60 for e in held_out.train_stream)
    whole = SplitDigits(images_each=20)
    assert all(len(e.images) > 60 for e in whole.test_stream)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"experiences": 5, "classes_each": 3}, "split-digits has 10 classes, so at most 3 experiences of 3"),
        ({"classes_each": 11}, "classes_each 11: split-digits has 10 classes to deal"),
        ({"classes_each": 11, "variant": "rotated"}, "classes_each 11: split-digits has 10 classes to deal"),
        ({"classes_each": 0}, "classes_each 0: at least 1"),
        ({"images_each": 0}, "^images_each 0: at least 1"),
        ({"test_images_each": 0}, "^test_images_each 0: at least 1"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        SplitDigits(**options)


@pytest.mark.slow
def test_a_hypernetwork_learns_a_hundred_tasks_one_after_another():
    shape = {"variant": "rotated", "max_angle": 90.0, "class_order": (0, 1), "images_each": 32, "backbone": "mlp"}
    stream = SplitDigits(experiences=100, **shape)
    torch.manual_seed(0)
    training = {"epochs": 2, "batch_size": 16, "learning_rate": 3e-3, "lookahead": False}
    strategy = PartialHypernetwork(stream.backbone(), freeze_depth=1, **training)
    for experience in stream.train_stream:
        strategy.train(experience)
    matrix = AccuracyMatrix()
    strategy.plugins.append(matrix)
    strategy.eval(stream.test_stream)
    accuracies = matrix.matrix[-1]
    assert len(accuracies) == 100
    assert min(np.mean(accuracies[:10]), np.mean(accuracies[-10:])) > 0.85
    assert np.mean(accuracies) > 0.85
