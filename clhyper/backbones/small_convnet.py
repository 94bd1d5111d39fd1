"""A small convolutional network for images of 8 to 28 pixels: three 3x3 convolutions, 16 to 64 channels."""

from collections import OrderedDict

from torch import nn

from clhyper.backbones.base import Backbone

__all__ = ["SmallConvNet"]


def _convolution(in_channels: int, channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]


class SmallConvNet(Backbone):
    """Images (batch, channels, height, width) to logits (batch, classes).

    Stages `conv1`, `conv2` (stride 2) and `conv3` (with global average pooling).
    """

    smallest_image = 4
    stages = 3

    def __init__(self, image_shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10, width: int = 16) -> None:
        stages: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Sequential(*_convolution(image_shape[0], width, 1)),
            conv2=nn.Sequential(*_convolution(width, 2 * width, 2)),
            conv3=nn.Sequential(*_convolution(2 * width, 4 * width, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )
        super().__init__(stages, 4 * width, classes)
