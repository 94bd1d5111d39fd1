"""LSTM: fine-tuning of one long short-term memory, experience after experience; a baseline on streams of sequences.

Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 1997, with a forget gate.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from clhyper.engine import Strategy
from clhyper.errors import require
from clhyper.options import TrainingOptions
from clhyper.recurrent import lstm
from clhyper.recurrent.model import RecurrentModel
from clhyper.recurrent.reading import Reading

__all__ = ["LSTM"]


@dataclass(frozen=True, kw_only=True)
class RecurrentOptions(TrainingOptions):
    """Hyperparameters of recurrent strategies."""

    units: int = 128
    """numbers in the network's output and in its memory"""
    clip: float = 1.0
    """largest norm of the gradient, as in Ha et al.; a longer one is shortened to it"""
    norm: Literal["none"] = "none"  # type: ignore[assignment]
    """no norm between layers: a cell has its layer norm or none"""
    front_norm: Literal["none"] = "none"  # type: ignore[assignment]
    """no norm: there is no front"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.units >= 1, f"units {self.units}: at least 1")
        require(0 < self.clip < math.inf, f"clip {self.clip}: more than 0, and finite")


@dataclass(frozen=True, kw_only=True)
class Options(RecurrentOptions):
    """Hyperparameters of an LSTM."""


class LSTM(Strategy):
    """Fine-tuning with one head a task (one head for all, without task labels), trained on

        L = CE(f(x), y)

    of the present experience's sequences alone. Where each step has a label, as in text, CE is its mean over steps.
    """

    Options: ClassVar[type[Any]] = Options
    reads_sequences = True
    layer_norm: ClassVar[bool] = False

    def make_model(self, backbone: Any) -> RecurrentModel:
        require(
            isinstance(backbone, Reading),
            f"{type(self).__name__} reads sequences, and {type(backbone).__name__} reads whole images: give the"
            " backbone rows, or that of a stream of sequences",
        )
        return RecurrentModel(backbone, self.make_cell(backbone.step_features))

    def make_cell(self, inputs: int) -> Any:
        """The cell, of steps of so many features."""
        return lstm.LSTM(inputs, self.options.units, self.layer_norm)

    def optimizer_step(self) -> None:
        torch.nn.utils.clip_grad_norm_(list(self.model.trained_parameters()), self.options.clip)
        super().optimizer_step()
