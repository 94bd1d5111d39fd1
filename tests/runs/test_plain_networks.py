"""One task's network as ordinary layers."""

import copy
import functools

import pytest
import torch
from small_sweeps import HYPERNETWORK
from torch import nn
from trained_runs import STRATEGIES, WITHOUT_LABELS

from benchmarks import SplitDigits
from clhyper.errors import UserError
from clhyper.registry import find, option_defaults

NORMS = ("batch", "group", "instance")
LAYERS = (
    nn.Conv2d,
    nn.Linear,
    nn.ReLU,
    nn.BatchNorm2d,
    nn.GroupNorm,
    nn.InstanceNorm2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
)


@functools.cache
def digits(task_labels=True):
    return SplitDigits(backbone="small-convnet", task_labels=task_labels)


def untrained(strategy, depth, norm, task_labels=True, **options):
    """A strategy that has room for two experiences and whose running statistics have moved, untrained."""
    entry = find("strategy", strategy)
    options = {"freeze_depth": depth, "norm": norm, "front_norm": norm, **HYPERNETWORK, **options}
    known = {name: value for name, value in options.items() if name in option_defaults(entry.options())}
    torch.manual_seed(depth)
    made = entry.load()(digits(task_labels).backbone(), **known)
    model = made.model.train()
    for experience in list(digits(task_labels).train_stream)[:2]:
        model.adaptation(experience)
        x = experience.images.preparation.normalise(experience.images.x()[:32])
        with torch.no_grad():
            model(x, experience.task_label)
    return model.eval()


def inputs(task, task_labels=True):
    images = digits(task_labels).test_stream[task].images
    return images.preparation.normalise(images.x()[:9])


@pytest.mark.parametrize("depth", [0, 3])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_task_in_ordinary_layers_gives_the_models_logits_bit_for_bit(strategy, norm, depth):
    model = untrained(strategy, depth, norm)
    before = copy.deepcopy(model.state_dict())
    for task in (0, 1):
        plain = model.plain(task)
        assert torch.equal(plain(inputs(task)), model(inputs(task), task))
        assert list(dict(plain.named_children())) == ["conv1", "conv2", "conv3", "classifier"]
        assert all(isinstance(layer, LAYERS) for layer in plain.modules() if not list(layer.children()))
        assert not any(p.requires_grad for p in plain.parameters())
        assert not any(layer.training or layer._forward_hooks or layer._forward_pre_hooks for layer in plain.modules())
        with torch.no_grad():
            for tensor in plain.state_dict().values():
                tensor.zero_()  # it shares nothing
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("strategy", WITHOUT_LABELS)
def test_without_task_labels_task_0_has_all_classes_seen(strategy):
    model = untrained(strategy, 1, "batch", task_labels=False)
    for number in (0, 1):
        x = inputs(number, task_labels=False)
        assert torch.equal(model.plain(0)(x), model(x, 0))
    assert model.plain(0)(x).shape == (9, 4)
    with pytest.raises(UserError, match="task 1: not learned by this model, whose tasks are: 0"):
        model.plain(1)


@pytest.mark.parametrize("strategy", ["naive", "separate", "partial-hypernetwork"])
def test_outputs_that_are_none_of_the_tasks_classes_are_left_out_and_the_rest_stay_in_the_order_of_labels(strategy):
    """Avalanche's own streams may give a task the labels 4 and 2, in that order, with other widths beside it."""
    model = untrained(strategy, 1, "group")
    model.classes_of[1] = [1]
    state = torch.get_rng_state()
    torch.testing.assert_close(model.plain(1)(inputs(1)), model(inputs(1), 1)[:, [1]], rtol=1e-6, atol=1e-6)
    model.classes_of[1] = [1, 0]
    assert torch.equal(model.plain(1)(inputs(1)), model(inputs(1), 1))
    assert torch.equal(torch.get_rng_state(), state)


def test_what_the_chunked_generator_generates_is_put_into_ordinary_layers_too():
    model = untrained("partial-hypernetwork", 1, "batch", generator="chunked", rank=56)  # the default, as others' are
    assert type(model.hypernetwork).__name__ == "ChunkedHypernetwork"
    for task in (0, 1):
        assert torch.equal(model.plain(task)(inputs(task)), model(inputs(task), task))


def test_each_task_of_a_generator_with_batch_norm_has_its_own_statistics():
    model = untrained("partial-hypernetwork", 1, "batch")
    first, second = (model.plain(task).state_dict() for task in (0, 1))
    assert torch.equal(first["conv1.1.running_mean"], second["conv1.1.running_mean"])
    assert not torch.equal(first["conv2.1.running_mean"], second["conv2.1.running_mean"])
