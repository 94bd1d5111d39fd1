import copy
import inspect
from dataclasses import fields
from typing import get_args, get_type_hints

import pytest
import torch
from avalanche.core import SupervisedPlugin
from small_runs import digits, learn, make
from torch.nn import functional as F

from clhyper.errors import UserError
from clhyper.evaluation import AccuracyMatrix
from clhyper.hypernetworks import GENERATORS, ChunkedHypernetwork, Hypernetwork
from clhyper.options import owners_of
from strategies import PartialHypernetwork


class Steps(SupervisedPlugin):
    """Of each training step: the batch, the parameters before and after the backward pass, and their gradients."""

    def __init__(self):
        super().__init__()
        self.steps = []
        self.began_with = None

    def before_training_exp(self, strategy, **kwargs):
        self.began_with = copy.deepcopy(strategy.model.hypernetwork)

    def before_backward(self, strategy, **kwargs):
        self.model = copy.deepcopy(strategy.model)
        self.batch = strategy.mb_x.clone(), strategy.mb_y.clone()

    def before_update(self, strategy, **kwargs):
        parameters = dict(strategy.model.named_parameters())
        self.steps.append(
            {
                "model": self.model,
                "batch": self.batch,
                "after": {name: p.detach().clone() for name, p in parameters.items()},
                "gradients": {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None},
            }
        )


def recorded(experiences, learner="partial hypernetwork", **options):
    plugin = Steps()
    strategy = make(learner, plugins=[plugin], **options)
    learn(strategy, *experiences[:-1])
    plugin.steps.clear()
    learn(strategy, experiences[-1])
    return plugin


def gradient_by_hand(step, began_with, task, earlier, beta, rate, lookahead, relative=False):
    """grad CE at psi, plus beta / n times the gradient of the drift, by its definition, at psi' or at psi."""
    model = copy.deepcopy(step["model"])
    model.train()
    features, labels = step["batch"]
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    loss = F.cross_entropy(model.back(features, task), labels)
    of_loss = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
    if lookahead:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter -= rate * of_loss[name]
    tasks = torch.tensor(earlier)
    drift = model.hypernetwork.generated_drift(Hypernetwork.snapshot(began_with, tasks, relative))
    total = beta / len(earlier) * drift
    of_drift = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    return {
        name: gradient if more is None else gradient + more
        for (name, gradient), more in zip(of_loss.items(), of_drift, strict=True)
    }


def apart(one, other):
    """Relative distance of two dicts of gradients."""
    assert one.keys() == other.keys()
    difference = sum(float((one[name] - other[name]).square().sum()) for name in one)
    return (difference / sum(float(value.square().sum()) for value in other.values())) ** 0.5


@pytest.mark.parametrize("lookahead", [True, False])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_gradient_is_that_of_the_loss_plus_the_drifts_where_the_step_would_lead(lookahead, optimizer):
    rate, beta = 0.02, 0.7
    plugin = recorded((0, 1, 2), lookahead=lookahead, beta=beta, learning_rate=rate, optimizer=optimizer)
    for step in plugin.steps[2:]:
        arguments = (step, plugin.began_with, 2, [0, 1], beta, rate)
        right, wrong = (gradient_by_hand(*arguments, lookahead=choice) for choice in (lookahead, not lookahead))
        assert apart(step["gradients"], right) < 1e-3
        assert apart(step["gradients"], wrong) > 0.005


def test_a_relative_drift_is_divided_by_what_the_weights_were():
    plugin = recorded((0, 1, 2), drift_scale="relative", lookahead=False, beta=5.0, learning_rate=0.02)
    arguments = (plugin.steps[-1], plugin.began_with, 2, [0, 1], 5.0, 0.02, False)
    right, wrong = (gradient_by_hand(*arguments, relative) for relative in (True, False))
    assert apart(plugin.steps[-1]["gradients"], right) < 1e-3
    assert apart(plugin.steps[-1]["gradients"], wrong) > 0.005


def test_looking_ahead_puts_every_parameter_back_bit_for_bit():
    plugin = recorded((0, 1), learning_rate=0.05, epochs=2)
    assert len(plugin.steps) > 4
    for step in plugin.steps:
        before = dict(step["model"].named_parameters())
        assert step["gradients"]
        assert all(torch.equal(before[name], value) for name, value in step["after"].items())


class ADifferentRate(SupervisedPlugin):
    """Sets the optimizer's learning rate, as a schedule does; as a tensor, as an engine may."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def before_training_iteration(self, strategy, **kwargs):
        strategy.optimizer.param_groups[0]["lr"] = self.rate


@pytest.mark.parametrize("rate", [0.05, torch.tensor(0.05)])
def test_looking_ahead_goes_as_far_as_the_optimizers_learning_rate_of_the_moment(rate):
    steps = Steps()
    strategy = make("partial hypernetwork", plugins=[ADifferentRate(rate), steps], beta=0.7, optimizer="sgd")
    learn(strategy, 0, 1)
    step = steps.steps[-1]
    right, wrong = (gradient_by_hand(step, steps.began_with, 1, [0], 0.7, r, True) for r in (0.05, 3e-3))
    assert apart(step["gradients"], right) < 1e-3
    assert apart(step["gradients"], wrong) > 0.005


@pytest.mark.parametrize("options", [{"beta": 0.0}, {}])
def test_without_earlier_tasks_or_weight_the_gradient_is_that_of_the_loss(options):
    experiences = (0, 1) if options else (0,)
    plugin = recorded(experiences, **options)
    step = plugin.steps[-1]
    model = step["model"]
    features, labels = step["batch"]
    x = features if options else model.features(features)
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    loss = F.cross_entropy(model.back(x, experiences[-1]), labels)
    by_hand = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
    assert apart(step["gradients"], by_hand) < 1e-5


def test_a_sample_of_tasks_stands_for_all_of_them_in_turn():
    rate = 0.02
    plugin = recorded((0, 1, 2, 3), drift_tasks=1, lookahead=False, learning_rate=rate, epochs=3)
    drawn = []
    for step in plugin.steps[1:]:
        distances = [
            apart(step["gradients"], gradient_by_hand(step, plugin.began_with, 3, [task], 0.5, rate, False))
            for task in range(3)
        ]
        drawn.append(min(range(3), key=lambda task: distances[task]))
        assert sorted(distances)[0] < 1e-3 < sorted(distances)[1]
    assert set(drawn) == {0, 1, 2}


def test_what_is_drawn_for_each_step_are_as_many_different_earlier_tasks_as_asked_for():
    strategy = learn(make("partial hypernetwork", drift_tasks=2), 0, 1, 2)
    made = []
    strategy.finish_experience = lambda: made.append(strategy.draw(50)["drift"])
    learn(strategy, 3)
    assert made[0].shape == (50, 2)
    assert {tuple(sorted(row)) for row in made[0].tolist()} == {(0, 1), (0, 2), (1, 2)}
    strategy = make("partial hypernetwork", drift_tasks=2)
    strategy.finish_experience = lambda: made.append(strategy.draw(50))
    learn(strategy, 0, 1, 2)
    assert made[1:] == [{}, {}, {}]  # there are no more than two earlier tasks


def test_the_drift_is_taken_from_the_weights_as_the_experience_began():
    strategy = learn(make("partial hypernetwork", beta=0.0, epochs=3), 0, 1)
    free = float(strategy.model.hypernetwork.drift(_snapshot_after_first(epochs=3)).detach())
    held = learn(make("partial hypernetwork", beta=5.0, epochs=3), 0, 1)
    assert float(held.model.hypernetwork.drift(_snapshot_after_first(epochs=3)).detach()) < 0.2 * free


def _snapshot_after_first(**options):
    return learn(make("partial hypernetwork", **options), 0).model.hypernetwork.snapshot(torch.tensor([0]))


@pytest.mark.parametrize("copied", [True, False])
def test_a_new_tasks_embedding_starts_as_a_copy_of_the_one_before_or_anew(copied):
    plugin = recorded((0, 1), copy_embedding=copied)
    first, second = plugin.began_with.embeddings
    assert torch.equal(first, second) == copied


def test_the_full_hypernetwork_is_the_partial_one_at_depth_0():
    full = learn(make("full hypernetwork"), 0, 1).model.state_dict()
    partial = learn(make("partial hypernetwork", freeze_depth=0), 0, 1).model.state_dict()
    assert full.keys() == partial.keys()
    assert all(torch.equal(full[name], partial[name]) for name in full)


@pytest.mark.parametrize("learner", ["partial hypernetwork", "full hypernetwork"])
def test_the_chunked_generator_learns_two_experiences_and_hardly_forgets_the_first(learner):
    matrix = AccuracyMatrix(digits(validation=0.2).eval_stream[:2])
    options = {"generator": "chunked", "epochs": 10, "chunk_size": 300, "chunk_hidden": (60,), "beta": 0.1}
    strategy = make(learner, plugins=[matrix], **options)
    learn(strategy, 0, 1, stream=digits(validation=0.2))
    assert type(strategy.model.hypernetwork) is ChunkedHypernetwork
    assert strategy.model.hypernetwork.chunks.shape[1:] == (32,)
    assert matrix.matrix[0][0] > 0.9
    assert matrix.matrix[1][1] > 0.8
    assert matrix.matrix[1][0] > matrix.matrix[0][0] - 0.1


def test_each_generator_has_its_own_defaults_and_what_is_given_comes_first():
    its = PartialHypernetwork.Options(generator="additive")
    assert (its.beta, its.lookahead, its.copy_embedding, its.embedding_rate) == (0.5, True, True, 1)
    assert PartialHypernetwork.Options().beta == 0.1
    given = PartialHypernetwork.Options(beta=0.0, lookahead=True)
    assert (given.beta, given.lookahead, given.embedding_rate) == (0.0, True, 5.0)


def test_every_generator_has_its_options_and_its_class():
    choices = get_args(get_type_hints(PartialHypernetwork.Options)["generator"])
    assert set(choices) == set(GENERATORS)
    owners = [owners_of(item).get("generator", ()) for item in fields(PartialHypernetwork.Options)]
    assert {owner for its in owners for owner in its} == set(GENERATORS)
    for name, generator in GENERATORS.items():
        options = PartialHypernetwork.Options(generator=name).generator_options()
        parameters = list(inspect.signature(generator).parameters.values())[1:]
        assert options.keys() == {one.name for one in parameters if one.kind is not one.KEYWORD_ONLY}


def test_the_factored_generator_learns_three_experiences_and_the_first_one_stays_as_it_was():
    stream = digits(validation=0.2)
    matrix = AccuracyMatrix(stream.eval_stream[:3])
    strategy = make("factored hypernetwork", plugins=[matrix], epochs=10, embedding_rate=3.0)
    learn(strategy, 0, stream=stream)
    first = strategy.model.generate(0)
    learn(strategy, 1, 2, stream=stream)
    assert all(torch.equal(first[name], weight) for name, weight in strategy.model.generate(0).items())
    assert min(matrix.matrix[i][i] for i in range(3)) > 0.85
    assert matrix.matrix[2][1] > matrix.matrix[1][1] - 0.05


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_reserved_factors_stay_as_they_are_until_a_new_task_starts_with_them(optimizer):
    options = {"epochs": 2, "fresh": 0.25, "reserve": True, "optimizer": optimizer}
    strategy = learn(make("factored hypernetwork", **options), 0)
    hypernetwork = strategy.model.hypernetwork
    for number in (1, 2, 3):
        before = [factor.detach().clone() for factor in (hypernetwork.left, hypernetwork.right)]
        learn(strategy, number)
        idle = hypernetwork.idle().view(-1, 8)
        assert idle.sum(dim=1).unique().tolist() == [8 - 2 * number]
        assert (hypernetwork.embeddings[number].view(-1, 8)[~idle] != 0).all()  # what others use is taken up
        of_layer = (hypernetwork.layers.owner_of_place, hypernetwork.layers.owner_of_row)
        for was, now, owner in zip(before, (hypernetwork.left, hypernetwork.right), of_layer, strict=True):
            unused = (owner @ idle.to(was)).bool()
            assert torch.equal(now[unused], was[unused])
            assert not torch.equal(now[~unused], was[~unused])


def test_a_tasks_own_parameters_can_have_a_learning_rate_of_their_own():
    strategy = learn(make("factored hypernetwork", embedding_rate=4.0), 0, 1)
    shared, own = strategy.optimizer.param_groups
    assert float(own["lr"]) == pytest.approx(4 * float(shared["lr"]))
    assert {id(p) for p in own["params"]} == {id(p) for p in strategy.model.hypernetwork.task_parameters(1)}
    assert not {id(p) for p in own["params"]} & {id(p) for p in shared["params"]}
    assert all(p.requires_grad for group in strategy.optimizer.param_groups for p in group["params"])


def test_weights_are_generated_once_a_training_batch():
    strategy = learn(make("partial hypernetwork", beta=0.0), 0)
    made, generate = [], strategy.model.hypernetwork.generate
    strategy.model.hypernetwork.generate = lambda task: made.append(task) or generate(task)
    learn(strategy, 1)
    assert made == [1] * (len(digits().train_stream[1].images) // 64)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"freeze_depth": 7}, "freeze_depth 7: SmallConvNet has depths 0 to 3"),
        ({"freeze_depth": -1}, "freeze_depth -1: at least 0"),
        ({"beta": -1.0}, "beta -1.0: at least 0"),
        ({"drift_tasks": 0}, "drift_tasks 0: at least 1"),
        ({"drift_scale": "relativ"}, "unknown drift_scale 'relativ': did you mean 'relative'"),
        ({"distillation": -1.0}, "distillation -1.0: at least 0, and finite"),
        ({"distillation": float("inf")}, "distillation inf: at least 0, and finite"),
        ({"distillation_tasks": 0}, "distillation_tasks 0: at least 1"),
        ({"embedding": 0}, "embedding 0: at least 1"),
        ({"hidden": (0, 3)}, r"hidden \(0, 3\): two sizes of at least 1"),
        ({"generator": "chunked", "chunk_size": 0}, "chunk_size 0: at least 1"),
        ({"generator": "chunked", "chunk_hidden": (5, 0)}, r"chunk_hidden \(5, 0\): sizes of at least 1"),
        ({"generator": "chunkd"}, "unknown generator 'chunkd': did you mean 'chunked'"),
        ({"chunk_size": 9}, "chunk_size 9: an option of the chunked generator, and the generator is additive; leave"),
        ({"generator": "chunked", "hidden": (9, 9)}, r"hidden \(9, 9\): an option of the additive generator"),
        ({"rank": 0, "generator": "low-rank"}, "rank 0: at least 1"),
        ({"base_rank": 0, "generator": "factored"}, "base_rank 0: at least 1"),
        ({"fresh": 0.0, "generator": "factored"}, "fresh 0.0: a share of more than 0 and at most 1"),
        (
            {"reserve": True, "copy_embedding": True},
            "reserve with copy_embedding: a copy of the first task's embedding",
        ),
        (
            {"generator": "factored", "embedding": 9},
            "embedding 9: an option of the additive, chunked, static and low-rank",
        ),
        ({"embedding_rate": 0.0}, "embedding_rate 0.0: more than 0, and finite"),
        ({"betta": 1.0}, "unknown option of PartialHypernetwork 'betta': did you mean 'beta'"),
        ({"freeze_depth": 0, "front": "front.pt"}, "front and freeze_depth 0 contradict each other"),
        ({"norm": "bach"}, "unknown norm 'bach': did you mean 'batch'"),
        ({"optimizer": "adagrad"}, "unknown optimizer 'adagrad': did you mean 'adam'"),
    ],
)
def test_an_option_that_is_not_right_is_refused_by_name(options, sentence):
    with pytest.raises(UserError, match=sentence):
        make("partial hypernetwork", **options)
