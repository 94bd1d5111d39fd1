"""HyperLSTM: a small LSTM scales the weights of a large one at each step, knows the task, and is kept from drifting.

Source: Ha, Dai and Le, "HyperNetworks", 2016, arXiv 1609.09106, appendix A.2: the cell. That a task's embedding joins
the hyper cell's input is ours, and so is what the drift of von Oswald et al., "Continual learning with hypernetworks",
ICLR 2020, is taken of.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from clhyper.backbones.model import classes_by_task
from clhyper.errors import require
from clhyper.parts import part
from clhyper.recurrent import hyper_lstm
from clhyper.recurrent.drift import gate_drift
from strategies.lstm import LSTM, RecurrentOptions

__all__ = ["HyperLSTM"]


@dataclass(frozen=True, kw_only=True)
class Options(RecurrentOptions):
    """Hyperparameters of a HyperLSTM."""

    hyper_units: int = 32
    """numbers in the output and in the memory of the hyper cell"""
    factors: int = 4
    """N_z, numbers that a gate's scales and shifts are made of"""
    layer_norm: bool = True
    """layer-norm both cells"""
    embedding: int = 16
    """size of a task's embedding; the next task's starts as a copy of the one before"""
    beta: float = 1.0
    """weight of the drift"""
    embedding_rate: float = 5.0
    """learning rate of a task's embedding, in units of --learning-rate"""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("hyper_units", "factors", "embedding"):
            require(getattr(self, name) >= 1, f"{name} {getattr(self, name)}: at least 1")
        require(0 <= self.beta < math.inf, f"beta {self.beta}: at least 0, and finite")
        rate = self.embedding_rate
        require(0 < rate < math.inf, f"embedding_rate {rate}: more than 0, and finite")


class HyperLSTM(LSTM):
    """The hyper cell generates d_h, d_x and b from [h; x; e_t]; gates a = LN(d_h * W_h h + d_x * W_x x + b), trained on

        L = CE(f(x; e_t), y) + beta E_s |a(x, h*; e_s) - a*(x, h*; e_s)|^2

    What the drift is taken of: the outputs of the weights that the hyper cell generates, that is the main LSTM's gates
    before their nonlinearities (without layer norm: their sums), on the present sequences x, read with an earlier
    task's embedding e_s. a* and the outputs h* that both see come from the cells as the experience began. The square is
    summed over gates and units, its mean is over steps and sequences; E_s: each sequence of a step has an earlier task
    drawn for it. So no earlier text is kept, and W_h and W_x, which the hyper cell scales, can't drift unseen either.

    Earlier embeddings and heads are frozen, and the main LSTM's layer norm is after the first experience.
    """

    Options = Options
    needs_task_labels = True

    def make_cell(self, inputs: int) -> hyper_lstm.HyperLSTM:
        chosen = self.options
        sizes = chosen.units, chosen.hyper_units, chosen.factors
        return hyper_lstm.HyperLSTM(inputs, *sizes, chosen.layer_norm, chosen.embedding)

    def make_optimizer(self, **kwargs: Any) -> None:
        """The optimizer of every strategy, in two groups if embeddings have another learning rate."""
        if self.experiences_learned and self.model.cell.norm is not None:
            self.model.cell.norm.requires_grad_(False)
        super().make_optimizer(**kwargs)
        own = [parameter for parameter in self.model.embeddings.parameters() if parameter.requires_grad]
        if self.options.embedding_rate == 1 or not own:
            return
        group = self.optimizer.param_groups[0]
        group["params"] = [p for p in group["params"] if all(p is not other for other in own)]
        self.optimizer.add_param_group({**group, "params": own, "lr": group["lr"] * self.options.embedding_rate})

    def prepare_experience(self) -> None:
        """Remembers the cells, and which tasks came earlier."""
        present = classes_by_task(self.experience)
        earlier = [task for task in self.model.classes_of if task not in present]
        self.before = self.earlier = None
        self.tasks = self.generator("drift")
        if earlier and self.options.beta:
            self.before = copy.deepcopy(self.model.cell).requires_grad_(False)
            self.earlier = torch.stack([self.model.embeddings[str(task)].detach() for task in earlier])

    def draw(self, steps: int) -> dict[str, Tensor]:
        """Adds an earlier task for each of a batch's sequences: (steps, batch)."""
        drawn = super().draw(steps)
        if self.earlier is not None:
            drawn["drift"] = torch.randint(len(self.earlier), (steps, self.train_mb_size), generator=self.tasks)
        return drawn

    def backward(self) -> None:
        """Gradient of the cross-entropy, and of the drift."""
        super().backward()
        if self.before is None or self.earlier is None:
            return
        with part("drift"):
            x = self.model.reading.steps(self.mb_x)
            embeddings = self.earlier[self.drawn["drift"][: len(self.mb_x)]]
            drift = gate_drift(self.model.cell, self.before, x, embeddings)
        (self.options.beta * drift).backward()

    def finish_experience(self) -> None:
        self.before = self.earlier = None
