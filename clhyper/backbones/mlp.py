"""A multilayer perceptron: two hidden layers of 256 units, without normalisation."""

import math
from collections import OrderedDict

from torch import nn

from clhyper.backbones.base import Backbone

__all__ = ["MLP"]


class MLP(Backbone):
    """Images (batch, channels, height, width) to logits (batch, classes). Stages `hidden1` and `hidden2`."""

    smallest_image = 1
    stages = 2

    def __init__(self, image_shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10, width: int = 256) -> None:
        stages: OrderedDict[str, nn.Module] = OrderedDict(
            hidden1=nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), width), nn.ReLU()),
            hidden2=nn.Sequential(nn.Linear(width, width), nn.ReLU()),
        )
        super().__init__(stages, width, classes)
