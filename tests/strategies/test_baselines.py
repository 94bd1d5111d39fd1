"""EWC, LwF, A-GEM and DER: Avalanche's methods, on our models, data and costs."""

import copy
import functools
from types import SimpleNamespace

import pytest
import torch
from avalanche.training.plugins import AGEMPlugin
from avalanche.training.regularization import LearningWithoutForgetting
from small_runs import LEARNERS, Steps, digits, images, learn, make, recorded, same, tensors, uneven
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from clhyper.errors import UserError
from clhyper.evaluation import AccuracyMatrix, CostMeter
from clhyper.evaluation.use import tensor_bytes

BASELINES = [name for name, (strategy, _) in LEARNERS.items() if strategy in ("EWC", "LwF", "AGEM", "DER")]


# All of them


@pytest.mark.parametrize(
    "learner", ["lwf", *(pytest.param(one, marks=pytest.mark.slow) for one in ("ewc", "agem", "der"))]
)
def test_each_of_them_forgets_less_than_naive_fine_tuning(learner):
    assert remembered(learner) > remembered("naive") + 0.05


@functools.cache
def remembered(learner):
    """Accuracy on the first two of three experiences."""
    stream = digits(validation=0.2)
    matrix = AccuracyMatrix(stream.eval_stream[:3])
    options = {"epochs": 10, "learning_rate": 1e-2, **BUFFERS.get(learner, {})}
    learn(make(learner, stream, plugins=[matrix], **options), 0, 1, 2, stream=stream)
    assert min(matrix.matrix[i][i] for i in range(3)) > 0.9
    return sum(matrix.matrix[2][:2]) / 2


BUFFERS = {
    "agem": {"patterns_per_experience": 50, "sample_size": 64},
    "der": {"buffer_size": 60, "replay_batch_size": 64},
}


@pytest.mark.parametrize("learner", BASELINES)
def test_nothing_of_the_method_happens_in_evaluation(learner):
    strategy = learn(make(learner), 0, 1)
    before = strategy.state()
    passed = []
    strategy.model.body.register_forward_hook(lambda module, inputs, output: passed.append(len(output)))
    strategy.eval(digits().test_stream[:2])
    assert sum(passed) == sum(len(e.images) for e in digits().test_stream[:2])
    after = strategy.state()
    assert str(before) == str(after)


@pytest.mark.parametrize("learner", BASELINES)
@pytest.mark.parametrize("task_labels", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_heads_of_different_and_growing_widths_never_make_the_loss_infinite(learner, task_labels):
    stream = digits(experiences=4, task_labels=task_labels)
    strategy, steps = recorded(learner, 0, 1, 2, 3, stream=stream)
    assert all(loss < 100 for _, _, loss, _, _ in steps)
    assert all(gradient.isfinite().all() for *_, gradients, _ in steps for gradient in gradients.values())
    assert all(value.isfinite().all() for value in strategy.model.state_dict().values())


@pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)]
)
@pytest.mark.parametrize("learner", LEARNERS)
def test_every_strategy_trains_and_resumes_on_either_device(learner, device):
    matrix, cost = AccuracyMatrix(digits().test_stream[:3]), CostMeter()
    strategy = learn(make(learner, device=device, plugins=[matrix, cost]), 0)
    resumed = make(learner, device=device, plugins=[matrix, cost])
    resumed.restore(strategy.state())
    learn(resumed, 1)
    assert {parameter.device.type for parameter in resumed.model.parameters()} == {device}
    assert {tensor.device.type for tensor in resumed.kept_tensors() if tensor.numel()} == {device}
    assert None not in matrix.matrix[1][:2]
    assert matrix.matrix[1][2] is None
    assert cost.records[1]["bytes_kept"] > cost.records[0]["bytes_kept"] > 0


# LwF


def test_the_loss_of_lwf_is_that_of_its_equation():
    stream = uneven()
    strategy = learn(make("lwf", stream, alpha=0.7, temperature=3.0), 0, 1, stream=stream)
    before = copy.deepcopy(strategy.model).train()
    plugin = Steps()
    strategy.plugins.append(plugin)
    learn(strategy, 2, stream=stream)
    theirs = LearningWithoutForgetting(0.7, 3.0)
    for model, (x, y, tasks), loss, gradients, _ in plugin.steps:
        by_hand = F.cross_entropy(model(x, tasks), y)
        avalanche = by_hand.clone()
        for task, classes in ((0, 3), (1, 3)):
            old = (before(x, task)[:, :classes] / 3).softmax(dim=1)
            new = (model(x, task)[:, :classes] / 3).log_softmax(dim=1)
            by_hand = by_hand + 0.7 * (old * (old.log() - new)).sum(dim=1).mean()
            avalanche = avalanche + 0.7 * theirs._distillation_loss(model(x, task), before(x, task), range(classes))
        assert loss == pytest.approx(float(by_hand.detach()), rel=1e-4)
        assert loss == pytest.approx(float(avalanche.detach()), rel=1e-4)
        assert set(gradients) == {name for name, _ in model.named_parameters()}
        expected = torch.autograd.grad(avalanche, [p for _, p in model.named_parameters()])
        for (name, _), gradient in zip(model.named_parameters(), expected, strict=True):
            torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-5)


def test_without_task_labels_the_outputs_that_the_head_had_are_distilled():
    stream = digits(task_labels=False)
    strategy = learn(make("lwf", stream), 0, stream=stream)
    before = copy.deepcopy(strategy.model).train()
    plugin = Steps()
    strategy.plugins.append(plugin)
    learn(strategy, 1, stream=stream)
    for model, (x, y, tasks), loss, _, _ in plugin.steps:
        logits = model(x, tasks)
        old, new = (before(x, tasks)[:, :2] / 2).softmax(dim=1), (logits[:, :2] / 2).log_softmax(dim=1)
        by_hand = F.cross_entropy(logits, y) + (old * (old.log() - new)).sum(dim=1).mean()
        assert loss == pytest.approx(float(by_hand.detach()), rel=1e-4)


def test_old_heads_are_distilled_and_the_body_sees_each_batch_once():
    strategy = learn(make("lwf"), 0)
    steps = len(digits().train_stream[0].images) // 64
    head, norm = tensors(strategy.model.heads["0"]), strategy.model.body[0][1]
    assert norm.num_batches_tracked == steps
    learn(strategy, 1)
    assert norm.num_batches_tracked == steps + len(digits().train_stream[1].images) // 64
    assert not same(tensors(strategy.model.heads["0"]), head)


def test_lwf_keeps_the_network_alone_which_is_what_it_distils():
    strategy = learn(make("lwf"), 0, 1)
    assert tensor_bytes(strategy.kept_tensors()) == tensor_bytes(strategy.model.state_dict().values())
    body = {name: p.detach().clone() for name, p in strategy.model.body.named_parameters()}
    head = strategy.model.heads["1"].weight.detach().clone()
    learn(strategy, 2)
    assert all(torch.equal(p, body[name]) for name, p in strategy.previous_body.named_parameters())
    assert any(torch.equal(rows, head) for rows in strategy.previous_heads[0].split(2))


# A-GEM


def test_a_step_of_agem_never_goes_against_the_memory_and_else_is_the_plain_one():
    stream = uneven()
    strategy = learn(make("agem", stream, epochs=2), 0, 1, stream=stream)
    plugin, drawn = Steps(), []
    plugin.before_backward = lambda strategy, **kwargs: drawn.append(strategy.drawn["replay"])
    strategy.plugins.append(plugin)
    stored = [part.clone() for part in (strategy.buffer.x, strategy.buffer.y, strategy.buffer.tasks)]
    learn(strategy, 2, stream=stream)
    samples = [tuple(part[rows] for part in stored) for rows in drawn]
    prepare = stream.train_stream[2].images.preparation
    projected = 0
    for (model, (x, y, tasks), _, gradients, _), (old_x, old_y, old_tasks) in zip(plugin.steps, samples, strict=True):
        assert sorted(set(old_tasks.tolist())) == [0, 1]
        names = list(gradients)
        parameters = [dict(model.named_parameters())[name] for name in names]
        losses = (F.cross_entropy(model(x, tasks), y), F.cross_entropy(model(prepare(old_x), old_tasks), old_y))
        plain, reference = (
            torch.cat(
                [torch.zeros(p.numel()) if g is None else g.flatten() for g, p in zip(found, parameters, strict=True)]
            )
            for found in (torch.autograd.grad(loss, parameters, allow_unused=True) for loss in losses)
        )
        used = torch.cat([gradients[name].flatten() for name in names])
        torch.testing.assert_close(used, as_avalanche_projects(parameters, plain, reference), rtol=1e-3, atol=1e-5)
        product = plain @ reference
        if product < 0:
            projected += 1
            plain = plain - product / reference.square().sum() * reference
            assert abs(float(used @ reference)) < 1e-3 * float(used.norm() * reference.norm())
        torch.testing.assert_close(used, plain, rtol=1e-3, atol=1e-5)
    assert 0 < projected < len(samples)


def as_avalanche_projects(parameters, gradient, reference):
    """What Avalanche's plugin makes of a gradient, given the memory's: flat, as they are given."""
    plugin = AGEMPlugin(1, 1)
    plugin.buffers, plugin.reference_gradients = [()], reference
    for parameter, part in zip(parameters, gradient.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter).clone()
    named = [(str(number), parameter) for number, parameter in enumerate(parameters)]
    plugin.after_backward(SimpleNamespace(model=SimpleNamespace(named_parameters=lambda: named), device="cpu"))
    return torch.cat([parameter.grad.flatten() for parameter in parameters])


def test_agem_leaves_old_heads_bit_identical():
    strategy = learn(make("agem"), 0)
    head = tensors(strategy.model.heads["0"])
    learn(strategy, 1)
    assert same(tensors(strategy.model.heads["0"]), head)


def test_agem_stores_so_many_uint8_images_an_experience_balanced_over_classes():
    strategy = learn(make("agem", patterns_per_experience=10), 0, 1, 2)
    buffer = strategy.buffer
    assert buffer.x.dtype == torch.uint8
    assert buffer.tasks.bincount().tolist() == [10, 10, 10]
    assert buffer.y.bincount().tolist() == [15, 15]
    model = tensor_bytes(strategy.model.state_dict().values())
    assert tensor_bytes(strategy.kept_tensors()) == model + 30 * (64 + 8 + 8)


# Costs


def macs(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 2


EXTRA = {  # passes of one image: forward and backward of steps, forward and backward, forward alone
    "ewc": lambda steps, images: (images, 0),
    "lwf": lambda steps, images: (0, 64 * steps),
    "agem": lambda steps, images: (10 * steps, 0),
    "der": lambda steps, images: (16 * steps, 10),
}


@pytest.mark.parametrize("learner", EXTRA)
def test_the_meter_counts_the_methods_own_passes(learner):
    records = []
    for name in ("naive", learner):
        cost = CostMeter()
        strategy = learn(make(name, plugins=[cost], epochs=2), 0, 1)
        records.append(cost.records[1])
    x, y, _ = images(1)
    model = copy.deepcopy(strategy.model).train()
    whole = macs(lambda: F.cross_entropy(model(x, 1), y).backward()) / len(x)
    with torch.no_grad():
        forward = macs(lambda: model(x, 1)) / len(x)
    both, one = EXTRA[learner](records[0]["steps"], len(x))
    extra = records[1]["train_macs"] - records[0]["train_macs"]
    assert extra == pytest.approx(both * whole + one * forward, rel=0.02)


@pytest.mark.parametrize(
    ("learner", "option", "sentence"),
    [
        ("ewc", {"strength": -1.0}, "strength -1.0: at least 0"),
        ("ewc", {"decay": 1.5}, "decay 1.5: from 0 to 1"),
        ("ewc", {"mode": "on-line"}, "unknown mode 'on-line': did you mean 'online'"),
        ("lwf", {"alpha": -1.0}, "alpha -1.0: at least 0"),
        ("lwf", {"temperature": 0.0}, "temperature 0.0: more than 0"),
        ("agem", {"patterns_per_experience": 0}, "patterns_per_experience 0: at least 1"),
        ("agem", {"sample_size": 0}, "sample_size 0: at least 1"),
        ("der", {"buffer_size": 0}, "buffer_size 0: at least 1"),
        ("der", {"alpha": -0.1}, "alpha -0.1: at least 0"),
    ],
)
def test_options_out_of_range_are_refused_by_name(learner, option, sentence):
    with pytest.raises(UserError, match=sentence):
        make(learner, **option)
