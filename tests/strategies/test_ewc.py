"""EWC: what it keeps, and its penalty beside the equation and Avalanche's plugin."""

import copy
from types import SimpleNamespace

import pytest
import torch
from avalanche.training.plugins import EWCPlugin
from avalanche.training.utils import ParamData
from small_runs import Steps, digits, images, learn, make, recorded, same, tensors, uneven
from torch.nn import functional as F

from clhyper.evaluation.use import tensor_bytes


def importances_by_hand(model, number, stream):
    """Mean over batches of the squared gradient of the mean loss, by parameter."""
    model = copy.deepcopy(model).eval()
    x, y, tasks = images(number, stream)
    batches = list(zip(x.split(64), y.split(64), tasks.split(64), strict=True))
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if p.requires_grad), strict=True)
    total = [torch.zeros_like(p) for p in parameters]
    for rows, labels, of in batches:
        gradients = torch.autograd.grad(F.cross_entropy(model(rows, of), labels), parameters)
        for sum_of_squares, gradient in zip(total, gradients, strict=True):
            sum_of_squares += gradient.square() / len(batches)
    return dict(zip(names, total, strict=True))


def test_the_importances_are_squared_gradients_of_images_that_are_not_augmented():
    stream = digits(augmentation="crop-flip")
    strategy = learn(make("ewc", stream), 0, stream=stream)
    by_hand = importances_by_hand(strategy.model, 0, stream)
    assert strategy.importances.keys() == by_hand.keys()
    for name, value in by_hand.items():
        torch.testing.assert_close(strategy.importances[name], value, rtol=1e-3, atol=1e-9)
    assert strategy.model.training


@pytest.mark.parametrize("mode", ["separate", "online"])
def test_the_loss_of_ewc_is_that_of_its_equation(mode):
    stream = uneven()
    strategy = make("ewc", stream, mode=mode, strength=300.0, **({"decay": 0.5} if mode == "online" else {}))
    kept = []
    for number in (0, 1):
        learn(strategy, number, stream=stream)
        kept.append((importances_by_hand(strategy.model, number, stream), tensors(strategy.model)))
    if mode == "online":
        (first, _), (second, weights) = kept
        shared = {n: 0.5 * first.get(n, 0) + second.get(n, 0) for n in {**first, **second}}
        kept = [(shared, weights)]
    plugin, theirs = Steps(), as_avalanche_keeps(kept, mode)
    strategy.plugins.insert(0, plugin)
    learn(strategy, 2, stream=stream)
    for model, (x, y, tasks), loss, gradients, _ in plugin.steps:
        penalty = penalty_by_hand(model, kept)
        entropy = float(F.cross_entropy(model(x, tasks), y).detach())
        assert loss == pytest.approx(entropy + 300 * penalty, rel=1e-3)
        avalanche = SimpleNamespace(clock=SimpleNamespace(train_exp_counter=2), model=model, device="cpu")
        avalanche.loss = F.cross_entropy(model(x, tasks), y)
        theirs.before_backward(avalanche)
        assert loss == pytest.approx(float(avalanche.loss.detach()), rel=1e-3)
        expected = torch.autograd.grad(avalanche.loss, [dict(model.named_parameters())[name] for name in gradients])
        for name, gradient in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-5)
    assert penalty > 0


def penalty_by_hand(model, kept):
    """Sum over importances and weights of experiences, as in the equation."""
    weights = dict(model.named_parameters())
    return sum(
        float((importance * (weights[name] - then[name]).square()).sum().detach())
        for importances, then in kept
        for name, importance in importances.items()
    )


def as_avalanche_keeps(kept, mode):
    """Avalanche's plugin as two experiences leave it, given the importances and weights of each that is kept."""
    plugin = EWCPlugin(300.0, mode, 0.5 if mode == "online" else None)
    for number, (importances, weights) in zip((0, 1) if mode == "separate" else (1,), kept, strict=True):
        for into, values in ((plugin.importances, importances), (plugin.saved_params, weights)):
            into[number] = {name: ParamData(name, init_tensor=values[name]) for name in importances}
    return plugin


def test_ewc_of_strength_0_is_naive_bit_for_bit():
    assert same(tensors(learn(make("ewc", strength=0.0), 0, 1).model), tensors(learn(make("naive"), 0, 1).model))


@pytest.mark.parametrize("learner", ["ewc", "online ewc at depth 1"])
def test_ewc_keeps_weights_and_importances_of_what_can_move_alone(learner):
    strategy = learn(make(learner), 0, 1, 2)
    model = tensor_bytes(strategy.model.state_dict().values())
    body, head = (
        sum(4 * p.numel() for p in part.parameters()) for part in (strategy.model.body, strategy.model.heads["0"])
    )
    constant = 4
    assert tensor_bytes(strategy.kept_tensors()) == model + 2 * (body + 3 * head) + constant


def test_outputs_that_a_head_gets_later_are_free():
    stream = digits(task_labels=False)
    strategy, _ = recorded("ewc", 0, 1, stream=stream)
    importance = strategy.flat_importances.split([p.numel() for p in strategy.held])[-2].view(4, 64)
    assert importance[:2].any()
    assert not importance[2:].any()


def test_the_loss_counts_a_task_that_came_twice_twice_though_its_head_is_idle():
    stream = uneven()
    strategy, kept = make("ewc", stream, strength=300.0), []
    for number in (0, 1, 0):
        learn(strategy, number, stream=stream)
        kept.append((importances_by_hand(strategy.model, number, stream), tensors(strategy.model)))
    plugin = Steps()
    strategy.plugins.insert(0, plugin)
    learn(strategy, 2, stream=stream)
    of_head = penalty_by_hand(strategy.model, [({"heads.0.weight": f["heads.0.weight"]}, w) for f, w in kept[::2]])
    assert of_head > 0
    for model, (x, y, tasks), loss, _, _ in plugin.steps:
        entropy = float(F.cross_entropy(model(x, tasks), y).detach())
        assert loss == pytest.approx(entropy + 300 * penalty_by_hand(model, kept), rel=1e-3)
