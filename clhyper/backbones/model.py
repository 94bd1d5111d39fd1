"""A split network that grows with the stream: a front, frozen or not, and what follows it for each task."""

import copy
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from avalanche.models import MultiTaskModule
from torch import Tensor, nn
from torch.nn import functional as F

from clhyper.backbones.folded import folded
from clhyper.errors import UserError, require
from clhyper.parts import part


class SplitModel(MultiTaskModule):
    """`front`, then a back that depends on the task. Subclasses say how the back of a task is made.

    It learns of tasks and classes through Avalanche's `adaptation`, while training; a task that it has not been
    trained on has no parameters, and `knows` says so.
    """

    front: nn.Module

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "back" in vars(cls):  # so that no model has to say it
            cls.back = part("back")(vars(cls)["back"])  # type: ignore[method-assign]

    def __init__(self, front: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.front_frozen = False
        self.classes_of: dict[int, list[int]] = {}
        self._folded: tuple[nn.Module, torch.device, list[int]] | None = None  # a tuple's module is no part of this one
        self._folded_from: list[Tensor] = []
        self._unused: dict[tuple[int, int, int, torch.device], Tensor] = {}

    def freeze_front(self) -> None:
        """From now on the front neither learns nor moves its statistics: it stays in evaluation mode."""
        self.front_frozen = True
        self.front.requires_grad_(False)
        self.front.eval()

    def train(self, mode: bool = True) -> "SplitModel":
        super().train(mode)
        if self.front_frozen:
            self.front.eval()
        return self

    def adaptation(self, experience: Any) -> None:
        """Makes room for the experience's tasks and classes; in evaluation nothing is added."""
        if not self.training:
            return
        for task, classes in classes_by_task(experience).items():
            known = self.classes_of.setdefault(task, [])
            new = [label for label in classes if label not in known]
            known.extend(new)
            self.learn(task, new)

    @abstractmethod
    def learn(self, task: int, new_classes: list[int]) -> None:
        """Makes room for a task, new or known, with classes it has not had; `classes_of` already lists them."""

    def focus(self, tasks: Iterable[int]) -> None:
        """Trains what serves these tasks and what all share; what serves other tasks alone is frozen."""
        wanted = set(tasks)
        for task in self.classes_of:
            for tensor in self.task_tensors(task):
                if isinstance(tensor, nn.Parameter):
                    tensor.requires_grad_(task in wanted)
            if task in wanted:  # made now: a copy to the device has no place in a captured step
                self._mask(task, self.outputs(task), next(self.parameters()).device)

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """What the optimizer updates."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def outputs(self, task: int) -> int:
        """How many outputs the task's classifier has, those included that are none of its classes."""
        return max(self.classes_of[task]) + 1

    def knows(self, experience: Any) -> bool:
        """Whether all of the experience's classes have outputs."""
        return all(
            set(classes) <= set(self.classes_of.get(task, ())) for task, classes in classes_by_task(experience).items()
        )

    def forward(self, x: Tensor, task_labels: Tensor | int) -> Tensor:
        """Images (batch, channels, height, width) and their tasks (batch,) or one task, to logits (batch, classes)."""
        return self.back(self.features(x), task_labels)

    @part("front")
    def features(self, x: Tensor) -> Tensor:
        """What the front makes of images; without a graph once it is frozen, and then by a folded copy of it."""
        if not self.front_frozen:
            return self.front(x)
        with torch.no_grad():
            return self.folded_front()(x)

    def folded_front(self) -> nn.Module:
        """The frozen front with its norms folded, made anew where the front has changed or moved; never stored."""
        device = next(self.parameters()).device
        versions = [tensor._version for tensor in self._folded_from]
        if self._folded is None or (device, versions) != self._folded[1:]:
            self._folded_from = list(self.front.state_dict(keep_vars=True).values())
            versions = [tensor._version for tensor in self._folded_from]
            self._folded = (folded(self.front), device, versions)
        return self._folded[0]

    @abstractmethod
    def back(self, features: Tensor, tasks: Tensor | int) -> Tensor:
        """Logits (batch, classes) from the front's features and tasks (batch,), or one task for all."""

    def every_task(self, tasks: Sequence[int]) -> Callable[[Tensor], Tensor]:
        """Several tasks' networks as they are now, for evaluation: features to logits (tasks, batch, classes).

        They are `back`'s but for rounding: all networks are applied at once. A class that a task lacks has -inf.
        """
        outputs = self._of_every_task(tasks)
        return lambda features: self._masked(outputs(features), tasks)

    def one_by_one(self, features: Tensor, tasks: Sequence[int]) -> Tensor:
        """What `every_task` gives, a network after another."""
        return self._masked(self._one_by_one(features, tasks), tasks)

    def _masked(self, outputs: Tensor, tasks: Sequence[int]) -> Tensor:
        return torch.stack([self.masked(logits, task) for logits, task in zip(outputs, tasks, strict=True)])

    def _of_every_task(self, tasks: Sequence[int]) -> Callable[[Tensor], Tensor]:
        """To (tasks, batch, outputs), outputs that are none of the task's classes included; here one task by one."""
        return lambda features: self._one_by_one(features, tasks)

    def _one_by_one(self, features: Tensor, tasks: Sequence[int]) -> Tensor:
        outputs = [self.back(features, task) for task in tasks]
        width = max(logits.shape[1] for logits in outputs)
        return torch.stack([F.pad(logits, (0, width - logits.shape[1])) for logits in outputs])

    def each_task(self, features: Sequence[Tensor], tasks: Sequence[int], at_once: int) -> list[Tensor]:
        """Each task's logits (rows, classes) of features (rows, ...) of its own, for evaluation.

        They are `back`'s but for rounding: rows of several tasks, or several tasks' networks, go through at once. A
        model that overrides `back` overrides this too.

        Args:
            features: One tensor a task.
            tasks: Learned ones.
            at_once: The most rows that a layer which all share takes at once.
        """
        del at_once
        return [self.back(rows, task) for rows, task in zip(features, tasks, strict=True)]

    def masked(self, logits: Tensor, task: int) -> Tensor:
        """Outputs that are none of the task's classes are -inf."""
        width = logits.shape[1]
        if len(self.classes_of[task]) == width:
            return logits
        return logits.masked_fill(self._mask(task, width, logits.device), -torch.inf)

    def _mask(self, task: int, width: int, device: torch.device) -> Tensor:
        """(width,): which outputs are none of the task's classes."""
        classes = self.classes_of[task]
        key = (task, width, len(classes), device)
        if key not in self._unused:
            self._unused[key] = torch.tensor([output not in classes for output in range(width)], device=device)
        return self._unused[key]

    def state(self) -> dict[str, Any]:
        """Everything needed to rebuild the model on the same backbone: tensors, numbers, lists and dicts only."""
        return {
            "tasks": [[task, list(classes)] for task, classes in self.classes_of.items()],
            "front_frozen": self.front_frozen,
            "tensors": self.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Puts back what `state` saved."""
        self.classes_of, self._unused = {}, {}
        for task, classes in state["tasks"]:
            self.classes_of[task] = list(classes)
            self.learn(task, list(classes))
        self.load_state_dict(state["tensors"])
        if state["front_frozen"]:
            self.freeze_front()

    @property
    def generated_parameters(self) -> int:
        """Numbers in one task's generated weights."""
        return 0

    def generate(self, task: int) -> dict[str, Tensor] | None:
        """One task's generated weights, made anew; None where nothing is generated."""
        del task
        return None

    def plain(self, task: int) -> nn.Sequential:
        """One task's network as ordinary layers in evaluation mode, the backbone's stages and classifier by name.

        It maps images, normalised as for the model, (batch, channels, height, width) to logits (batch, classes of the
        task), in the order of their labels, and shares nothing with the model.

        Raises:
            UserError: the task hasn't been learned.
        """
        learned = ", ".join(map(str, self.classes_of)) or "none"
        require(task in self.classes_of, f"task {task}: not learned by this model, whose tasks are: {learned}")
        with torch.no_grad():
            stages = [*self.front.named_children(), *self.plain_back(task).named_children()]
            network: Any = copy.deepcopy(nn.Sequential(OrderedDict(stages)))
            labels, classifier = sorted(self.classes_of[task]), network.classifier
            if labels != list(range(classifier.out_features)):
                classifier.weight = nn.Parameter(classifier.weight[labels])
                classifier.bias = nn.Parameter(classifier.bias[labels])
                classifier.out_features = len(labels)
        return network.requires_grad_(False).eval()

    def plain_back(self, task: int) -> nn.Sequential:
        """The stages after the front and the `classifier` of one task, as ordinary layers; `plain` copies them."""
        raise UserError(f"{type(self).__name__} doesn't say what one task's network is, so it can't be exported")

    @abstractmethod
    def task_tensors(self, task: int) -> Iterable[Tensor]:
        """Tensors that serve this task alone: what one more task adds."""


def classes_by_task(experience: Any) -> dict[int, list[int]]:
    """The classes of each task of an experience, labels as the model sees them; without task labels, task 0."""
    by_task = getattr(experience, "classes_by_task", None)
    if by_task is not None:
        return by_task
    classes = sorted(experience.classes_in_this_experience)
    return dict.fromkeys(getattr(experience, "task_labels", [0]), classes)


def by_task(features: Tensor, tasks: Tensor | int, function: Callable[[Tensor, int], Tensor]) -> Tensor:
    """`function(rows, task)` for the rows of each task, put together in the batch's order: (batch, outputs).

    One call a task, never one a row. Narrower outputs are filled with -inf.
    """
    if isinstance(tasks, int):
        return function(features, tasks)
    present = tasks.unique().tolist()
    if len(present) == 1:
        return function(features, present[0])
    rows = [(tasks == task).nonzero().squeeze(1) for task in present]
    outputs = [function(features[chosen], task) for chosen, task in zip(rows, present, strict=True)]
    width = max(output.shape[1] for output in outputs)
    padded = torch.cat([F.pad(output, (0, width - output.shape[1]), value=-torch.inf) for output in outputs])
    return padded[torch.cat(rows).argsort()]
