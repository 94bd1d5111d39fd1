import pytest
import torch
from torch.nn import functional as F

from clhyper.engine import arithmetic, lowering

CONVOLUTIONS = [
    {"channels": 3, "kernel": 3, "stride": 1, "padding": 1, "side": 9},
    {"channels": 8, "kernel": 3, "stride": 2, "padding": 1, "side": 8},
    {"channels": 8, "kernel": 3, "stride": 2, "padding": 1, "side": 9},
    {"channels": 4, "kernel": 1, "stride": 2, "padding": 0, "side": 8},
    {"channels": 4, "kernel": 5, "stride": 3, "padding": 2, "side": 11},
    {"channels": 1, "kernel": 2, "stride": 1, "padding": 0, "side": 5},
]


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_a_convolution_as_a_matrix_product_has_its_values_and_gradients(shape, monkeypatch):
    monkeypatch.setattr(lowering, "_serves", lambda *given: True)
    torch.manual_seed(0)
    x = torch.randn(3, shape["channels"], shape["side"], shape["side"], dtype=torch.double)
    weight = torch.randn(6, shape["channels"], shape["kernel"], shape["kernel"], dtype=torch.double)
    bias = torch.randn(6, dtype=torch.double)
    how = ([shape["stride"]] * 2, [shape["padding"]] * 2, [1, 1], False, [0, 0], 1)
    expected = F.conv2d(x, weight, bias, shape["stride"], shape["padding"])
    assert torch.allclose(lowering.convolution(x, weight, bias, *how), expected, atol=1e-12)
    gradient = torch.randn_like(expected)
    wanted = torch.ops.aten.convolution_backward(gradient, x, weight, [6], *how, [True] * 3)
    made = lowering.convolution_backward(gradient, x, weight, [6], *how, [True] * 3)
    for mine, reference in zip(made, wanted, strict=True):
        assert torch.allclose(mine, reference, atol=1e-12)


def test_convolutions_that_are_no_matrix_product_stay_convolutions():
    x, weight = torch.randn(1, 2, 8, 8), torch.randn(2, 2, 3, 3)
    how = [[1, 1], [1, 1], [1, 1], False, [0, 0], 1]
    assert lowering.convolution(x, weight, None, *how) is NotImplemented  # on a CPU


@pytest.mark.parametrize("groups", [6, 3])
def test_group_norm_as_plain_arithmetic_has_its_values_and_gradients(groups):
    torch.manual_seed(0)
    x = torch.randn(4, 6, 5, 3, dtype=torch.double).to(memory_format=torch.channels_last)
    weight, bias, gradient = torch.randn(6).double(), torch.randn(6).double(), torch.randn_like(x)
    how = (4, 6, 15, groups)
    expected = torch.ops.aten.native_group_norm(x.contiguous(), weight, bias, *how, 1e-5)
    made = arithmetic.group_norm(x, weight, bias, *how, 1e-5)
    wanted = torch.ops.aten.native_group_norm_backward(
        gradient.contiguous(), x.contiguous(), *expected[1:], weight, *how, [True] * 3
    )
    gradients = arithmetic.group_norm_backward(gradient, x, *made[1:], weight, *how, [True] * 3)
    for mine, reference in zip((*made, *gradients), (*expected, *wanted), strict=True):
        assert torch.allclose(mine, reference, atol=1e-10)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_adam_as_plain_arithmetic_is_the_fused_update(kind):
    torch.manual_seed(0)
    start, gradients = torch.randn(50), torch.randn(4, 50)
    ways = []
    for table in ({}, lowering.DECOMPOSITIONS):
        parameter = torch.nn.Parameter(start.clone())
        optimizer = kind([parameter], lr=0.01, fused=True)
        for gradient in gradients:
            parameter.grad = gradient.clone()
            with _Decomposing(table):
                optimizer.step()
        ways.append(parameter.detach())
    assert torch.allclose(*ways, atol=1e-6)
    assert not torch.allclose(ways[0], start, atol=1e-3)


class _Decomposing(torch.utils._python_dispatch.TorchDispatchMode):
    def __init__(self, table):
        super().__init__()
        self.table = table

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.table.get(func, func)(*args, **(kwargs or {}))
