"""One task's network in a safetensors file: how it is written, and rebuilt from the file alone."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clhyper.backbones import Backbone, build_backbone, set_norm
from clhyper.backbones.norm import norm_of
from clhyper.backbones.tensor_file import from_bytes, read_bytes
from clhyper.errors import UserError, require

FORMAT = "clhyper network of one task, 1"


class Normalise(nn.Module):
    """Images (batch, channels, height, width) of values 0 to 1, less the mean, over the deviation of each channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def with_normalisation(network: nn.Sequential, mean: Sequence[float], std: Sequence[float]) -> nn.Sequential:
    """`network` for images of values 0 to 1, by a first layer `normalise`."""
    stages = [("normalise", Normalise(mean, std)), *network.named_children()]
    return nn.Sequential(OrderedDict(stages)).eval()


def norms(network: nn.Module) -> dict[str, str]:
    """The kind of norm in each stage that has one."""
    return {name: kind for name, stage in network.named_children() if (kind := norm_of(stage))}


def load_exported(path: Path | str) -> nn.Module:
    """The network that `clhyper export` wrote to a safetensors file, in evaluation mode and ready to use.

    It maps float32 images of values 0 to 1, (batch, channels, height, width), to logits (batch, classes of the task).

    Raises:
        UserError: no such file, another file, or a damaged one.
    """
    path = Path(path)
    content = read_bytes(path, "network", "a .safetensors file that `clhyper export` wrote")
    return rebuild(content, f"network {path}")


def rebuild(content: bytes, what: str) -> nn.Module:
    """`load_exported` of a file's content; sentences begin with `what`."""
    tensors, notes = from_bytes(content, what)
    require(notes.get("format") == FORMAT, f"{what}: no network of one task; `clhyper export` writes them")
    try:
        channels = notes["image_shape"][0]
        network = with_normalisation(_empty(notes), [0.0] * channels, [1.0] * channels)
        types = {name: tensor.dtype for name, tensor in network.state_dict().items()}
        network.load_state_dict(tensors, assign=True)
        if types != {name: tensor.dtype for name, tensor in network.state_dict().items()}:
            raise TypeError
    except UserError as error:
        raise UserError(f"{what}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError):  # notes and tensors that don't fit
        raise UserError(f"{what}: damaged: its tensors are not those of the network that its notes name") from None
    return network.requires_grad_(False).eval()


def _empty(notes: dict[str, Any]) -> Backbone:
    """The backbone that the notes describe; its tensors take no memory, whatever the notes say."""
    channels, height, width = notes["image_shape"]
    with torch.device("meta"):
        backbone = build_backbone(notes["backbone"], (channels, height, width), len(notes["classes"]))
        for stage, norm in notes["norms"].items():
            set_norm(backbone, norm, [stage])
    return backbone
