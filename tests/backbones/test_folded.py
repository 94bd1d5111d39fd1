"""A folded front computes what the front computes."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clhyper.backbones import build_backbone, set_norm, split
from clhyper.backbones.folded import folded

SHAPE = (3, 32, 32)


def trained_front(name, depth, norm="batch"):
    """A front whose statistics, scales and shifts have moved."""
    torch.manual_seed(0)
    front, _ = split(build_backbone(name, SHAPE, 10), depth)
    set_norm(front, norm)
    for parameter in front.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter) * parameter.data.std().nan_to_num(1.0)
    with torch.no_grad():
        for _ in range(3):
            front(torch.randn(16, *SHAPE))
    return front.eval()


@pytest.mark.parametrize(("name", "depth"), [("slim-resnet18", 2), ("slim-resnet18", 4), ("small-convnet", 3)])
def test_folding_changes_rounding_alone_and_leaves_no_norm(name, depth):
    front, x = trained_front(name, depth), torch.randn(8, *SHAPE)
    fast = folded(front)
    expected = front.double()(x.double())
    torch.testing.assert_close(fast(x).double(), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())


def test_folding_a_pre_activation_network_leaves_the_norms_that_come_before_convolutions():
    front, x = trained_front("wrn-40-1", 3), torch.randn(4, *SHAPE)
    fast, expected = folded(front), front.double()(x.double())
    torch.testing.assert_close(fast(x).double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    kept = [name for name, module in fast.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert kept == [f"conv{group}.{block}.norm1" for group in (2, 3) for block in range(6)]


@pytest.mark.parametrize("norm", ["group", "instance"])
def test_norms_that_depend_on_the_image_stay(norm):
    front, x = trained_front("slim-resnet18", 2, norm), torch.randn(8, *SHAPE)
    torch.testing.assert_close(folded(front)(x), front(x), rtol=1e-4, atol=1e-4)


def test_the_front_itself_stays_as_it_was():
    front, x = trained_front("slim-resnet18", 2), torch.randn(2, *SHAPE)
    before = copy.deepcopy(front.state_dict())
    images = x.clone()
    fast = folded(front)
    fast(x)
    assert torch.equal(x, images)
    assert all(torch.equal(value, before[name]) for name, value in front.state_dict().items())
    assert not {p.data_ptr() for p in fast.parameters()} & {p.data_ptr() for p in front.parameters()}


class Residual(nn.Module):
    """A convolution whose output is normalised and used as it is."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(x)
        return self.norm(y) + F.relu(y)


class Ordered(Residual):
    norm_after = {"conv": "norm"}  # noqa: RUF012

    def forward(self, x):
        return x + self.norm(self.conv(x))


def twice():
    convolution = nn.Conv2d(3, 3, 3, padding=1)
    return nn.Sequential(convolution, convolution, nn.BatchNorm2d(3), nn.BatchNorm2d(3))


@pytest.mark.parametrize(("make", "norms"), [(Residual, 1), (Ordered, 0), (twice, 1)])
def test_only_a_norm_that_alone_has_a_convolutions_output_is_folded(make, norms):
    torch.manual_seed(0)
    front = nn.Sequential(make(), nn.ReLU())
    for _ in range(3):
        front(torch.rand(4, *SHAPE))
    front.eval()
    x, fast = torch.rand(4, *SHAPE), folded(front)
    torch.testing.assert_close(fast(x), front(x), rtol=1e-4, atol=1e-5)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in fast.modules()) == norms


def test_a_front_without_stages_passes_images_on():
    x = torch.rand(2, *SHAPE)
    assert torch.equal(folded(nn.Sequential())(x), x)
