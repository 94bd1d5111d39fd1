"""Generators with a table: what isn't generated of a task's network is the task's own row."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from clhyper.hypernetworks.base import CLASSIFIER, Hypernetwork, Weights


class TabledHypernetwork(Hypernetwork):
    """Generates kernels; scales, shifts, biases and the classifier of each task are a row of a learned table.

    They are some thousandths of a back. The first task's scales are 1, its shifts and biases 0; a new task starts with
    the first one's, and with a new classifier.

    Args:
        back: See `Hypernetwork`. The tensor named `classifier.weight`, if there is one, is the classifier.

    Attributes:
        kernels: Shapes of what is generated, by name.
        table: A row a task.
    """

    def __init__(self, back: nn.Module) -> None:
        super().__init__(back)
        self.kernels = {name: shape for name, shape in self.shapes.items() if len(shape) > 1 and name != CLASSIFIER}
        self.row_names = sorted((name for name in self.shapes if name not in self.kernels), key=_classifier_first)
        self._row_sizes = [self.shapes[name].numel() for name in self.row_names]
        ordinary = {name: parameter.detach() for name, parameter in back.named_parameters()}
        deviation = ordinary[CLASSIFIER].std() if CLASSIFIER in self.shapes else torch.zeros(())
        self.classifier_deviation: Tensor
        self.register_buffer("classifier_deviation", deviation)
        self.table = nn.ParameterList()

    def add_row(self, like: Tensor) -> None:
        """Adds a task's row, on the device and of the type of `like`."""
        self.table.append(nn.Parameter(self._new_row().to(like)))

    @torch.no_grad()
    def _new_row(self) -> Tensor:
        if len(self.table):
            row = list(self.table[0].detach().cpu().split(self._row_sizes))
        else:
            row = [torch.full(self.shapes[n], float(n.endswith("weight"))).flatten() for n in self.row_names]
        if CLASSIFIER in self.shapes:
            row[0] = torch.randn(self._row_sizes[0]) * self.classifier_deviation.cpu()
        return torch.cat(row)

    def row(self, task: int) -> Weights:
        """What a task's row says: name -> (*shape)."""
        parts = zip(self.row_names, self.table[task].split(self._row_sizes), strict=True)
        return {name: part.view(self.shapes[name]) for name, part in parts}

    def rows(self, tasks: Iterable[int]) -> Tensor:
        """(tasks, numbers of a row)"""
        return torch.stack([self.table[task] for task in tasks])

    def rows_moved(self, tasks: Iterable[int], before: Tensor, chosen: Tensor | None) -> Tensor | float:
        """Sum of squares by which rows of tasks, or those at some positions, have moved; 0 where none is trained."""
        if not any(self.table[task].requires_grad for task in tasks):
            return 0.0
        moved = self.rows(tasks) - before
        return (moved if chosen is None else moved[chosen]).square().sum()


def _classifier_first(name: str) -> bool:
    return name != CLASSIFIER
