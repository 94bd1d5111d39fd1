"""A network whose back is generated: once a batch, once a task in evaluation."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from clhyper.backbones.model import SplitModel, by_task
from clhyper.backbones.together import side_by_side, together
from clhyper.errors import require
from clhyper.hypernetworks.base import Hypernetwork, Weights
from clhyper.parts import part


class GeneratedModel(SplitModel):
    """`front`, then `back` with the weights that `hypernetwork` generates for the task.

    The back's own tensors are not kept. Where its norms keep running statistics, every task has its own.

    Args:
        front: Ordinary layers.
        back: The layers to generate for, as the hypernetwork was made for them; its classifier is as wide as the
            widest experience.
        hypernetwork: Generates every parameter of the back.
        copy_embedding: A new task's embedding starts as a copy of the one before.
    """

    def __init__(
        self, front: nn.Module, back: nn.Sequential, hypernetwork: Hypernetwork, copy_embedding: bool = True
    ) -> None:
        super().__init__(front)
        self.hypernetwork = hypernetwork
        self.copy_embedding = copy_embedding
        classifier: Any = back[-1]
        self.width: int = classifier.out_features
        self._initial_statistics = {name: buffer.clone() for name, buffer in back.named_buffers()}
        self.statistics = nn.ModuleList()
        self._skeleton = (back.to("meta"),)  # in a tuple, so that it is no part of this module
        self._number: dict[int, int] = {}
        self._cache: dict[int, Weights] = {}
        self._cached_version: tuple[tuple[int, int], ...] = ()

    def train(self, mode: bool = True) -> "GeneratedModel":
        super().train(mode)
        self._skeleton[0].train(mode)
        if mode:  # fused optimizers change parameters without a new version
            self._cache = {}
        return self

    def learn(self, task: int, new_classes: list[int]) -> None:
        """Adds the task's embedding and statistics. Raises `UserError` if a class has no output."""
        widest = max(self.classes_of[task]) + 1
        require(
            widest <= self.width,
            f"task {task} has {widest} classes, but the generated classifier has {self.width} outputs:"
            f" make the backbone with classes={widest} or more",
        )
        if task in self._number:
            return
        last = self.hypernetwork.tasks - 1
        self._number[task] = self.hypernetwork.add_task(last if self.copy_embedding and last >= 0 else None)
        statistics = nn.Module()
        device = next(self.hypernetwork.parameters()).device
        for name, value in self._initial_statistics.items():
            statistics.register_buffer(_flat(name), value.clone().to(device))
        self.statistics.append(statistics)

    def outputs(self, task: int) -> int:
        del task
        return self.width

    def number_of(self, task: int) -> int:
        """The hypernetwork's number of a task label."""
        return self._number[task]

    def weights(self, task: int) -> Weights:
        """The task's weights, without a task dimension. In evaluation they are kept until the generator changes."""
        return self._generate(task) if self.training else self._weights_of([task])[0]

    def _weights_of(self, tasks: Sequence[int]) -> list[Weights]:
        """Several tasks' weights, in evaluation; one look at the generator, which has parameters of every task."""
        version = tuple((id(parameter), parameter._version) for parameter in self.hypernetwork.parameters())
        if version != self._cached_version:
            self._cache, self._cached_version = {}, version
        for task in tasks:
            if task not in self._cache:
                with torch.no_grad():
                    self._cache[task] = self._generate(task)
        return [self._cache[task] for task in tasks]

    @part("generation")
    def _generate(self, task: int) -> Weights:
        return self.hypernetwork.generate(self._number[task])

    def back(self, features: Tensor, tasks: Tensor | int) -> Tensor:
        return by_task(features, tasks, self._back_of)

    def _back_of(self, features: Tensor, task: int) -> Tensor:
        return self.masked(functional_call(self._skeleton[0], self._tensors_of(task), (features,)), task)

    def _of_every_task(self, tasks: Sequence[int]) -> Callable[[Tensor], Tensor]:
        return together(self._skeleton[0], self._tensors_of_each(tasks))

    def each_task(self, features: Sequence[Tensor], tasks: Sequence[int], at_once: int) -> list[Tensor]:
        outputs = side_by_side(self._skeleton[0], self._tensors_of_each(tasks), features)
        return [self.masked(logits, task) for logits, task in zip(outputs, tasks, strict=True)]

    def _tensors_of_each(self, tasks: Sequence[int]) -> list[Weights]:
        weights = zip(self._weights_of(tasks), tasks, strict=True)
        return [{**its, **self.statistics_of(task)} for its, task in weights]

    def _tensors_of(self, task: int) -> Weights:
        return {**self.weights(task), **self.statistics_of(task)}

    def statistics_of(self, task: int) -> Weights:
        """The running statistics of a task's norms, by their names in the back."""
        statistics = self.statistics[self._number[task]]
        return {name: getattr(statistics, _flat(name)) for name in self._initial_statistics}

    def empty_back(self) -> nn.Sequential:
        """A copy of the back, whose tensors have shapes and no numbers."""
        return copy.deepcopy(self._skeleton[0])

    def plain_back(self, task: int) -> nn.Sequential:
        back = self.empty_back()
        back.load_state_dict({**self.generate(task), **self.statistics_of(task)}, assign=True)
        return back

    @property
    def generated_parameters(self) -> int:
        return self.hypernetwork.generated_parameters

    def generate(self, task: int) -> Weights:
        with torch.no_grad():
            return self._generate(task)

    def task_tensors(self, task: int) -> Iterable[Tensor]:
        number = self._number[task]
        return [*self.hypernetwork.task_parameters(number), *self.statistics[number].buffers()]


def _flat(name: str) -> str:
    return name.replace(".", "_")
