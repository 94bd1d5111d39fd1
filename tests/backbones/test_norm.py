import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import nn

from clhyper.backbones import build_backbone, make_norm, set_norm

CLASSES = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm, "instance": nn.InstanceNorm2d}
EVERY_NORM = tuple(CLASSES.values())


def norms_of(module):
    return [child for child in module.modules() if isinstance(child, EVERY_NORM)]


@pytest.mark.parametrize("before", CLASSES)
@pytest.mark.parametrize("after", CLASSES)
def test_every_norm_is_replaced_by_one_of_the_kind_with_as_many_channels(before, after):
    backbone = build_backbone("slim-resnet18", (3, 32, 32), 10)
    set_norm(backbone, before)
    names = [name for name, child in backbone.named_modules() if isinstance(child, EVERY_NORM)]
    sizes = [child.weight.numel() for child in norms_of(backbone)]
    assert len(names) == 20
    assert {20, 40, 80, 160} == set(sizes)
    set_norm(backbone, after)
    assert [name for name, child in backbone.named_modules() if isinstance(child, CLASSES[after])] == names
    assert len(norms_of(backbone)) == 20
    assert [child.weight.numel() for child in norms_of(backbone)] == sizes


@pytest.mark.parametrize("kind", CLASSES)
def test_scale_starts_at_1_and_shift_at_0_and_only_batch_norm_keeps_statistics(kind):
    norm = make_norm(kind, 12)
    assert torch.equal(norm.weight, torch.ones(12))
    assert torch.equal(norm.bias, torch.zeros(12))
    assert bool(list(norm.buffers())) == (kind == "batch")


@given(some.integers(min_value=1, max_value=700))
def test_the_number_of_groups_divides_the_channels_and_is_the_largest_up_to_8(channels):
    groups = make_norm("group", channels).num_groups
    assert channels % groups == 0
    assert groups == max(count for count in range(1, 9) if channels % count == 0)


@pytest.mark.parametrize("kind", ["group", "instance"])
def test_group_and_instance_norm_treat_each_image_alone(kind):
    norm = make_norm(kind, 8).train()
    x = torch.randn(6, 8, 5, 5)
    together = norm(x)
    alone = torch.cat([norm(image[None]) for image in x])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_and_its_gradients_are_pytorchs(memory):
    torch.manual_seed(0)
    norm = make_norm("instance", 6)
    plain = nn.InstanceNorm2d(6, affine=True)
    plain.load_state_dict({"weight": torch.randn(6), "bias": torch.randn(6)})
    norm.load_state_dict(plain.state_dict())
    x, of_y = 3 + 2 * torch.randn(4, 6, 5, 7), torch.randn(4, 6, 5, 7)
    found = []
    for layer in (norm, plain):
        leaf = x.clone(memory_format=memory).requires_grad_()
        y = layer(leaf)
        found.append([y, *torch.autograd.grad(y, [leaf, layer.weight, layer.bias], of_y)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=2e-6)
    assert torch.equal(norm.eval()(x), norm.train()(x))


def test_instance_norm_refuses_images_of_one_pixel():
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        make_norm("instance", 6)(torch.randn(4, 6, 1, 1))
