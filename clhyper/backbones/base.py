"""A backbone: ordered, named stages and a classifier; and the one function that splits it at a depth."""

from collections import OrderedDict
from typing import ClassVar

from torch import nn

from clhyper.errors import require


class Backbone(nn.Sequential):
    """A network as a sequence of named stages; the last child is the linear layer `classifier`.

    The stages map images (batch, channels, height, width) to features (batch, `feature_size`); global pooling, where
    there is any, belongs to the last stage. The classifier maps features to logits (batch, classes).
    """

    classifier: nn.Linear
    ordinary_kernels: ClassVar[tuple[str, ...]] = ()
    """ends of the names of kernels that a static hypernetwork doesn't generate, as in its paper, beside the first"""

    def __init__(self, stages: "OrderedDict[str, nn.Module]", feature_size: int, classes: int) -> None:
        super().__init__(OrderedDict([*stages.items(), ("classifier", nn.Linear(feature_size, classes))]))

    @property
    def depth(self) -> int:
        """Number of stages, and so the largest freeze depth."""
        return len(self) - 1

    @property
    def feature_size(self) -> int:
        return self.classifier.in_features

    @property
    def classes(self) -> int:
        return self.classifier.out_features


def split(backbone: nn.Sequential, depth: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The first `depth` stages (front) and the rest with the classifier (back).

    Both are plain modules that share the backbone's parameters; `back(front(x))` is `backbone(x)` bit for bit.

    Raises:
        UserError: `depth` is not between 0 and the number of stages.
    """
    stages = len(backbone) - 1
    require(0 <= depth <= stages, f"freeze_depth {depth}: {type(backbone).__name__} has depths 0 to {stages}")
    children = list(backbone.named_children())
    return nn.Sequential(OrderedDict(children[:depth])), nn.Sequential(OrderedDict(children[depth:]))
