"""Winograd's convolutions are the ordinary ones."""

import pytest
import torch
from torch.nn import functional as F

from clhyper.engine import lowering, winograd
from clhyper.engine.convolutions import Convolution

HOW = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)


@pytest.mark.parametrize("sides", [(4, 4), (8, 12), (16, 4)])
def test_values_and_gradients_are_those_of_a_convolution(sides):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *sides, dtype=torch.double)
    weight = torch.randn(5, 3, 3, 3, dtype=torch.double)
    expected = F.conv2d(x, weight, padding=1)
    gradient = torch.randn_like(expected)
    of_x, of_weight, _ = torch.ops.aten.convolution_backward(gradient, x, weight, None, *HOW, [True, True, False])
    assert torch.allclose(winograd.convolution(x, weight), expected, atol=1e-12)
    assert torch.allclose(winograd.gradient_of_image(gradient, weight), of_x, atol=1e-12)
    assert torch.allclose(winograd.gradient_of_kernel(gradient, x), of_weight, atol=1e-12)


def test_rounding_in_single_precision_is_far_below_what_compiled_steps_may_differ_by():
    torch.manual_seed(0)
    x, weight = torch.randn(8, 160, 4, 4), torch.randn(160, 160, 3, 3)
    gradient = torch.randn_like(x)
    exact = torch.ops.aten.convolution_backward(
        gradient.double(), x.double(), weight.double(), [160], *HOW, [True, True, True]
    )
    made = lowering.convolution_backward(gradient, x, weight, [160], *HOW, [True, True, True])
    assert winograd.serves(Convolution(x, weight, *HOW))
    for mine, reference in zip(made, exact, strict=True):
        assert (mine - reference).norm() < 1e-5 * reference.norm()


@pytest.mark.parametrize(
    ("x", "weight", "stride", "padding"),
    [
        ((1, 64, 8, 8), (64, 64, 3, 3), 2, 1),
        ((1, 64, 8, 8), (64, 64, 3, 3), 1, 0),
        ((1, 64, 8, 8), (64, 64, 1, 1), 1, 1),
        ((1, 64, 8, 6), (64, 64, 3, 3), 1, 1),
        ((1, 3, 8, 8), (64, 3, 3, 3), 1, 1),
    ],
)
def test_other_convolutions_stay_as_they_are(x, weight, stride, padding):
    how = ([stride] * 2, [padding] * 2, *HOW[2:])
    assert winograd.serves(Convolution(torch.zeros(1, 64, 8, 8), torch.zeros(64, 64, 3, 3), *HOW))
    assert not winograd.serves(Convolution(torch.zeros(x), torch.zeros(weight), *how))
