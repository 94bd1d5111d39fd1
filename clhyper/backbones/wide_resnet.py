"""Wide residual networks: a first convolution and three groups of pre-activation blocks (WRN-d-k)."""

from collections import OrderedDict
from typing import ClassVar

import torch
from torch import Tensor, nn

from clhyper.backbones.base import Backbone


class PreActivationBlock(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x)))))), both 3x3, for x (batch, channels, height, width).

    Where the shape changes, the shortcut is a 1x1 convolution of the first relu(norm(x)), as in the authors' code.
    """

    norm_after: ClassVar = {"conv1": "norm2"}

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = torch.relu(self.norm1(x))
        out = self.conv2(torch.relu(self.norm2(self.conv1(active))))
        return out + (x if self.shortcut is None else self.shortcut(active))


class WideResNet(Backbone):
    """WRN-`layers`-`widen`: images (batch, channels, height, width), 5 pixels or more a side, to logits.

    Stages `conv1` (the first convolution alone), `conv2`, `conv3`, `conv4` (with the last norm and global average
    pooling), as the authors name them. Layers start as PyTorch's do, as in our other backbones (ours).
    Source: Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016, arXiv 1605.07146.

    Args:
        image_shape: Channels, height and width.
        classes: Outputs.
        layers: d; each group has (d - 4) / 6 blocks of two convolutions.
        widen: k; the groups have 16 k, 32 k and 64 k channels.
    """

    smallest_image = 5
    ordinary_kernels: ClassVar[tuple[str, ...]] = ("shortcut.weight",)

    def __init__(
        self, image_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, layers: int = 40, widen: int = 1
    ) -> None:
        stages: OrderedDict[str, nn.Module] = OrderedDict()
        stages["conv1"] = nn.Sequential(nn.Conv2d(image_shape[0], 16, 3, padding=1, bias=False))
        channels = 16
        for number, stride in ((2, 1), (3, 2), (4, 2)):
            width = 2**number * 4 * widen
            blocks = [PreActivationBlock(channels, width, stride)]
            blocks += [PreActivationBlock(width, width, 1) for _ in range((layers - 4) // 6 - 1)]
            channels = width
            pool = [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
            stages[f"conv{number}"] = nn.Sequential(*blocks, *(pool if number == 4 else []))
        super().__init__(stages, channels, classes)
