import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from clhyper.engine import small_convolution

ODD = [  # images, channels, out channels, side of a kernel, stride, height, width
    (2, 3, 20, 3, 1, 6, 5),
    (3, 5, 6, 3, 2, 7, 9),
    (2, 20, 40, 1, 2, 5, 5),
    (1, 12, 130, 3, 2, 4, 4),
]
SLIM_RESNET18 = [
    (64, 3, 20, 3, 1, 32, 32),
    (64, 20, 20, 3, 1, 32, 32),
    *((64, at, 2 * at, side, 2, 640 // at, 640 // at) for at in (20, 40, 80) for side in (3, 1)),
    *((64, at, at, 3, 1, 640 // at, 640 // at) for at in (40, 80, 160)),
    (512, 20, 20, 3, 1, 32, 32),
    (5, 160, 160, 3, 1, 4, 4),
]


def check(shape, device):
    """Forward, and both gradients, against float64; the relative error of each."""
    images, channels, out, side, stride, height, width = shape
    torch.manual_seed(0)
    x = torch.randn(images, channels, height, width, device=device)
    weight, bias = torch.randn(out, channels, side, side, device=device), torch.randn(out, device=device)
    exactly = [tensor.double().requires_grad_() for tensor in (x, weight)]
    expected = F.conv2d(*exactly, bias.double(), stride, side // 2)
    gradient = torch.randn_like(expected)
    wanted = expected.detach(), *torch.autograd.grad(expected, exactly, gradient)
    gradient, how = gradient.float(), (stride, side // 2)
    made = (
        small_convolution.convolution(x, weight, bias, *how),
        small_convolution.gradient_of_image(gradient, x, weight, *how),
        small_convolution.gradient_of_kernel(gradient, x, weight, *how),
    )
    assert all(one.shape == other.shape for one, other in zip(made, wanted, strict=True))
    return [((one - other).norm() / other.norm()).item() for one, other in zip(made, wanted, strict=True)]


@pytest.mark.slow  # Triton's interpreter is
@pytest.mark.skipif(not small_convolution.has_triton(), reason="no Triton")
def test_kernels_compute_a_convolution_and_its_gradients_whatever_its_sides_and_channels():
    here = Path(__file__)
    code = (
        "import torch, test_small_convolution as tests; torch.backends.cudnn.allow_tf32 = False\n"
        "for shape in tests.ODD: print(max(tests.check(shape, 'cpu')))"
    )
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": f"{here.parent}{os.pathsep}{here.parents[2]}"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    errors = [float(line) for line in done.stdout.split()]
    assert len(errors) == len(ODD)
    assert max(errors) < 1e-5


@pytest.mark.gpu
@pytest.mark.parametrize("shape", SLIM_RESNET18 + ODD, ids=str)
def test_kernels_compute_what_convolutions_do_on_a_gpu(shape, monkeypatch):
    for allowed, error in ((False, 1e-5), (True, 2e-3)):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
        assert max(check(shape, "cuda")) < error


@pytest.mark.gpu
def test_gradients_are_the_same_to_the_last_bit_each_time():
    x, weight = torch.randn(64, 20, 32, 32, device="cuda"), torch.randn(20, 20, 3, 3, device="cuda")
    ways = [small_convolution.gradient_of_kernel(x, x, weight, 1, 1) for _ in range(5)]
    assert all(torch.equal(ways[0], other) for other in ways)


@pytest.mark.parametrize("shape", ODD, ids=str)
def test_what_is_traced_without_numbers_has_the_shapes_and_the_memory_format_of_what_is_computed(shape):
    images, channels, out, side, stride, height, width = shape
    x = torch.empty(images, channels, height, width, device="meta")
    weight = torch.empty(out, channels, side, side, device="meta")
    how = (stride, side // 2)
    expected = F.conv2d(x, weight, None, *how)
    made = small_convolution.convolution(x, weight, None, *how)
    back = small_convolution.gradient_of_image(made, x, weight, *how)
    assert (made.shape, back.shape) == (expected.shape, x.shape)
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (made, back))
    assert small_convolution.gradient_of_kernel(made, x, weight, *how).shape == weight.shape
