"""Rows: reads an image row by row, a row of pixels a step, for recurrent strategies such as hyper-lstm."""

from collections import OrderedDict

from torch import Tensor, nn

from clhyper.recurrent.reading import Reading

__all__ = ["Rows"]


def rows_of_pixels(x: Tensor) -> Tensor:
    """Images (batch, channels, height, width) to (batch, height, channels * width)."""
    return x.transpose(1, 2).flatten(2)


class MeanRow(nn.Module):
    """Images (batch, channels, height, width) to the mean of their rows (batch, channels * width)."""

    def forward(self, x: Tensor) -> Tensor:
        return rows_of_pixels(x).mean(dim=1)


class Rows(Reading):
    """Images (batch, channels, height, width) to logits (batch, classes). Stage `rows`.

    Recurrent strategies read a row of all channels a step and classify after the last. By itself, for other
    strategies, it is a linear classifier of the mean row.
    """

    smallest_image = 1
    stages = 1
    each_step = False

    def __init__(self, image_shape: tuple[int, int, int] = (1, 8, 8), classes: int = 10) -> None:
        channels, _, width = image_shape
        super().__init__(OrderedDict(rows=MeanRow()), channels * width, classes)
        self.step_features = channels * width

    def steps(self, x: Tensor) -> Tensor:
        return rows_of_pixels(x).transpose(0, 1)
