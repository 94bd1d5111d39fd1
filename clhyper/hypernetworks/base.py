"""What every weight generator can do: generate, remember what it generated, and measure how far it drifted."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Weights = dict[str, Tensor]
CLASSIFIER = "classifier.weight"
CAPACITY = 64
"""tasks that a snapshot has room for, unless there are more, so that shapes stay as tasks come"""


@dataclass(frozen=True)
class GeneratedSnapshot:
    """Weights as they were generated for `tasks` (a LongTensor (T,)): name -> (T, *shape); `weighting`: of the drift's
    parts, see `Hypernetwork.weighting`, if it is relative."""

    tasks: Tensor
    weights: Weights
    weighting: Tensor | None = None


class Hypernetwork(nn.Module):
    """H_psi: task -> every weight of a network, the back.

    Tasks are numbered from 0 in the order in which `add_task` adds them; their number is not fixed at construction.
    Index tensors of tasks are LongTensors (T,), best on the CPU, where reading them costs no synchronisation.

    Args:
        back: The network to generate for; its named parameters say which tensors, of which shape and, by their
            present values, at which scale. It is read, not kept.
    """

    def __init__(self, back: nn.Module) -> None:
        super().__init__()
        self.shapes = {name: parameter.shape for name, parameter in back.named_parameters()}
        self.embeddings = nn.ParameterList()

    @property
    def tasks(self) -> int:
        """Number of tasks added so far."""
        return len(self.embeddings)

    @abstractmethod
    def add_task(self, copy_of: int | None = None) -> int:
        """Adds a task, its embedding new or a copy of another task's, and returns its number."""

    def idle(self) -> Tensor | None:
        """Which numbers of any task's embedding stay 0 in the next experience, (embedding size,) bool; None: no one."""
        return None

    @property
    def generated_parameters(self) -> int:
        """Numbers of one task's back, but for those that aren't the task's."""
        return sum(shape.numel() for shape in self.shapes.values())

    def own(self, task: int) -> list[nn.Parameter]:
        """What a task has of its own, its embedding and its row of a table if there is one, of one shape for all."""
        return [self.embeddings[task]]

    def task_parameters(self, task: int) -> list[nn.Parameter]:
        """What is trained of `own`."""
        return self.own(task)

    @abstractmethod
    def weights(self, own: Sequence[Tensor]) -> Weights:
        """Weights of the back, name -> (*shape), for the task that has these of its own, see `own`."""

    def generate(self, task: int) -> Weights:
        """Weights of the back for one task: name -> (*shape); reads no index tensor, so that a step can be captured."""
        return self.weights(self.own(task))

    def forward(self, tasks: Tensor) -> Weights:
        """Weights of the back for each of `tasks` (T,): name -> (T, *shape)."""
        made = [self.generate(task) for task in tasks.tolist()]
        return {name: torch.stack([weights[name] for weights in made]) for name in self.shapes}

    @property
    def parts(self) -> list[list[str]]:
        """Names of the tensors that a relative drift weighs together: each tensor, and all that is in a table."""
        return [[name] for name in self.shapes]

    @torch.no_grad()
    def weighting(self, tasks: Tensor) -> Tensor:
        """What a relative drift multiplies the squares of each of `parts` by: (parts,).

        One over the part's sum of squares as it is generated now, averaged over `tasks` (T,); where that is 0, one
        over how many numbers the part has.
        """
        squares = [self._squares(self.generate(task)) for task in tasks.tolist()]
        mean = torch.stack(squares).mean(0)
        sizes = [sum(self.shapes[name].numel() for name in part) for part in self.parts]
        return torch.where(mean > 0, mean, mean.new_tensor(sizes)).reciprocal()

    def _squares(self, tensors: Weights) -> Tensor:
        """Sums of squares of `parts`: (parts,)."""
        flat = [torch.cat([tensors[name].flatten() for name in part]) for part in self.parts]
        return torch.stack([part.square().sum() for part in flat])

    def snapshot(self, tasks: Tensor, relative: bool = False) -> Any:
        """What `drift` compares with: by default the weights generated now for `tasks` (T,).

        `relative`: the drift will be that of `weighting`.
        """
        with torch.no_grad():
            return GeneratedSnapshot(tasks, self(tasks), self.weighting(tasks) if relative else None)

    def drift(self, snapshot: Any, tasks: Tensor | None = None) -> Tensor:
        """Sum over tasks and weights of |H(e_s; psi at the snapshot) - H(e_s; psi)|^2: a scalar.

        Of a snapshot that is relative, each part's sum is multiplied by its weight, see `weighting`.

        Args:
            snapshot: From `snapshot`.
            tasks: (S,) positions in the snapshot's tasks, for a sample of them; all by default.
        """
        return self.generated_drift(snapshot, tasks)

    def generated_drift(self, snapshot: GeneratedSnapshot, tasks: Tensor | None = None) -> Tensor:
        """The drift by its definition: generates every earlier task's weights and compares them."""
        chosen = slice(None) if tasks is None else tasks
        now = self(snapshot.tasks[chosen])
        moved = {name: now[name] - old[chosen] for name, old in snapshot.weights.items()}
        if snapshot.weighting is not None:
            return self._squares(moved) @ snapshot.weighting
        return torch.stack([difference.square().sum() for difference in moved.values()]).sum()


@dataclass(frozen=True)
class TaskSet:
    """Tasks of a snapshot, padded to a capacity, so that shapes stay as more tasks come.

    `numbers`: the T tasks. `embeddings`: (capacity, E), zero in the padding. `real`: (capacity, 1), 1 for a task and
    0 for padding. `count`: T, a tensor of no dimensions.
    """

    numbers: Sequence[int]
    embeddings: Tensor
    real: Tensor
    count: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, hypernetwork: Hypernetwork, tasks: Tensor, capacity: int) -> "TaskSet":
        numbers = tasks.tolist()
        embeddings = padded([hypernetwork.embeddings[number] for number in numbers], capacity)
        real = (torch.arange(capacity)[:, None] < len(numbers)).to(embeddings)
        return cls(numbers, embeddings, real, real.sum())

    def now(self, hypernetwork: Hypernetwork) -> Tensor:
        """The tasks' embeddings (capacity, E): those of the snapshot, unless one of them can have moved since."""
        own = [hypernetwork.embeddings[number] for number in self.numbers]
        return padded(own, len(self.real)) if any(e.requires_grad for e in own) else self.embeddings


def padded(rows: Sequence[Tensor], capacity: int) -> Tensor:
    """Rows of one shape, then zeros: (capacity, *shape)."""
    stacked = torch.stack(list(rows))
    return F.pad(stacked, (*[0, 0] * (stacked.ndim - 1), 0, capacity - len(rows)))
