"""Generators with a table: what isn't generated of a task's network is the task's own row."""

from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn

from clhyper.hypernetworks.base import CLASSIFIER, Hypernetwork, Weights


class TabledHypernetwork(Hypernetwork):
    """Generates kernels; scales, shifts, biases and the classifier of each task are a row of a learned table.

    They are some thousandths of a back. The first task's scales are 1, its shifts and biases 0; a new task starts with
    the first one's, and with a new classifier.

    Args:
        back: See `Hypernetwork`. The tensor named `classifier.weight`, if there is one, is the classifier.
        classifier: Whether the classifier is in the table.
        apart: Names of tensors that are neither generated nor in the table.

    Attributes:
        kernels: Shapes of what is generated, by name, but for the classifier.
        table: A row a task.
    """

    def __init__(self, back: nn.Module, classifier: bool = True, apart: Collection[str] = ()) -> None:
        super().__init__(back)
        known = {name: shape for name, shape in self.shapes.items() if name not in apart}
        self.kernels = {name: shape for name, shape in known.items() if len(shape) > 1 and name != CLASSIFIER}
        in_row = [name for name in known if name not in self.kernels and (classifier or name != CLASSIFIER)]
        self.row_names = sorted(in_row, key=_classifier_first)
        self._row_sizes = [self.shapes[name].numel() for name in self.row_names]
        if classifier:
            ordinary = {name: parameter.detach() for name, parameter in back.named_parameters()}
            deviation = ordinary[CLASSIFIER].std() if CLASSIFIER in self.shapes else torch.zeros(())
            self.classifier_deviation: Tensor
            self.register_buffer("classifier_deviation", deviation)
        self.table = nn.ParameterList()

    def own(self, task: int) -> list[nn.Parameter]:
        return [self.embeddings[task], self.table[task]]

    @property
    def parts(self) -> list[list[str]]:
        return [*([name] for name in self.kernels), *([self.row_names] if self.row_names else [])]

    def add_row(self, like: Tensor) -> None:
        """Adds a task's row, on the device and of the type of `like`."""
        self.table.append(nn.Parameter(self._new_row().to(like)))

    @torch.no_grad()
    def _new_row(self) -> Tensor:
        row = self.table[0].detach().cpu().clone() if len(self.table) else self._first_row()
        if CLASSIFIER in self.shapes:
            size = self._row_sizes[0]
            row[:size] = torch.randn(size) * self.classifier_deviation.cpu()
        return row

    def _first_row(self) -> Tensor:
        row = [torch.full(self.shapes[name], float(name.endswith("weight"))).flatten() for name in self.row_names]
        return torch.cat([torch.empty(0), *row])

    def in_row(self, row: Tensor) -> Weights:
        """What a task's row says: name -> (*shape)."""
        parts = zip(self.row_names, row.split(self._row_sizes), strict=True)
        return {name: part.view(self.shapes[name]) for name, part in parts}

    def rows(self, tasks: Iterable[int]) -> Tensor:
        """(tasks, numbers of a row)"""
        return torch.stack([self.table[task] for task in tasks])

    def rows_moved(
        self, tasks: Iterable[int], before: Tensor, chosen: Tensor | None, weighting: Tensor | None
    ) -> Tensor | float:
        """Sum of squares by which rows of tasks, or those at some positions, have moved; 0 where none is trained.

        `weighting`: of the drift's parts, of which the rows are the last; without it, 1.
        """
        if not any(self.table[task].requires_grad for task in tasks):
            return 0.0
        moved = self.rows(tasks) - before
        squares = (moved if chosen is None else moved[chosen]).square().sum()
        return squares if weighting is None else squares * weighting[-1]


def _classifier_first(name: str) -> bool:
    return name != CLASSIFIER
