import pytest
import torch
from torch.nn import functional as F

from clhyper.engine import arithmetic, lowering

HOW = ([2, 2], [0, 0], [1, 1], False, [0, 0], 1)


@pytest.mark.parametrize("side", [8, 9])
def test_a_convolution_of_1x1_that_skips_pixels_is_a_product_with_its_values_and_gradients(side):
    torch.manual_seed(0)
    x = torch.randn(3, lowering.FEWEST_SEEN, side, side - 1, dtype=torch.double)
    weight, bias = torch.randn(6, lowering.FEWEST_SEEN, 1, 1, dtype=torch.double), torch.randn(6, dtype=torch.double)
    expected = F.conv2d(x, weight, bias, 2)
    assert torch.allclose(lowering.convolution(x, weight, bias, *HOW), expected, atol=1e-12)
    gradient = torch.randn_like(expected)
    wanted = torch.ops.aten.convolution_backward(gradient, x, weight, [6], *HOW, [True] * 3)
    made = lowering.convolution_backward(gradient, x, weight, [6], *HOW, [True] * 3)
    for mine, reference in zip(made, wanted, strict=True):
        assert torch.allclose(mine, reference, atol=1e-12)


def test_other_convolutions_on_a_cpu_stay_convolutions():
    x, weight = torch.randn(1, 2, 8, 8), torch.randn(2, 2, 3, 3)
    how = [[1, 1], [1, 1], [1, 1], False, [0, 0], 1]
    assert lowering.convolution(x, weight, None, *how) is NotImplemented
    assert lowering.convolution_backward(x, x, weight, None, *how, [True] * 3) is NotImplemented


@pytest.mark.parametrize("side", [4, 32])
def test_batch_norm_in_two_stages_has_its_values_and_gradients(side, monkeypatch):
    monkeypatch.setattr(arithmetic, "_is_image_on_gpu", lambda *given: True)
    torch.manual_seed(0)
    x = 3 + 2 * torch.randn(4, 6, side, side, dtype=torch.double).to(memory_format=torch.channels_last)
    weight, bias, gradient = torch.randn(6).double(), torch.randn(6).double(), torch.randn_like(x)
    ways = []
    for forward, backward in (
        (torch.native_batch_norm, torch.ops.aten.native_batch_norm_backward),
        (arithmetic.batch_norm, arithmetic.batch_norm_backward),
    ):
        running = torch.zeros(6).double(), torch.ones(6).double()
        out, *saved = forward(x, weight, bias, *running, True, 0.1, 1e-5)
        made = backward(gradient, x, weight, *running, *saved, True, 1e-5, [True] * 3)
        ways.append((out, *saved, *running, *made))
    assert all(torch.allclose(one, other, atol=1e-10) for one, other in zip(*ways, strict=True))


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
