import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from clhyper.backbones import SlimResNet18, SmallConvNet, set_norm, split
from clhyper.hypernetworks import ChunkedHypernetwork, Hypernetwork


def a_hypernetwork(tasks=6, depth=1, seed=0, **options):
    torch.manual_seed(seed)
    _, back = split(SmallConvNet(classes=4), depth)
    set_norm(back, "instance")
    hypernetwork = ChunkedHypernetwork(back, **{"chunk_size": 500, "chunk_hidden": (20, 30), **options})
    for _ in range(tasks):
        hypernetwork.add_task()
    return hypernetwork


def numbers_in(module):
    return sum(parameter.numel() for parameter in module.parameters())


# How large it is


def counted(numbers, tasks, embedding, chunk_size, chunk_embedding, hidden):
    """The formula of the docstring."""
    widths = [embedding + chunk_embedding, *hidden, chunk_size]
    mlp = sum(before * after + after for before, after in pairwise(widths))
    return mlp + -(-numbers // chunk_size) * chunk_embedding + tasks * embedding


@pytest.mark.parametrize(
    "options",
    [
        {"embedding": 8, "chunk_size": 500, "chunk_embedding": 5, "chunk_hidden": (20, 30)},
        {"embedding": 3, "chunk_size": 7, "chunk_embedding": 2, "chunk_hidden": ()},
        {"embedding": 4, "chunk_size": 100_000, "chunk_embedding": 6, "chunk_hidden": (9,)},
    ],
)
def test_its_parameters_are_those_of_the_formula(options):
    hypernetwork = a_hypernetwork(tasks=3, **options)
    assert hypernetwork.numbers == 32 * 16 * 9 + 64 * 32 * 9 + 2 * (32 + 64) + 64 * 4 + 4
    hidden = options.pop("chunk_hidden")
    assert numbers_in(hypernetwork) == counted(hypernetwork.numbers, 3, hidden=hidden, **options)


def test_by_default_it_is_smaller_than_the_back_of_slim_resnet18_at_depth_2():
    _, back = split(SlimResNet18(classes=10), 2)
    set_norm(back, "instance")
    hypernetwork = ChunkedHypernetwork(back)
    for _ in range(20):
        hypernetwork.add_task()
    assert numbers_in(back) == 1_028_010
    assert len(hypernetwork.chunks) == 2057
    assert numbers_in(hypernetwork) == 6_500 + 10_100 + 50_500 + 2057 * 32 + 20 * 32 == 133_564


# What it generates


def test_the_chunks_follow_one_another_through_all_tensors_and_the_last_one_is_cropped():
    hypernetwork = a_hypernetwork(tasks=2, chunk_size=700)
    assert hypernetwork.numbers % 700
    with torch.no_grad():
        pairs = [torch.cat([hypernetwork.embeddings[1], chunk]) for chunk in hypernetwork.chunks]
        flat = torch.cat([hypernetwork.mlp(pair) for pair in pairs])[: hypernetwork.numbers]
        weights = hypernetwork(torch.tensor([1]))
    place = 0
    for (name, shape), start, scale in zip(
        hypernetwork.shapes.items(), hypernetwork.starts, hypernetwork.scales, strict=True
    ):
        part = flat[place : place + shape.numel()].view(shape)
        torch.testing.assert_close(weights[name][0], start + scale * part, rtol=1e-4, atol=1e-6)
        place += shape.numel()
    assert place == hypernetwork.numbers


def test_a_task_is_generated_the_same_alone_and_among_others():
    hypernetwork = a_hypernetwork(tasks=5).double()
    together = hypernetwork(torch.tensor([4, 0, 2]))
    for position, task in enumerate([4, 0, 2]):
        alone = hypernetwork(torch.tensor([task]))
        for name, tensor in together.items():
            torch.testing.assert_close(tensor[position], alone[name][0])


# How it starts


@pytest.mark.parametrize(("backbone", "chunk_size"), [(SlimResNet18, 500), (SmallConvNet, 333), (SmallConvNet, 50_000)])
def test_every_generated_tensor_starts_at_the_scale_of_an_ordinary_one_wherever_the_cuts_are(backbone, chunk_size):
    torch.manual_seed(0)
    _, back = split(backbone(classes=10), 1)
    set_norm(back, "instance")
    hypernetwork = ChunkedHypernetwork(back, chunk_size=chunk_size)
    tasks = torch.tensor([hypernetwork.add_task() for _ in range(9)])
    with torch.no_grad():
        generated = hypernetwork(tasks)
    for name, ordinary in back.named_parameters():
        values = generated[name].flatten(1)
        if ordinary.ndim > 1:
            assert 0.7 < float(values.std(dim=1).median() / ordinary.std()) < 1.4, name
        else:
            start = float(name.endswith("weight"))
            assert float((values - start).abs().max()) < 0.5, name
            assert float((values - start).square().mean().sqrt()) < 0.1, name


@pytest.mark.parametrize("hidden", [(), (1,), (1, 1)])
def test_generated_weights_start_finite_however_small_the_hypernetwork(hidden):
    for seed in range(8):
        hypernetwork = a_hypernetwork(1, 3, seed, embedding=1, chunk_embedding=1, chunk_size=3, chunk_hidden=hidden)
        assert all(tensor.isfinite().all() for tensor in hypernetwork(torch.tensor([0])).values())


def test_a_hypernetwork_restored_on_another_back_generates_what_the_saved_one_did():
    saved, other = a_hypernetwork(tasks=2), a_hypernetwork(tasks=2, seed=7)
    other.load_state_dict(saved.state_dict())
    tasks = torch.tensor([0, 1])
    assert all(torch.equal(value, other(tasks)[name]) for name, value in saved(tasks).items())


# Tasks


def test_the_number_of_tasks_is_never_fixed_and_one_more_costs_its_embedding():
    hypernetwork = a_hypernetwork(tasks=3, embedding=8)
    before, size = hypernetwork(torch.tensor([0, 1, 2])), numbers_in(hypernetwork)
    for number in range(3, 103):
        assert hypernetwork.add_task(copy_of=number - 1 if number % 2 else None) == number
    assert hypernetwork.tasks == 103
    assert numbers_in(hypernetwork) == size + 100 * 8
    assert torch.equal(hypernetwork.embeddings[51], hypernetwork.embeddings[50])
    assert not torch.equal(hypernetwork.embeddings[52], hypernetwork.embeddings[51])
    assert hypernetwork.task_parameters(52) == [hypernetwork.embeddings[52]]
    after = hypernetwork(torch.tensor([0, 1, 2]))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert hypernetwork(torch.tensor([102]))["classifier.weight"].shape == (1, 4, 64)


# Its drift


@pytest.mark.parametrize("chosen", [None, [2], [0, 3]])
def test_its_drift_is_by_definition_the_squared_distance_of_what_it_generates(chosen):
    before = a_hypernetwork().double()
    after = copy.deepcopy(before)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in after.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=random, dtype=torch.double))
    tasks = torch.tensor([4, 1, 0, 2])
    drift = after.drift(before.snapshot(tasks), None if chosen is None else torch.tensor(chosen))
    by_hand = torch.zeros((), dtype=torch.double)
    for position in chosen or range(4):
        task = tasks[position : position + 1]
        old, new = before(task), after(task)
        by_hand = by_hand + sum((new[name] - old[name].detach()).square().sum() for name in old)
    assert by_hand > 1e-3
    torch.testing.assert_close(drift, by_hand)
    gradients = [torch.autograd.grad(value, list(after.parameters()), allow_unused=True) for value in (drift, by_hand)]
    touched = 0
    for one, other in zip(*gradients, strict=True):
        if other is None:
            assert one is None or not one.any()
            continue
        torch.testing.assert_close(one, other)
        touched += bool(one.any())
    embeddings = 4 if chosen is None else len(chosen)
    assert touched == 6 + 1 + embeddings  # three linear layers, the chunks, and the embeddings of those tasks alone


def test_later_training_does_not_change_a_snapshot():
    hypernetwork = a_hypernetwork()
    tasks = torch.arange(4)
    snapshot, before = hypernetwork.snapshot(tasks), copy.deepcopy(hypernetwork)
    assert float(hypernetwork.drift(snapshot).detach()) == 0
    with torch.no_grad():
        hypernetwork.mlp[-1].bias.add_(0.1)
    moved = sum(float(scale) ** 2 * size * 0.01 for scale, size in zip(before.scales, before.sizes, strict=True))
    assert float(hypernetwork.drift(snapshot).detach()) == pytest.approx(4 * moved, rel=1e-3)


def test_every_kind_of_layer_gets_gradient():
    hypernetwork = a_hypernetwork(tasks=1)
    loss = sum(tensor.square().sum() for tensor in hypernetwork(torch.tensor([0])).values())
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in hypernetwork.parameters())


def test_a_back_of_linear_layers_is_generated_too():
    torch.manual_seed(0)
    back = nn.Sequential()
    back.add_module("hidden", nn.Linear(7, 5))
    back.add_module("classifier", nn.Linear(5, 3))
    hypernetwork = ChunkedHypernetwork(back, chunk_size=10)
    hypernetwork.add_task()
    weights = hypernetwork(torch.tensor([0]))
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        "hidden.weight": (1, 5, 7),
        "hidden.bias": (1, 5),
        "classifier.weight": (1, 3, 5),
        "classifier.bias": (1, 3),
    }


def test_the_drift_of_any_number_of_tasks_is_its_definition_though_they_are_padded():
    before = a_hypernetwork(tasks=13).double()
    after = copy.deepcopy(before)
    with torch.no_grad():
        after.chunks.add_(0.01)
    sizes = []
    for tasks in range(1, 14):
        numbers = torch.arange(tasks)
        snapshot = before.snapshot(numbers)
        sizes.append(len(snapshot.flat))
        by_definition = after.generated_drift(Hypernetwork.snapshot(before, numbers))
        torch.testing.assert_close(after.drift(snapshot), by_definition)
    assert sizes == [1, 2, 3, 4, 6, 6, 8, 8, 12, 12, 12, 12, 16]
