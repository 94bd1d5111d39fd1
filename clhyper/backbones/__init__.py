"""Networks as ordered, named stages, and the one function that splits them at a depth."""

from typing import TYPE_CHECKING, Any

from clhyper.backbones.base import Backbone, split
from clhyper.backbones.norm import make_norm, set_norm
from clhyper.errors import require
from clhyper.registry import exported, find

if TYPE_CHECKING:
    from clhyper.backbones.mlp import MLP
    from clhyper.backbones.mnist_convnet import MNISTConvNet
    from clhyper.backbones.slim_resnet18 import SlimResNet18
    from clhyper.backbones.small_convnet import SmallConvNet
    from clhyper.backbones.wrn_40_1 import WRN40x1
    from clhyper.backbones.wrn_40_2 import WRN40x2

__all__ = [
    "MLP",
    "Backbone",
    "MNISTConvNet",
    "SlimResNet18",
    "SmallConvNet",
    "WRN40x1",
    "WRN40x2",
    "build_backbone",
    "make_norm",
    "set_norm",
    "split",
]


def build_backbone(name: str, image_shape: tuple[int, int, int], classes: int) -> Backbone:
    """The backbone called `name` for images (channels, height, width) and a classifier of `classes` outputs.

    Raises:
        UserError: no backbone has this name, or the images are too small for it.
    """
    backbone = find("backbone", name).load()
    smallest = min(image_shape[1:])
    require(
        smallest >= backbone.smallest_image,
        f"backbone {name}: images of {smallest} pixels are too small, it needs {backbone.smallest_image} or more;"
        " choose another --backbone or a larger --image-size",
    )
    return backbone(image_shape=image_shape, classes=classes)


def __getattr__(name: str) -> Any:
    return exported("clhyper.backbones", name)
