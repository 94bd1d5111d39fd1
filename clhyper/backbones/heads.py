"""Ordinary networks for task streams: one back with a head a task, or a back of its own for every task."""

import copy
import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clhyper.backbones.base import Backbone, split
from clhyper.backbones.head_stack import HeadStack
from clhyper.backbones.model import SplitModel, by_task
from clhyper.backbones.together import side_by_side, together


def widened(before: nn.Linear | None, features: int, width: int) -> nn.Linear:
    """A new head, on the CPU, whose first rows are those of the one before, if there is one."""
    head = nn.Linear(features, width)
    if before is not None:
        with torch.no_grad():
            head.weight[: before.out_features] = before.weight
            head.bias[: before.out_features] = before.bias
    return head


class HeadedModel(SplitModel):
    """One shared back and one linear head a task; without task labels, one head over all classes seen.

    Args:
        backbone: Its classifier is replaced by the heads.
        freeze_depth: Number of stages in the front.
    """

    def __init__(self, backbone: Backbone, freeze_depth: int) -> None:
        front, back = split(backbone, freeze_depth)
        super().__init__(front)
        self.feature_size = backbone.feature_size
        self.body = back[:-1]
        self.heads = nn.ModuleDict()
        self._stack: HeadStack | None = None

    def learn(self, task: int, new_classes: list[int]) -> None:
        """Adds the task's head, or widens it: rows of classes it had stay as they are."""
        self._stack = None
        width = max(self.classes_of[task]) + 1
        before: Any = self.heads[str(task)] if str(task) in self.heads else None  # noqa: SIM401 - has no get
        if before is not None and before.out_features >= width:
            return
        like = next(self.parameters(), torch.empty(0))  # a body may have no parameters before its first head
        self.heads[str(task)] = widened(before, self.feature_size, width).to(like.device)

    def focus(self, tasks: Iterable[int]) -> None:
        super().focus(tasks)
        heads: Any = self.heads
        self._stack = HeadStack({task: heads[str(task)] for task in self.classes_of}, self.classes_of)

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        return itertools.chain(super().trained_parameters(), self.stack.spare)

    @property
    def stack(self) -> HeadStack:
        """All heads side by side, for training; made by `focus`."""
        assert self._stack is not None
        return self._stack

    def back(self, features: Tensor, tasks: Tensor | int) -> Tensor:
        return self.classify(self.body(features), tasks)

    def classify(self, hidden: Tensor, tasks: Tensor | int) -> Tensor:
        """Logits (batch, classes) from what the body makes of features (batch, `feature_size`).

        Training applies every head to every row, which takes one product and no look at the tasks.
        """
        if len(self.classes_of) == 1:
            (tasks,) = self.classes_of
        if isinstance(tasks, int) or not self.training or self._stack is None:
            return by_task(hidden, tasks, lambda rows, task: self.masked(self.heads[str(task)](rows), task))
        return self.stack.own(self.stack(hidden), tasks)

    def _of_every_task(self, tasks: Sequence[int]) -> Callable[[Tensor], Tensor]:
        heads = [self.heads[str(task)] for task in tasks]
        outputs = together(heads[0], [dict(head.named_parameters()) for head in heads])
        return lambda features: outputs(self.body(features))

    def each_task(self, features: Sequence[Tensor], tasks: Sequence[int], at_once: int) -> list[Tensor]:
        hidden = torch.cat([self.body(rows) for rows in torch.cat(list(features)).split(at_once)])
        of_each = hidden.split([len(rows) for rows in features])
        return [self.classify(rows, task) for rows, task in zip(of_each, tasks, strict=True)]

    def plain_back(self, task: int) -> nn.Sequential:
        return nn.Sequential(OrderedDict([*self.body.named_children(), ("classifier", self.heads[str(task)])]))

    def task_tensors(self, task: int) -> Iterable[Tensor]:
        return [*self.heads[str(task)].parameters()]


class SeparateModel(SplitModel):
    """A fresh back for every task behind one front: the bound that a generator of backs can reach.

    Args:
        backbone: Gives the front, and the shape of each task's back.
        freeze_depth: Number of stages in the front.
    """

    def __init__(self, backbone: Backbone, freeze_depth: int) -> None:
        front, back = split(backbone, freeze_depth)
        super().__init__(front)
        self._shape = (back,)  # in a tuple, so that it is no part of this module: it only serves to be copied
        self.backs = nn.ModuleDict()

    def learn(self, task: int, new_classes: list[int]) -> None:
        """Adds a newly initialised back for a task not seen before."""
        width = max(self.classes_of[task]) + 1
        before: Any = self.backs[str(task)] if str(task) in self.backs else None  # noqa: SIM401 - has no get
        if before is not None and before.classifier.out_features >= width:
            return
        back: Any = copy.deepcopy(self._shape[0])
        for module in back.modules():
            getattr(module, "reset_parameters", lambda: None)()
        back.classifier = nn.Linear(back.classifier.in_features, width)
        self.backs[str(task)] = back

    def back(self, features: Tensor, tasks: Tensor | int) -> Tensor:
        return by_task(features, tasks, lambda rows, task: self.masked(self.backs[str(task)](rows), task))

    def _of_every_task(self, tasks: Sequence[int]) -> Callable[[Tensor], Tensor]:
        backs = [self.backs[str(task)] for task in tasks]
        return together(backs[0], [back.state_dict() for back in backs])

    def each_task(self, features: Sequence[Tensor], tasks: Sequence[int], at_once: int) -> list[Tensor]:
        backs = [self.backs[str(task)] for task in tasks]
        outputs = side_by_side(backs[0], [back.state_dict() for back in backs], features)
        return [self.masked(logits, task) for logits, task in zip(outputs, tasks, strict=True)]

    def plain_back(self, task: int) -> nn.Sequential:
        back: Any = self.backs[str(task)]
        return back

    def task_tensors(self, task: int) -> Iterable[Tensor]:
        return [*self.backs[str(task)].parameters(), *self.backs[str(task)].buffers()]
