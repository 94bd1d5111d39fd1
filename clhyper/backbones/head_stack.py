"""Heads of several tasks side by side: one product applies them all, without a look at which rows need which."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SMALLEST, _GROWTH = 8, 4


def room_for(count: int, smallest: int = _SMALLEST) -> int:
    """A capacity for `count` that rarely changes as it grows: the smallest, then four times as much each time."""
    room = smallest
    while room < count:
        room *= _GROWTH
    return room


class HeadStack:
    """Linear heads of tasks, padded to one width and to room for more, so that experiences share a step's shapes.

    Those that are trained come first and stay the heads' own parameters; those that are frozen, and the padding, are
    copied once. Where all are trained, so is the padding: `spare`, for the optimizer, which stays zero.

    Args:
        heads: By task; a single one gets no padding.
        classes_of: Each task's classes: its outputs in use.

    `room`, `width`: number of heads and their outputs, padding included.
    """

    def __init__(self, heads: dict[int, nn.Linear], classes_of: dict[int, list[int]]) -> None:
        trained = [task for task, head in heads.items() if head.weight.requires_grad]
        self.room = room_for(len(heads)) if len(heads) > 1 else 1
        self.width = max(head.out_features for head in heads.values())
        self.spare: list[nn.Parameter] = []
        self._weights: list[Tensor] = [heads[task].weight for task in trained]
        self._biases: list[Tensor] = [heads[task].bias for task in trained]
        frozen = [head for task, head in heads.items() if task not in trained]
        padding = self.room - len(heads)
        like = next(iter(heads.values())).weight
        if frozen:
            with torch.no_grad():
                zeros = like.new_zeros(padding * self.width, like.shape[1])
                self._weights.append(torch.cat([*(self._wide(head.weight) for head in frozen), zeros]))
                self._biases.append(torch.cat([*(self._wide(head.bias) for head in frozen), zeros[:, 0]]))
        else:
            weights = [nn.Parameter(like.new_zeros(self.width, like.shape[1])) for _ in range(padding)]
            biases = [nn.Parameter(like.new_zeros(self.width)) for _ in range(padding)]
            self._weights += weights
            self._biases += biases
            self.spare = [part for pair in zip(weights, biases, strict=True) for part in pair]
        self._tasks = [*trained, *(task for task in heads if task not in trained), *[_NO_TASK] * padding]
        self._numbers = torch.tensor(self._tasks, device=like.device)
        self._used = self.chosen(classes_of)
        self._all_used = all(len(classes_of[task]) == self.width for task in heads)

    def __call__(self, hidden: Tensor) -> Tensor:
        """Every head's outputs (batch, room, width) for every row of (batch, features), unused ones included."""
        return F.linear(hidden, *self.tensors()).unflatten(1, (self.room, self.width))

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Weight (room * width, features) and bias (room * width,) of all heads as one layer."""
        weight, bias = (torch.cat([self._wide(part) for part in parts]) for parts in (self._weights, self._biases))
        return weight, bias

    def own(self, outputs: Tensor, tasks: Tensor) -> Tensor:
        """Each row's own head's outputs (batch, width) among all (batch, room, width), -inf where it uses none.

        A sum over zeros and the own ones: its gradient is a product, where that of an index would be a sum in no
        fixed order.
        """
        own = (tasks[:, None] == self._numbers)[:, :, None]
        logits = (outputs * own).sum(dim=1)
        return logits if self._all_used else logits.masked_fill(~(own & self._used).any(dim=1), -torch.inf)

    def chosen(self, classes_of: dict[int, list[int]]) -> Tensor:
        """(room, width): which outputs are of some classes of some tasks, a bool tensor on the heads' device."""
        rows = [[output in classes_of.get(task, ()) for output in range(self.width)] for task in self._tasks]
        return torch.tensor(rows, device=self._numbers.device)

    def _wide(self, tensor: Tensor) -> Tensor:
        """A head's weight or bias with rows of zeros for the outputs that it hasn't; whole blocks of heads stay."""
        missing = self.width - len(tensor)
        return F.pad(tensor, (0, 0) * (tensor.ndim - 1) + (0, missing)) if missing > 0 else tensor


_NO_TASK = -(2**62)
