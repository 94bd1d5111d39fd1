"""What predictions amount to in a measure, summed over them."""

import math

from torch import Tensor
from torch.nn import functional as F

from clhyper.measures import BITS, Measure


def amount(measure: Measure, logits: Tensor, labels: Tensor) -> Tensor:
    """A scalar on the device: how many of a batch are right, or the bits that its labels take, in float64.

    Args:
        measure: Of predictions.
        logits: (batch, classes) or (batch, classes, steps).
        labels: (batch,) or (batch, steps).
    """
    if measure is BITS:
        return F.cross_entropy(logits.double(), labels, reduction="sum") / math.log(2)
    return (logits.argmax(dim=1) == labels).sum()
