import pytest
import torch
from small_hypernetworks import a_hypernetwork
from torch import nn
from torch.nn import functional as F

from clhyper.backbones import SlimResNet18, SmallConvNet, set_norm, split
from clhyper.hypernetworks import AdditiveHypernetwork
from clhyper.hypernetworks.additive import CLASSIFIER

# How it starts


def test_generated_kernels_start_at_the_scale_of_ordinary_layers():
    torch.manual_seed(0)
    _, back = split(SlimResNet18(classes=10), 0)
    set_norm(back, "instance")
    ordinary = {name: float(p.std()) for name, p in back.named_parameters() if p.ndim > 1}
    hypernetwork = AdditiveHypernetwork(back)
    tasks = torch.tensor([hypernetwork.add_task() for _ in range(30)])
    generated = hypernetwork(tasks)
    assert len(ordinary) == 21
    for name, scale in ordinary.items():
        stds = generated[name].flatten(1).std(dim=1) / scale
        low, high = (0.5, 2) if name == "classifier.weight" else (0.8, 1.25)
        assert low < stds.median() < high, name


def test_generated_scales_start_at_1_and_shifts_and_biases_at_0():
    hypernetwork = a_hypernetwork(tasks=2)
    weights = hypernetwork(torch.tensor([1]))
    vectors = {name: value for name, value in weights.items() if value.ndim == 2}
    assert len(vectors) == 5
    for name, value in vectors.items():
        assert torch.equal(value, torch.full_like(value, float(name.endswith("weight")))), name


@pytest.mark.parametrize("hidden", [(50, 32), (50, 1), (1, 1)])
@pytest.mark.parametrize("depth", [0, 3])
def test_generated_weights_start_finite_however_small_the_hypernetwork(hidden, depth):
    for seed in range(8):
        torch.manual_seed(seed)
        _, back = split(SmallConvNet(classes=4), depth)
        hypernetwork = AdditiveHypernetwork(back, embedding=2, hidden=hidden, channel_embedding=1)
        hypernetwork.add_task()
        weights = hypernetwork(torch.tensor([0]))
        assert all(tensor.isfinite().all() for tensor in weights.values())


def test_a_copied_embedding_equals_the_other_tasks_and_a_new_one_does_not():
    hypernetwork = a_hypernetwork(tasks=2)
    copied = hypernetwork.add_task(copy_of=1)
    fresh = hypernetwork.add_task()
    assert (copied, fresh) == (2, 3)
    assert torch.equal(hypernetwork.embeddings[2], hypernetwork.embeddings[1])
    assert not torch.equal(hypernetwork.embeddings[3], hypernetwork.embeddings[1])
    with torch.no_grad():
        hypernetwork.embeddings[2].add_(1)
    assert not torch.equal(hypernetwork.embeddings[2], hypernetwork.embeddings[1])


def test_the_number_of_tasks_is_never_fixed():
    hypernetwork = a_hypernetwork(tasks=3)
    shared = sum(p.numel() for p in hypernetwork.parameters()) - 3 * sum(
        p.numel() for p in hypernetwork.task_parameters(0)
    )
    before = {name: tensor.clone() for name, tensor in hypernetwork(torch.tensor([0, 1, 2])).items()}
    for number in range(3, 103):
        assert hypernetwork.add_task(copy_of=number - 1) == number
    assert hypernetwork.tasks == 103
    assert sum(p.numel() for p in hypernetwork.parameters()) == shared + 103 * (32 + 32 + 32 + 64 + 64 + 4)
    after = hypernetwork(torch.tensor([0, 1, 2]))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert hypernetwork(torch.tensor([102]))["classifier.weight"].shape == (1, 4, 64)


def test_a_task_is_generated_the_same_alone_and_among_others():
    hypernetwork = a_hypernetwork(tasks=5).double()
    together = hypernetwork(torch.tensor([4, 0, 2]))
    for position, task in enumerate([4, 0, 2]):
        alone = hypernetwork(torch.tensor([task]))
        for name, tensor in together.items():
            torch.testing.assert_close(tensor[position], alone[name][0])


def test_linear_layers_are_generated_like_convolutions_output_unit_by_output_unit():
    torch.manual_seed(0)
    back = nn.Sequential()
    back.add_module("hidden", nn.Linear(7, 5))
    back.add_module("classifier", nn.Linear(5, 3))
    hypernetwork = AdditiveHypernetwork(back, channel_embedding=9)
    hypernetwork.add_task()
    weight = hypernetwork(torch.tensor([0]))["hidden.weight"][0]
    with torch.no_grad():
        hypernetwork.channels[2].add_(1)
    changed = hypernetwork(torch.tensor([0]))["hidden.weight"][0] != weight
    assert changed[2].all()
    assert not changed[[0, 1, 3, 4]].any()


# What it generates


@pytest.mark.parametrize("depth", [0, 2, 4])
def test_every_kernel_is_the_layers_linear_map_of_task_features_and_channel_embedding(depth):
    torch.manual_seed(0)
    _, back = split(SlimResNet18(classes=3, width=4), depth)
    hypernetwork = AdditiveHypernetwork(back).double()
    tasks = [hypernetwork.add_task() for _ in range(2)]
    weights = hypernetwork.generate(tasks[1])
    h = hypernetwork.mlp(hypernetwork.embeddings[tasks[1]])
    assert [*weights] == [*hypernetwork.kernel_names, CLASSIFIER, *hypernetwork.vector_names]
    for name in [*hypernetwork.kernel_names, CLASSIFIER]:
        layer = hypernetwork.layer(name)
        inputs = torch.cat([h.expand(len(layer.channels), -1), layer.channels], dim=1)
        expected = F.linear(inputs, layer.weight, layer.bias).view(hypernetwork.shapes[name])
        torch.testing.assert_close(weights[name], expected, rtol=1e-10, atol=1e-12)


def test_kernels_of_convolutions_are_channels_last_and_contiguous():
    _, back = split(SlimResNet18(classes=3, width=4), 2)
    hypernetwork = AdditiveHypernetwork(back)
    kernels = [w for w in hypernetwork.generate(hypernetwork.add_task()).values() if w.ndim == 4]
    assert len(kernels) == 10
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_the_parameters_are_drawn_layer_by_layer():
    torch.manual_seed(0)
    _, back = split(SmallConvNet(classes=4), 2)
    back = nn.Sequential(*back.children())  # a convolution of 64 channels
    torch.manual_seed(5)
    hypernetwork = AdditiveHypernetwork(back, embedding=3, hidden=(8, 8), channel_embedding=2)
    torch.manual_seed(5)
    first, second = nn.Linear(3, 8), nn.Linear(8, 8)
    assert torch.equal(hypernetwork.mlp[2].weight, second.weight)
    drawn = {}
    for name, p in back.named_parameters():
        if p.ndim > 1:
            drawn[name] = torch.randn(len(p), 2), nn.Linear(10, p[0].numel()).weight
    h = second(first(torch.randn(1, 3)).relu()).relu()
    assert len(drawn) == 2
    assert first.weight.shape == (8, 3)
    for name, (channels, weight) in drawn.items():
        layer = hypernetwork.layer(name)
        assert torch.equal(layer.channels, channels)
        kernels = torch.cat([h.expand(len(channels), -1), channels], dim=1) @ weight.T
        torch.testing.assert_close(layer.weight, weight * dict(back.named_parameters())[name].std() / kernels.std())
        assert not layer.bias.any()
