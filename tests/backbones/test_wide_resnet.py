"""Wide residual networks are those of Zagoruyko and Komodakis, the MNIST network that of Ha et al."""

import pytest
import torch
from torch.nn import functional as F

from clhyper.backbones import MNISTConvNet, WRN40x1, WRN40x2
from clhyper.backbones.wide_resnet import PreActivationBlock

CLASSES = {1: WRN40x1, 2: WRN40x2}
PARAMETERS = {1: 563_930, 2: 2_243_546}  # of the authors' networks, for CIFAR-10
KERNELS = {1: 557_568, 2: 2_225_664}
SHORTCUTS = {1: 2_560, 2: 10_752}


def numbers_in(parameters):
    return sum(parameter.numel() for parameter in parameters)


@pytest.mark.parametrize("widen", CLASSES)
def test_a_wide_resnet_of_40_layers_has_36_kernels_and_as_many_parameters_as_the_authors(widen):
    network = CLASSES[widen]()
    named = dict(network.named_parameters())
    assert numbers_in(network.parameters()) == PARAMETERS[widen]
    kernels = [p for name, p in named.items() if name[:5] in ("conv2", "conv3", "conv4") and p.shape[2:] == (3, 3)]
    assert (len(kernels), numbers_in(kernels)) == (36, KERNELS[widen])
    assert numbers_in(p for name, p in named.items() if name.endswith(network.ordinary_kernels)) == SHORTCUTS[widen]


@pytest.mark.parametrize("widen", CLASSES)
def test_its_groups_widen_and_halve_the_image(widen):
    network, x = CLASSES[widen](), torch.randn(2, 3, 32, 32)
    shapes = []
    for stage in list(network)[:-1]:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32), (16 * widen, 32, 32), (32 * widen, 16, 16), (64 * widen,)]


@pytest.mark.parametrize(("channels", "stride"), [(16, 1), (16, 2), (32, 1)])
def test_a_block_normalises_before_it_convolves_and_its_shortcut_takes_what_is_normalised(channels, stride):
    torch.manual_seed(0)
    block = PreActivationBlock(16, channels, stride).eval()
    for norm in (block.norm1, block.norm2):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    x = torch.randn(4, 16, 8, 8)

    def normalised(norm, x):
        return ((x - norm.running_mean[:, None, None]) / (norm.running_var + norm.eps).sqrt()[:, None, None]).relu()

    active = normalised(block.norm1, x)
    inner = F.conv2d(active, block.conv1.weight, stride=stride, padding=1)
    expected = F.conv2d(normalised(block.norm2, inner), block.conv2.weight, padding=1)
    expected += x if block.shortcut is None else F.conv2d(active, block.shortcut.weight, stride=stride)
    assert (block.shortcut is None) == ((channels, stride) == (16, 1))
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)


def test_the_mnist_network_has_one_kernel_of_7x7x16x16_and_784_features():
    network = MNISTConvNet()
    assert network.conv2[0].weight.shape == (16, 16, 7, 7)
    assert network.feature_size == 784
    assert network(torch.randn(2, 1, 28, 28)).shape == (2, 10)
