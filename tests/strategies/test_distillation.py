"""Distillation of earlier tasks' answers as a second regulariser of generated backs."""

import copy

import pytest
import torch
from small_runs import Steps, digits, images, learn, make, same, tensors, uneven
from torch.nn import functional as F

from benchmarks import SplitDigits
from clhyper.evaluation import CostMeter
from clhyper.hypernetworks import GENERATORS
from strategies import PartialHypernetwork

TEMPERATURE = 2.0
SMALL = {"factored": {"rank": 8}, "low-rank": {"rank": 8}, "static": {"embedding": 8}}


class FromTheStart(Steps):
    """The steps of each experience anew, and the model as it began."""

    def before_training_exp(self, strategy, **kwargs):
        self.began = copy.deepcopy(strategy.model)
        self.steps.clear()


def steps_of(*experiences, stream=None, generator="additive", **options):
    """The steps of the last experience, beta being 0, and the model as that experience began."""
    plugin = FromTheStart()
    chosen = {"generator": generator, "beta": 0.0, "learning_rate": 0.02, **SMALL.get(generator, {}), **options}
    learn(make("partial hypernetwork", stream, plugins=[plugin], **chosen), *experiences, stream=stream)
    assert len(plugin.steps) > 2
    return plugin.steps, plugin.began


def distance(now, before, features, task):
    """KL between a task's answers, over its own classes, its norms in evaluation mode."""
    used = sorted(now.classes_of[task])
    answers = [model.eval().back(features, task)[:, used] / TEMPERATURE for model in (now, before)]
    now_, before_ = (answer.log_softmax(dim=1) for answer in answers)
    return (before_.exp() * (before_ - now_)).sum(dim=1).mean()


def by_hand(step, began, task, earlier, weight):
    """Gradients of CE + weight times the mean distance of earlier tasks, by name."""
    model, (features, labels, _), *_ = step
    now, before = copy.deepcopy(model), copy.deepcopy(began).requires_grad_(False)
    parameters = {name: p for name, p in now.named_parameters() if p.requires_grad}
    loss = F.cross_entropy(now.train().back(features, task), labels)
    loss = loss + weight * sum(distance(Generating(now), before, features, t) for t in earlier) / len(earlier)
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {name: g for name, g in zip(parameters, gradients, strict=True) if g is not None}, float(loss)


class Generating:
    """A model in evaluation mode whose generated weights carry gradients all the same."""

    def __init__(self, model):
        self.model, self.classes_of = model, model.classes_of

    def eval(self):
        return self

    def back(self, features, task):
        model = self.model.eval()
        model.weights = model._generate
        return model.back(features, task)


def apart(one, other):
    assert one.keys() == other.keys()
    difference = sum(float((one[name] - other[name]).square().sum()) for name in one)
    return (difference / sum(float(value.square().sum()) for value in other.values())) ** 0.5


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("generator", GENERATORS)
def test_the_gradient_is_that_of_the_loss_plus_how_far_earlier_tasks_answers_have_moved(generator, norm):
    options = {"generator": generator, "norm": norm, "distillation": 30.0, "distillation_tasks": 5}
    steps, began = steps_of(0, 1, 2, **options)
    right, loss = by_hand(steps[-1], began, 2, [0, 1], 30.0)
    without, _ = by_hand(steps[-1], began, 2, [0, 1], 0.0)
    assert apart(steps[-1][3], right) < min(1e-5, 0.05 * apart(steps[-1][3], without))
    assert steps[-1][2] == pytest.approx(loss, rel=1e-4)


def test_answers_are_compared_over_the_tasks_own_classes():
    stream = uneven()  # of 3, 3, 2 and 2 classes
    options = {"distillation": 3.0, "distillation_tasks": 3}
    steps, began = steps_of(0, 1, 2, 3, stream=stream, **options)
    right, loss = by_hand(steps[-1], began, 3, [0, 1, 2], 3.0)
    assert apart(steps[-1][3], right) < 1e-3
    assert steps[-1][2] == pytest.approx(loss, rel=1e-4)


def test_one_earlier_task_a_step_stands_for_all_in_turn():
    steps, began = steps_of(0, 1, 2, 3, distillation=5.0, batch_size=32)
    drawn = []
    for step in steps[1:7]:
        distances = [apart(step[3], by_hand(step, began, 3, [task], 5.0)[0]) for task in range(3)]
        drawn.append(min(range(3), key=lambda task: distances[task]))
        assert sorted(distances)[0] < 1e-3 < sorted(distances)[1]
    assert len(set(drawn)) > 1


@pytest.mark.parametrize("generator", ["additive", "factored"])
def test_what_earlier_tasks_have_of_their_own_stays_bit_for_bit(generator):
    options = {"generator": generator, "norm": "batch", "distillation": 5.0, **SMALL.get(generator, {})}
    strategy = learn(make("partial hypernetwork", **options), 0, 1)
    model = strategy.model
    own = [[p.detach().clone() for p in model.hypernetwork.own(task)] for task in range(2)]
    statistics = [tensors(model.statistics[task]) for task in range(2)]
    learn(strategy, 2)
    for task in range(2):
        assert same(tensors(model.statistics[task]), statistics[task])
        assert all(torch.equal(a, b) for a, b in zip(own[task], model.hypernetwork.own(task), strict=True))


def test_what_the_drift_draws_does_not_depend_on_the_distillation():
    drawn = []
    for weight in (0.0, 1.0):
        strategy = learn(make("partial hypernetwork", drift_tasks=1, distillation=weight), 0, 1, 2)
        strategy.finish_experience = lambda strategy=strategy: drawn.append(strategy.draw(60))
        learn(strategy, 3)
    assert torch.equal(drawn[0]["drift"], drawn[1]["drift"])
    assert drawn[0].keys() == {"drift"}
    assert drawn[1]["distillation"].shape == (60, 1)
    assert not torch.equal(drawn[1]["drift"], drawn[1]["distillation"])


def test_without_earlier_tasks_there_is_nothing_to_distil_and_with_no_weight_nothing_changes():
    assert same(*(tensors(learn(make("partial hypernetwork", distillation=w), 0).model) for w in (0.0, 9.0)))
    strategy = make("partial hypernetwork")
    seen = []
    strategy.finish_experience = lambda: seen.append(strategy.earlier_networks)
    learn(strategy, 0, 1)
    assert seen == [None, None]


def test_distillation_alone_keeps_what_earlier_tasks_answer():
    moved = []
    for weight in (0.0, 20.0):
        strategy = learn(make("partial hypernetwork", beta=0.0, distillation=weight, epochs=2), 0)
        before = copy.deepcopy(strategy.model)
        learn(strategy, 1)
        x, _, _ = images(1, count=64)
        with torch.no_grad():
            moved.append(float(distance(strategy.model.eval(), before, strategy.model.features(x), 0)))
    assert moved[1] < 0.2 * moved[0]


def test_where_only_the_classifier_is_generated_its_answers_are_distilled_too():
    depth = digits().backbone().depth
    steps, began = steps_of(0, 1, freeze_depth=depth, distillation=3.0)
    right, _ = by_hand(steps[-1], began, 1, [0], 3.0)
    assert apart(steps[-1][3], right) < 1e-3


def test_nothing_is_kept_for_it_between_experiences():
    strategy = learn(make("distilled hypernetwork"), 0, 1)
    assert strategy.earlier_networks is None
    plain = learn(make("factored hypernetwork"), 0, 1)
    assert sum(t.numel() for t in strategy.kept_tensors()) == sum(t.numel() for t in plain.kept_tensors())


BATCH = 64
# The multilayer perceptron at depth 1 with the additive generator, as in tests/evaluation/test_cost_meter.py.
SECOND, HEAD = 256 * 256, 256 * 2
MLP_IN, MLP_OUT = 32 * 50, 50 * 32
GENERATION = MLP_IN + MLP_OUT + 32 * 256 + 256 * (32 + 1) * 256 + 32 * HEAD


@pytest.mark.parametrize("drawn", [1, 2])
def test_its_cost_is_generating_and_applying_two_networks_an_earlier_task_and_learning_through_one(drawn):
    stream = SplitDigits(backbone="mlp")
    macs = []
    for options in ({}, {"distillation": 1.0, "distillation_tasks": drawn}):
        meter = CostMeter()
        torch.manual_seed(0)
        strategy = PartialHypernetwork(
            stream.backbone(), plugins=[meter], epochs=1, freeze_depth=1, generator="additive", **options
        )
        for experience in stream.train_stream[:3]:
            strategy.train(experience)
        macs.append([record["train_macs"] for record in meter.records])
    steps = len(stream.train_stream[2].images) // BATCH
    before = GENERATION + BATCH * (SECOND + HEAD)
    now = 3 * GENERATION - MLP_IN + BATCH * (2 * SECOND + 3 * HEAD)  # embeddings and features are fixed
    assert macs[0][0] == macs[1][0]
    assert macs[1][2] - macs[0][2] == steps * drawn * (before + now)
