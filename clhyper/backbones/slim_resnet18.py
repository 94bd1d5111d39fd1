"""Slim ResNet-18: 3x3 stem without pooling, four stages of two basic blocks, 20 to 160 channels (nf = 20)."""

from collections import OrderedDict
from typing import ClassVar

import torch
from torch import Tensor, nn

from clhyper.backbones.base import Backbone

__all__ = ["SlimResNet18"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a 1x1 convolution on the shortcut where the shape changes."""

    norm_after: ClassVar = {"conv1": "norm1", "conv2": "norm2"}

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return torch.relu(out + self.shortcut(x))


class SlimResNet18(Backbone):
    """Images (batch, channels, height, width), 16 pixels or more a side, to logits (batch, classes).

    Stages `layer1` (with the stem) to `layer4` (with global average pooling).
    Source: Lopez-Paz and Ranzato, "Gradient Episodic Memory", 2017.
    """

    smallest_image = 16
    stages = 4

    def __init__(self, image_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, width: int = 20) -> None:
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stem = [nn.Conv2d(image_shape[0], width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
        for number in range(1, 5):
            out_channels = width * 2 ** (number - 1)
            blocks = [
                BasicBlock(channels, out_channels, stride=1 if number == 1 else 2),
                BasicBlock(out_channels, out_channels, stride=1),
            ]
            before = stem if number == 1 else []
            after = [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if number == 4 else []
            stages[f"layer{number}"] = nn.Sequential(*before, *blocks, *after)
            channels = out_channels
        super().__init__(stages, channels, classes)
