"""MNIST convnet: two 7x7 convolutions of 16 channels without normalisation (Ha et al. 2016); for small images too."""

from collections import OrderedDict

from torch import nn

from clhyper.backbones.base import Backbone

__all__ = ["MNISTConvNet"]


class MNISTConvNet(Backbone):
    """Images (batch, channels, height, width), 4 pixels or more a side, to logits (batch, classes).

    Stages `conv1` and `conv2`, each with 2x2 max-pooling.
    Source: Ha, Dai and Le, "HyperNetworks", 2016, arXiv 1609.09106.
    """

    smallest_image = 4
    stages = 2

    def __init__(self, image_shape: tuple[int, int, int] = (1, 28, 28), classes: int = 10) -> None:
        channels, height, width = image_shape
        stages: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=nn.Sequential(nn.Conv2d(channels, 16, 7, padding=3), nn.ReLU(), nn.MaxPool2d(2)),
            conv2=nn.Sequential(nn.Conv2d(16, 16, 7, padding=3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        )
        super().__init__(stages, 16 * (height // 4) * (width // 4), classes)
