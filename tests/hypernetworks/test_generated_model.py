import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from clhyper.backbones import SmallConvNet, set_norm, split
from clhyper.errors import UserError
from clhyper.hypernetworks import AdditiveHypernetwork
from clhyper.hypernetworks.model import GeneratedModel


class Experience:
    def __init__(self, task, classes):
        self.classes_by_task = {task: list(range(classes))}


def a_model(tasks=3, norm="instance", classes=(4, 3, 4), depth=1, copy_embedding=False):
    """A model of some tasks in double precision, and an ordinary copy of its back."""
    torch.manual_seed(0)
    front, back = split(SmallConvNet(classes=4), depth)
    set_norm(back, norm)
    ordinary = copy.deepcopy(back).double()
    model = GeneratedModel(front, back, AdditiveHypernetwork(back), copy_embedding)
    for task in range(tasks):
        model.adaptation(Experience(task, classes[task % len(classes)]))
    return model.double(), ordinary


def some_images(count):
    return torch.randn(count, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def count_generations(model):
    """The hypernetwork's numbers of the tasks whose weights are generated from now on."""
    made, generate = [], model.hypernetwork.generate
    model.hypernetwork.generate = lambda task: made.append(task) or generate(task)
    return made


# Once a batch, not once a sample


def generated_per_sample(model, ordinary, features, tasks):
    """Logits as the published code computes them: a set of weights for every row."""
    generated = model.hypernetwork(tasks)
    return vmap(lambda weights, row: functional_call(ordinary, weights, (row[None],))[0])(generated, features)


def test_one_generation_a_batch_gives_the_logits_and_gradients_of_one_generation_a_sample():
    model, ordinary = a_model(classes=(4,))
    features = model.features(some_images(7)).detach()
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    parameters = list(model.hypernetwork.parameters())
    made = count_generations(model)
    once = model.back(features, torch.full((7,), 1))
    assert made == [1]
    each = generated_per_sample(model, ordinary, features, torch.full((7,), 1))
    torch.testing.assert_close(once, each, rtol=1e-10, atol=1e-12)
    gradients = [
        torch.autograd.grad(F.cross_entropy(logits, labels), parameters, allow_unused=True) for logits in (once, each)
    ]
    touched = 0
    for one, other in zip(*gradients, strict=True):
        assert (one is None or not one.any()) == (other is None or not other.any())
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
            touched += bool(one.any())
    assert touched == len(parameters) - 4  # all but the embeddings and table rows of the two other tasks


def test_a_batch_of_mixed_tasks_gives_each_row_what_generation_a_sample_gives_it():
    model, ordinary = a_model(classes=(4,))
    features = model.features(some_images(9)).detach()
    tasks = torch.tensor([2, 0, 1, 1, 0, 2, 2, 0, 1])
    made = count_generations(model)
    grouped = model.back(features, tasks)
    assert sorted(made) == [0, 1, 2]
    each = generated_per_sample(model, ordinary, features, tasks)
    torch.testing.assert_close(grouped, each, rtol=1e-10, atol=1e-12)
    parameters = list(model.hypernetwork.parameters())
    labels = torch.arange(9) % 4
    for one, other in zip(
        *(torch.autograd.grad(F.cross_entropy(logits, labels), parameters) for logits in (grouped, each)), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
def test_a_mixed_batch_equals_each_task_run_alone_in_the_batchs_order(norm):
    model, _ = a_model(norm=norm)
    model.eval()
    x = some_images(9)
    tasks = torch.tensor([2, 0, 1, 1, 0, 2, 2, 0, 1])
    with torch.no_grad():
        mixed = model(x, tasks)
        for task in range(3):
            alone = model(x[tasks == task], task)
            torch.testing.assert_close(mixed[tasks == task], alone, rtol=1e-9, atol=1e-12)


# Outputs that a narrow task doesn't use


def test_outputs_that_a_task_does_not_use_are_minus_infinity_and_never_predicted():
    model, _ = a_model(classes=(4, 2))
    logits = model.eval()(some_images(50), torch.tensor([0, 1] * 25))
    assert logits[0::2].isfinite().all()
    assert (logits[1::2, 2:] == -torch.inf).all()
    assert logits[1::2, :2].isfinite().all()
    assert logits[1::2].argmax(dim=1).max() <= 1
    loss = F.cross_entropy(logits, torch.tensor([3, 1] * 25))
    assert all(g.isfinite().all() for g in torch.autograd.grad(loss, [model.front[0][0].weight]))


def test_more_classes_than_the_generated_classifier_has_outputs_are_refused():
    model, _ = a_model(tasks=1)
    with pytest.raises(UserError, match="task 5 has 6 classes, but the generated classifier has 4 outputs"):
        model.adaptation(Experience(5, 6))


# Batch norm behind a hypernetwork


def test_a_generated_back_with_batch_norm_keeps_running_statistics_of_each_task():
    model, _ = a_model(norm="batch")
    model.train()
    fresh = [{name: b.clone() for name, b in statistics.named_buffers()} for statistics in model.statistics]
    assert len(fresh) == 3
    assert len(fresh[0]) == 6
    for _ in range(2):
        model(some_images(6), 1)
    model(some_images(6), torch.tensor([2, 2, 2, 1, 1, 1]))
    for task, steps in enumerate([0, 3, 1]):
        now = dict(model.statistics[task].named_buffers())
        for name, before in fresh[task].items():
            if name.endswith("num_batches_tracked"):
                assert now[name] == steps
            else:
                assert torch.equal(now[name], before) == (steps == 0), (task, name)
    before_last = {name: b.clone() for name, b in model.statistics[1].named_buffers()}
    model(some_images(6), 2)
    assert all(torch.equal(before_last[name], b) for name, b in model.statistics[1].named_buffers())


def test_statistics_of_the_generated_back_are_those_an_ordinary_back_would_keep():
    model, ordinary = a_model(norm="batch")
    model.train()
    weights = {name: tensor[0] for name, tensor in model.hypernetwork(torch.tensor([1])).items()}
    ordinary.load_state_dict(weights, strict=False)
    features = model.features(some_images(20)).detach()
    for rows in features.split(5):
        ordinary.train()(rows)
        model.back(rows, 1)
    kept = dict(model.statistics[1].named_buffers())
    for name, buffer in ordinary.named_buffers():
        torch.testing.assert_close(kept[name.replace(".", "_")], buffer)
    torch.testing.assert_close(model.eval().back(features, 1)[:, :3], ordinary.eval()(features)[:, :3])


# The cache of evaluation


def test_in_evaluation_weights_are_generated_once_a_task():
    model, _ = a_model()
    made = count_generations(model)
    model.eval()
    for _ in range(3):
        model(some_images(4), 0)
        model(some_images(4), torch.tensor([0, 1, 0, 2]))
    assert sorted(made) == [0, 1, 2]


def test_in_training_weights_are_generated_each_time_and_carry_gradients():
    model, _ = a_model()
    model.eval()(some_images(2), 0)
    model.train()
    made = count_generations(model)
    for _ in range(3):
        logits = model(some_images(2), 0)
    assert made == [0, 0, 0]
    logits.sum().backward()
    assert model.hypernetwork.embeddings[0].grad is not None


def an_optimizer_step(model, fused=False):
    optimizer = torch.optim.SGD(model.hypernetwork.parameters(), lr=1.0, fused=fused)
    model.train()(some_images(4), 0)[:, :3].square().sum().backward()
    optimizer.step()


def a_fused_optimizer_step(model):  # which leaves the parameters' versions as they were
    an_optimizer_step(model, fused=True)


def loading(model):
    model.load_state_dict({name: value + 0.1 for name, value in model.state_dict().items()})


def a_change_in_place(model):
    with torch.no_grad():
        model.hypernetwork.embeddings[0].add_(0.1)


def a_new_parameter(model):
    model.hypernetwork.embeddings[0] = nn.Parameter(model.hypernetwork.embeddings[0].detach() + 0.1)


@pytest.mark.parametrize(
    "change", [an_optimizer_step, a_fused_optimizer_step, loading, a_change_in_place, a_new_parameter]
)
def test_weights_are_generated_anew_once_the_hypernetwork_changed(change):
    model, _ = a_model()
    before = model.eval()(some_images(4), 0)
    change(model)
    fresh = model.hypernetwork.generate(0)
    made = count_generations(model)
    after = model.eval()(some_images(4), 0)
    model(some_images(4), 0)
    assert made == [0]
    assert not torch.equal(before, after)
    assert all(torch.equal(value, fresh[name]) for name, value in model.weights(0).items())


# New tasks


@pytest.mark.parametrize("copied", [True, False])
def test_a_new_tasks_embedding_is_a_copy_of_the_one_before_or_a_new_one(copied):
    model, _ = a_model(tasks=2, copy_embedding=copied)
    with torch.no_grad():
        model.hypernetwork.embeddings[1].mul_(2)
    model.adaptation(Experience(7, 4))
    new, last = model.hypernetwork.embeddings[2], model.hypernetwork.embeddings[1]
    assert torch.equal(new, last) == copied
    assert new is not last
    assert model.number_of(7) == 2


def test_the_backs_own_tensors_are_not_kept():
    model, ordinary = a_model(tasks=1)
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"front", "hypernetwork"}
    assert model.generated_parameters == sum(p.numel() for p in ordinary.parameters())
