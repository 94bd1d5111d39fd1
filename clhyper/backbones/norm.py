"""Normalisation as a choice: batch, group or instance, set on any module after it is built."""

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn import functional as F

from clhyper.options import Norm

_KINDS: dict[Norm, type[nn.Module]] = {"batch": nn.BatchNorm2d, "group": nn.GroupNorm, "instance": nn.InstanceNorm2d}
_NORMS = tuple(_KINDS.values())
_MOST_GROUPS = 8


class InstanceNorm(nn.InstanceNorm2d):
    """Instance norm as group norm with a group a channel: the same numbers in half as many operators."""

    def forward(self, input: Tensor) -> Tensor:
        if input.shape[2:].numel() == 1:
            return super().forward(input)  # which refuses: one pixel has no deviation
        if input.device.type == "cpu" and get_proxy_mode() is None:  # compiled, its format doesn't matter
            input = input.contiguous()  # group norm is slow there in channels-last format
        return F.group_norm(input, self.num_features, self.weight, self.bias, self.eps)


def make_norm(kind: Norm, channels: int) -> nn.Module:
    """A normalisation layer with learned scale (1 at the start) and shift (0), for (batch, channels, height, width).

    `batch` keeps running statistics; `group` takes as many groups, 8 at most, as divide the channels (ours).
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "instance":
        return InstanceNorm(channels, affine=True)
    groups = next(count for count in range(_MOST_GROUPS, 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels)


def set_norm(module: nn.Module, kind: Norm, children: Collection[str] | None = None) -> None:
    """Replaces every normalisation layer inside `module` by one of `kind`, with fresh scale, shift and statistics.

    A layer of that kind stays, with all it has learned.

    Args:
        module: Changed in place.
        kind: batch, group or instance; none, where there are no such layers.
        children: Names of the module's children to look into; all by default.
    """
    for name, child in list(module.named_children()):
        if children is not None and name not in children:
            continue
        if isinstance(child, _KINDS.get(kind, ())):
            continue
        if isinstance(child, _NORMS):
            channels: Any = child.num_channels if isinstance(child, nn.GroupNorm) else child.num_features
            setattr(module, name, make_norm(kind, channels))
        else:
            set_norm(child, kind)


def norm_of(module: nn.Module) -> Norm | None:
    """The kind of the normalisation layers inside `module`, None if it has none."""
    for child in module.modules():
        for kind, layer in _KINDS.items():
            if isinstance(child, layer):
                return kind
    return None
