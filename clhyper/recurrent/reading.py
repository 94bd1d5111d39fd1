"""How examples are read step by step: what a stream of sequences gives recurrent strategies in place of a network."""

from abc import abstractmethod
from collections import OrderedDict
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from clhyper.backbones.base import Backbone


class Reading(Backbone):
    """A backbone whose one stage gives a step's features; recurrent strategies put their cells behind it.

    `step_features`: numbers in a step. `each_step`: whether there is a label for each step, or one for the whole.
    """

    step_features: int
    each_step: ClassVar[bool]

    @abstractmethod
    def steps(self, x: Tensor) -> Tensor:
        """Prepared examples (batch, ...) to (time, batch, `step_features`)."""


class OneHot(nn.Module):
    """Codes (batch, length) to float32 (batch, length, number of codes)."""

    def __init__(self, codes: int) -> None:
        super().__init__()
        self.codes = codes

    def forward(self, x: Tensor) -> Tensor:
        return F.one_hot(x.long(), self.codes).float()


class Characters(Reading):
    """Codes of characters (batch, length) as steps, one-hot, with the next character as each step's label.

    By itself it predicts a character from the one before it.
    """

    each_step = True

    def __init__(self, vocabulary: int) -> None:
        super().__init__(OrderedDict(characters=OneHot(vocabulary)), vocabulary, vocabulary)
        self.step_features = vocabulary

    def steps(self, x: Tensor) -> Tensor:
        return self[0](x).transpose(0, 1)
