"""Networks in one pass answer as each of them does alone."""

import copy

import pytest
import torch
from torch import nn

from clhyper.backbones.together import together


class Shared(nn.Module):
    """One norm, reached by two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.BatchNorm2d(6)
        self.convolution = nn.Conv2d(6, 6, 1)
        self.second = self.first

    def forward(self, x):
        return self.second(self.convolution(self.first(x)))


def images(*norms):
    return nn.Sequential(nn.Conv2d(3, 6, 3), *norms, nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4)), (3, 8, 8)


NETWORKS = {
    "as it comes": lambda: images(nn.BatchNorm2d(6)),
    "no scale and shift": lambda: images(nn.BatchNorm2d(6, affine=False)),
    "no running statistics": lambda: images(nn.BatchNorm2d(6, track_running_stats=False)),
    "neither": lambda: images(nn.BatchNorm2d(6, affine=False, track_running_stats=False)),
    "shared": lambda: images(Shared()),
    "of vectors": lambda: (nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4)), (5,)),
    "of vectors, neither": lambda: (
        nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, affine=False, track_running_stats=False), nn.Linear(6, 4)),
        (5,),
    ),
    "of sequences": lambda: (nn.Sequential(nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), nn.Flatten()), (3, 8)),
    "of volumes": lambda: (nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.Flatten()), (1, 4, 4, 4)),
}


def trained(network, shape, seed):
    """A copy whose weights, scales, shifts and statistics have moved, in evaluation."""
    torch.manual_seed(seed)
    network = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        for _ in range(2):
            network(2 * torch.randn(16, *shape) + 1)
    return network.eval()


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_of_batch_norm_normalises_as_it_does_alone(kind):
    network, shape = NETWORKS[kind]()
    every = [trained(network, shape, seed) for seed in range(3)]
    x = torch.randn(7, *shape)
    before = copy.deepcopy(every[0].state_dict())
    found = together(every[0], [dict([*one.named_parameters(), *one.named_buffers()]) for one in every])(x)
    expected = torch.stack([one(x) for one in every])
    assert not torch.allclose(expected[0], expected[1], atol=1e-2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in every[0].state_dict().items())
    assert {type(module) for module in every[0].modules()} == {type(module) for module in network.modules()}
