"""Small additive hypernetworks, for the tests beside this file."""

import torch

from clhyper.backbones import SmallConvNet, set_norm, split
from clhyper.hypernetworks import AdditiveHypernetwork


def a_hypernetwork(tasks=6, depth=1, seed=0):
    torch.manual_seed(seed)
    _, back = split(SmallConvNet(classes=4), depth)
    set_norm(back, "instance")
    hypernetwork = AdditiveHypernetwork(back)
    for _ in range(tasks):
        hypernetwork.add_task()
    return hypernetwork
