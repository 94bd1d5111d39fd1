"""A buffer of stored examples, balanced over (task, class)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Key = tuple[int, int]


class BalancedBuffer:
    """At most `capacity` examples, as equally many of each (task, class) as there are examples to fill them.

    Keys are pairs, since labels restart at 0 in each task. Examples keep their label and task in one row, so no
    shuffling can part them.

    `x`: (stored, ...). `y`, `tasks`: (stored,). All on one device.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.seen: dict[Key, int] = {}
        self.x = torch.empty(0)
        self.y = torch.empty(0, dtype=torch.long)
        self.tasks = torch.empty(0, dtype=torch.long)

    def __len__(self) -> int:
        return len(self.y)

    def update(self, y: Tensor, tasks: Tensor, read: Callable[[Tensor], Tensor], generator: torch.Generator) -> None:
        """Makes room for new examples and takes a random part of them.

        Where a (task, class) comes again, old and new ones are kept in proportion to how many there were of each.

        Args:
            y, tasks: (new,) labels and tasks of the new examples.
            read: Gives the examples at some positions, a LongTensor (n,), as (n, ...).
            generator: CPU generator that chooses.
        """
        new, old = _rows_by_key(y, tasks), _rows_by_key(self.y, self.tasks)
        available = {
            key: len(old.get(key, ())) + len(new.get(key, ())) for key in [*old, *(k for k in new if k not in old)]
        }
        keep, take = [], []
        for key, quota in _shares(self.capacity, available).items():
            stored, fresh = old.get(key, []), new.get(key, [])
            seen = self.seen.get(key, 0)
            wanted = round(quota * len(fresh) / (seen + len(fresh))) if fresh else 0
            taken = min(len(fresh), max(wanted, quota - len(stored)))
            take += _choose(fresh, taken, generator)
            keep += _choose(stored, quota - taken, generator)
            self.seen[key] = seen + len(fresh)
        chosen = torch.tensor(take, dtype=torch.long)
        self._replace(torch.tensor(keep, dtype=torch.long), chosen, read, y, tasks)

    def _replace(self, keep: Tensor, take: Tensor, read: Callable[[Tensor], Tensor], y: Tensor, tasks: Tensor) -> None:
        kept = keep.to(self.y.device)
        x, y, tasks = (
            (read(take), y[take.to(y.device)], tasks[take.to(tasks.device)]) if len(take) else (None, y[:0], tasks[:0])
        )
        if x is None:
            self.x, self.y, self.tasks = self.x[kept], self.y[kept], self.tasks[kept]
        elif len(kept):
            self.x = torch.cat([self.x[kept], x])
            self.y = torch.cat([self.y[kept], y.to(x.device)])
            self.tasks = torch.cat([self.tasks[kept], tasks.to(x.device)])
        else:
            self.x, self.y, self.tasks = x, y.to(x.device), tasks.to(x.device)

    def state(self) -> dict[str, Any]:
        """Tensors and numbers that `restore` puts back."""
        seen = [[task, label, count] for (task, label), count in self.seen.items()]
        return {"x": self.x, "y": self.y, "tasks": self.tasks, "seen": seen}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Puts back what `state` saved, on a device."""
        self.x, self.y, self.tasks = (state[name].to(device) for name in ("x", "y", "tasks"))
        self.seen = {(task, label): count for task, label, count in state["seen"]}


def _rows_by_key(y: Tensor, tasks: Tensor) -> dict[Key, list[int]]:
    rows: dict[Key, list[int]] = {}
    for row, key in enumerate(zip(tasks.tolist(), y.tolist(), strict=True)):
        rows.setdefault(key, []).append(row)
    return rows


def _shares(capacity: int, available: dict[Key, int]) -> dict[Key, int]:
    """Equal shares of the capacity; what a key can't fill goes to those with more examples, and so does a remainder."""
    shares, left = {}, capacity
    for rank, key in enumerate(sorted(available, key=lambda key: available[key])):
        shares[key] = min(available[key], left // (len(available) - rank))
        left -= shares[key]
    return {key: shares[key] for key in available}


def _choose(rows: list[int], count: int, generator: torch.Generator) -> list[int]:
    order = torch.randperm(len(rows), generator=generator)[:count].sort().values
    return [rows[position] for position in order.tolist()]
