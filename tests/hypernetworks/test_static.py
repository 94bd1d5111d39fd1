import pytest
import torch
from torch import nn

from clhyper.backbones import SlimResNet18, SmallConvNet, set_norm, split
from clhyper.hypernetworks import GeneratedSnapshot, StaticHypernetwork
from clhyper.hypernetworks.static import TileGenerator


def a_hypernetwork(backbone=SmallConvNet, tasks=4, depth=1, embedding=5):
    torch.manual_seed(0)
    _, back = split(backbone(classes=4), depth)
    set_norm(back, "instance")
    hypernetwork = StaticHypernetwork(back, embedding)
    for _ in range(tasks):
        hypernetwork.add_task()
    return hypernetwork, back


def numbers_in(module):
    return sum(parameter.numel() for parameter in module.parameters())


def moved(hypernetwork, by):
    with torch.no_grad():
        for parameter in hypernetwork.generators.parameters():
            parameter.add_(by * torch.randn_like(parameter))


def test_the_generator_of_3x3_tiles_has_the_papers_number_of_parameters():
    assert numbers_in(TileGenerator(9, 64)) == 75_920


def test_tiles_are_what_the_papers_two_layers_make_of_their_embeddings():
    generator, z = TileGenerator(9, 5), torch.randn(5)
    nn.init.normal_(generator.inner_bias)
    nn.init.normal_(generator.outer_bias)
    made = generator.map()[..., :-1] @ z + generator.map()[..., -1]
    for i in range(16):
        a = generator.inner[i] @ z + generator.inner_bias[i]
        torch.testing.assert_close(made[i].flatten(), generator.outer @ a + generator.outer_bias)


@pytest.mark.parametrize("backbone", [SmallConvNet, SlimResNet18])
def test_every_tensor_has_its_shape_and_kernels_start_at_the_scale_of_ordinary_ones(backbone):
    hypernetwork, back = a_hypernetwork(backbone, depth=2, embedding=64)
    weights = hypernetwork.generate(1)
    assert {name: weight.shape for name, weight in weights.items()} == {n: p.shape for n, p in back.named_parameters()}
    for name in hypernetwork.kernels:
        assert 0.7 < float(weights[name].std() / dict(back.named_parameters())[name].std()) < 1.4, name


def test_kernels_whose_channels_are_no_multiples_of_16_are_cropped():
    hypernetwork, _ = a_hypernetwork(SlimResNet18, depth=2)
    name = "layer3.0.conv1.weight"  # (80, 40, 3, 3): 5 by 3 tiles
    its = list(hypernetwork.kernels).index(name)
    first = sum(hypernetwork._counts[:its])
    assert hypernetwork._counts[its] == 15
    linear = hypernetwork.generators["9"].map()
    tile = (linear[..., :-1] @ hypernetwork.embeddings[2][first + 5] + linear[..., -1]) * hypernetwork.deviations[its]
    kernel = hypernetwork.generate(2)[name]  # its sixth tile: outputs 16 to 31, inputs 32 to 39 of 47
    torch.testing.assert_close(kernel[16:32, 32:40].flatten(2), tile.permute(1, 0, 2)[:, :8])


@pytest.mark.parametrize("chosen", [None, [2, 0]])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("backbone", [SmallConvNet, SlimResNet18])
def test_the_drift_is_its_definition_in_value_and_gradient(chosen, frozen, backbone):
    hypernetwork, _ = a_hypernetwork(backbone, depth=2 if backbone is SlimResNet18 else 1)
    hypernetwork.double()
    earlier = torch.arange(3)
    for task in range(3):
        for parameter in hypernetwork.task_parameters(task):
            parameter.requires_grad_(not frozen)
    with torch.no_grad():
        before = GeneratedSnapshot(earlier, hypernetwork(earlier))
    snapshot = hypernetwork.snapshot(earlier)
    assert float(hypernetwork.drift(snapshot)) == 0
    moved(hypernetwork, 0.01)
    if not frozen:
        with torch.no_grad():
            hypernetwork.embeddings[0].add_(0.1)
    chosen = None if chosen is None else torch.tensor(chosen)
    trained = [p for p in hypernetwork.parameters() if p.requires_grad]
    results = [hypernetwork.drift(snapshot, chosen), hypernetwork.generated_drift(before, chosen)]
    torch.testing.assert_close(*results)
    gradients = [torch.autograd.grad(result, trained, materialize_grads=True) for result in results]
    for ours, defined in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, defined, rtol=1e-6, atol=1e-9)


def test_what_is_ordinary_is_in_every_tasks_weights_as_one_tensor_and_neither_generated_nor_in_the_table():
    torch.manual_seed(0)
    back = SlimResNet18(classes=4)
    ordinary = {"layer1.0.weight", "layer2.0.shortcut.0.weight", "of another stage"}
    hypernetwork = StaticHypernetwork(back, 5, ordinary=ordinary)
    hypernetwork.add_task()
    hypernetwork.add_task()
    held = {"layer1.0.weight": back.layer1[0].weight, "layer2.0.shortcut.0.weight": back.layer2[0].shortcut[0].weight}
    assert not held.keys() & {*hypernetwork.kernels, *hypernetwork.row_names}
    for name, start in held.items():
        first, second = (hypernetwork.generate(task)[name] for task in (0, 1))
        assert first is second
        assert first is not start
        assert torch.equal(first, start)
    assert {n: w.shape for n, w in hypernetwork.generate(1).items()} == {n: p.shape for n, p in back.named_parameters()}
    assert hypernetwork.generated_parameters == numbers_in(back) - sum(kernel.numel() for kernel in held.values())


def test_a_task_adds_its_tiles_and_its_row_and_can_start_as_a_copy():
    hypernetwork, back = a_hypernetwork(SlimResNet18, tasks=1, depth=2, embedding=64)
    size = numbers_in(hypernetwork)
    hypernetwork.add_task(copy_of=0)
    row = numbers_in(back) - sum(shape.numel() for shape in hypernetwork.kernels.values())
    assert numbers_in(hypernetwork) - size == 505 * 64 + row
    assert torch.equal(hypernetwork.embeddings[1], hypernetwork.embeddings[0])
