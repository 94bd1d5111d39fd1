"""A recurrent network for a stream: one cell, a linear head a task, and embeddings of tasks where it reads them."""

import itertools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clhyper.backbones.heads import widened
from clhyper.backbones.model import SplitModel
from clhyper.recurrent.hyper_lstm import HyperLSTM
from clhyper.recurrent.lstm import LSTM
from clhyper.recurrent.reading import Reading


class RecurrentModel(SplitModel):
    """A cell that all tasks share behind a reading, and a head a task; without task labels, one over all classes.

    A new task whose classes are the last one's starts with a copy of its head (ours). So does a HyperLSTM with the
    embedding that it reads: the first is drawn, each further one begins as a copy of the one before.

    Args:
        reading: Says how examples are read.
        cell: An LSTM, or a HyperLSTM with or without an embedding.
    """

    def __init__(self, reading: Reading, cell: LSTM | HyperLSTM) -> None:
        super().__init__(nn.Sequential())
        self._reading = (reading,)  # in a tuple, so that its classifier is no part of this module
        self.cell = cell
        self.embedding = getattr(cell, "embedding", 0)
        self.heads = nn.ModuleDict()
        self.embeddings = nn.ParameterDict()
        self._numbers: dict[torch.device, Tensor] = {}

    @property
    def reading(self) -> Reading:
        return self._reading[0]

    def learn(self, task: int, new_classes: list[int]) -> None:
        """Adds the task's head and embedding, or widens the head: rows of classes it had stay as they are."""
        self._numbers = {}
        width = max(self.classes_of[task]) + 1
        others: list[Any] = [head for name, head in self.heads.items() if name != str(task)]
        before: Any = self.heads[str(task)] if str(task) in self.heads else None  # noqa: SIM401 - has no get
        if before is None and others and self._last_classes(task) == self.classes_of[task]:
            before = others[-1]
        if str(task) not in self.heads or before.out_features < width:
            like = next(self.cell.parameters())
            self.heads[str(task)] = widened(before, self.cell.units, width).to(like.device)
        if self.embedding and str(task) not in self.embeddings:
            known = list(self.embeddings.values())
            start = known[-1].detach().clone() if known else torch.randn(self.embedding)
            self.embeddings[str(task)] = nn.Parameter(start.to(next(self.cell.parameters()).device))

    def _last_classes(self, task: int) -> list[int]:
        """The classes of the task that was learned before this one."""
        return next((classes for one, classes in reversed(self.classes_of.items()) if one != task), [])

    def focus(self, tasks: Iterable[int]) -> None:
        super().focus(tasks)
        device = next(self.parameters()).device  # made now: a copy to the device has no place in a captured step
        self._labels(device)
        for task in self.classes_of:
            self._mask(task, max(map(self.outputs, self.classes_of)), device)

    def _labels(self, device: torch.device) -> Tensor:
        """(tasks,) labels, in the order of `heads`."""
        if device not in self._numbers:
            self._numbers[device] = torch.tensor(list(self.classes_of), device=device)
        return self._numbers[device]

    def task_rows(self, tasks: Tensor | int) -> Tensor:
        """The embedding of one task (embedding,), or of each row's (batch, embedding)."""
        if isinstance(tasks, int):
            return self.embeddings[str(tasks)]
        return self._own(tasks, torch.stack([self.embeddings[str(task)] for task in self.classes_of]))

    def _own(self, tasks: Tensor, rows: Tensor) -> Tensor:
        """Each row's task's row of (tasks, ...): a product, whose gradient is one too, with no look at the tasks."""
        chosen = (tasks[:, None] == self._labels(tasks.device)).to(rows.dtype)
        return (chosen @ rows.flatten(1)).unflatten(1, rows.shape[1:])

    def back(self, features: Tensor, tasks: Tensor | int) -> Tensor:
        if len(self.classes_of) == 1:
            (tasks,) = self.classes_of
        x = self.reading.steps(features)
        outputs = self.cell(x, self.task_rows(tasks))[0] if self.embedding else self.cell(x)[0]
        if not self.reading.each_step:
            outputs = outputs[-1:]
        logits = self._classified(outputs, tasks)
        return logits if self.reading.each_step else logits[:, :, 0]

    def _classified(self, outputs: Tensor, tasks: Tensor | int) -> Tensor:
        """Logits (batch, classes, time) of (time, batch, units)."""
        if isinstance(tasks, int):
            return self.masked(self.heads[str(tasks)](outputs).permute(1, 2, 0), tasks)
        heads: list[Any] = [self.heads[str(task)] for task in self.classes_of]
        width = max(head.out_features for head in heads)
        missing = [width - head.out_features for head in heads]
        of_each = zip(heads, missing, strict=True)
        weight = self._own(tasks, torch.stack([F.pad(head.weight, (0, 0, 0, rows)) for head, rows in of_each]))
        of_each = zip(heads, missing, strict=True)
        bias = self._own(tasks, torch.stack([F.pad(head.bias, (0, rows)) for head, rows in of_each]))
        logits = torch.baddbmm(bias[:, :, None], weight, outputs.permute(1, 2, 0))
        unused = torch.stack([self._mask(task, width, logits.device) for task in self.classes_of])
        return logits.masked_fill(self._own(tasks, unused.float())[:, :, None] > 0.5, -torch.inf)

    def task_tensors(self, task: int) -> Iterable[Tensor]:
        own = [self.embeddings[str(task)]] if self.embedding else []
        return itertools.chain(self.heads[str(task)].parameters(), own)
