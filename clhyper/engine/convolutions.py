"""Which convolution a call of PyTorch's operator asks for."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Convolution:
    """The arguments of `torch.ops.aten.convolution` but for the bias, in its order."""

    x: Tensor
    weight: Tensor
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    transposed: bool
    output_padding: list[int]
    groups: int
