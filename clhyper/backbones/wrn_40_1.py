"""WRN-40-1: wide residual network of 40 layers, 16 to 64 channels (Zagoruyko and Komodakis 2016)."""

from clhyper.backbones.wide_resnet import WideResNet

__all__ = ["WRN40x1"]


class WRN40x1(WideResNet):
    """Images (batch, channels, height, width), 5 pixels or more a side, to logits (batch, classes).

    Stages `conv1` (the first convolution alone), `conv2`, `conv3` and `conv4`, see `WideResNet`.
    Source: Zagoruyko and Komodakis, "Wide Residual Networks", 2016.
    """

    stages = 4

    def __init__(self, image_shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10) -> None:
        super().__init__(image_shape, classes, layers=40, widen=1)
