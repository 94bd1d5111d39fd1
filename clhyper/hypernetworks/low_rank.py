"""Generators of a low-rank change to a base that all tasks share; the base learns the first task and then stays (ours).

The first task's network is the base, B. Layer l of a later task t is

    W_{t,l} = B_l + U_l diag(s_{t,l}) V_l^T,    s_{t,l} of R numbers, the rank,

with the factors U and V shared by all tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from clhyper.backbones.head_stack import room_for
from clhyper.hypernetworks.base import CAPACITY, TaskSet, Weights
from clhyper.hypernetworks.layers import KernelLayers
from clhyper.hypernetworks.table import TabledHypernetwork


@dataclass(frozen=True)
class LowRankSnapshot:
    """What generated the earlier tasks' changes: `tasks`, see `TaskSet`, and copies of the factors U and V, `left` and
    `right`, and of S, `mixing`, if there is one. `table`: rows of tasks, (T, numbers). `among`: of s and s, see
    `squared_product`, where it stays while embeddings do. `weighting`: see `Hypernetwork.weighting`."""

    tasks: TaskSet
    left: Tensor
    right: Tensor
    table: Tensor
    weighting: Tensor | None
    among: Tensor | None = None
    mixing: Tensor | None = None


class FactoredHypernetwork(TabledHypernetwork):
    """A task's embedding is s_t itself: one number for each factor of each layer (ours).

    A new task starts with coefficients of 1 for those factors of each layer that earlier tasks use least (by the sum of
    their squared coefficients), and 0 for the others: what no task uses may move without drift, and what others use
    can be taken up.

    With L kernels (C_l, ...) of n_l numbers an output channel and table rows of M numbers, T tasks take

        sum over l of (C_l n_l + R (C_l + n_l)) + T (M + L R)

    numbers, and with a base of rank Q, B_l = P_l Q_l^T, Q (C_l + n_l) in place of C_l n_l. V starts at the scale of the
    back's own kernels and U with a deviation of 1 / sqrt(R), so that coefficients of 1 would change a kernel by as much
    as it is.

    Args:
        back: See `TabledHypernetwork`.
        rank: R. What a step of the drift costs grows with its square.
        base_rank: Rank of the base; without it, the base is any kernel.
        fresh: Share of the factors that a new task starts with, more than 0 and at most 1.
        reserve: Factors that no task has used yet stay idle until a new task starts with them, in place of being taken
            up, and so held by the drift, by whichever task comes first.
    """

    def __init__(
        self,
        back: nn.Module,
        rank: int = 56,
        base_rank: int | None = None,
        fresh: float = 0.25,
        reserve: bool = False,
    ) -> None:
        super().__init__(back)
        ordinary = {name: parameter.detach() for name, parameter in back.named_parameters()}
        self.rank, self.base_rank, self.layers = rank, base_rank, KernelLayers(self.kernels)
        self.kernels = {name: self.kernels[name] for name in self.layers.names}
        self.fresh, self.reserve = max(1, round(fresh * rank)), reserve
        deviations = torch.stack([torch.zeros(()), *(ordinary[name].std() for name in self.layers.names)])[1:]
        if base_rank is None:
            channels_last = [ordinary[name].movedim(1, -1).flatten() for name in self.layers.names]
            self.base = nn.ParameterList([torch.cat([torch.empty(0), *channels_last])])
        else:
            self.base = nn.ParameterList(self._factors(base_rank, deviations))
        self.left, self.right = (nn.Parameter(factor) for factor in self._factors(rank, deviations))
        self.embedding_size = len(self.layers.names) * rank

    def _factors(self, rank: int, deviations: Tensor) -> tuple[Tensor, Tensor]:
        """(sum of C, rank) and (sum of n, rank), whose products have these deviations, (L,)."""
        left = torch.randn(sum(self.layers.widths), rank) / rank**0.5
        right = torch.randn(sum(self.layers.sizes), rank)
        return left, right * (self.layers.owner_of_row @ deviations)[:, None]

    def coefficients(self, embeddings: Tensor) -> Tensor:
        """s of tasks, (T, L * R), from their embeddings (T, embedding size)."""
        return embeddings

    def _coefficients_moved(self, embeddings: Tensor, snapshot: LowRankSnapshot) -> Tensor | None:
        """How far s of a snapshot's tasks has moved, (capacity, L * R); None where it can't have."""
        return embeddings - snapshot.tasks.embeddings if embeddings.requires_grad else None

    def add_task(self, copy_of: int | None = None) -> int:
        first = not self.tasks
        self.base.requires_grad_(first)
        if first:
            e = torch.zeros(self.embedding_size)
        else:
            e = self._new_embedding() if copy_of is None else self.embeddings[copy_of].detach().clone()
        self.embeddings.append(nn.Parameter(e.to(self.left), requires_grad=not first))
        self.add_row(self.left)
        return self.tasks - 1

    @torch.no_grad()
    def idle(self) -> Tensor | None:
        return self._used() == 0 if self.reserve else None

    def _used(self) -> Tensor:
        """How much tasks use each factor of each layer, (L * R,)."""
        return torch.stack(list(self.embeddings)).square().sum(0)

    @torch.no_grad()
    def _new_embedding(self) -> Tensor:
        used = self._used().view(-1, self.rank).cpu()
        least = used.argsort(dim=1, stable=True)[:, : self.fresh]
        return torch.zeros_like(used).scatter_(1, least, 1.0).flatten()

    def task_parameters(self, task: int) -> list[nn.Parameter]:
        """The task's row and embedding; of the first task, whose change is nothing, the row alone."""
        return [self.table[task], self.embeddings[task]] if task else [self.table[task]]

    def weights(self, own: Sequence[Tensor]) -> Weights:
        """See `Hypernetwork.weights`. Kernels of convolutions are in channels-last memory format."""
        embedding, row = own
        return self._weights(embedding, row)

    def generate(self, task: int) -> Weights:
        """`weights` of the task; the first one has the base alone."""
        return self._weights(self.embeddings[task] if task else None, self.table[task])

    def _weights(self, embedding: Tensor | None, row: Tensor) -> Weights:
        if not self.layers.names:
            return self.in_row(row)
        factors = [] if self.base_rank is None else [tuple(self.base)]
        if embedding is not None:
            s = self.coefficients(embedding[None]).view(-1, self.rank)
            factors.append((self.left * (self.layers.owner_of_place @ s), self.right))
        products = (
            self.layers.products(*(torch.cat(its, dim=1) for its in zip(*factors, strict=True))) if factors else {}
        )
        if self.base_rank is not None:
            return products | self.in_row(row)
        base = self.layers.split(self.base[0])
        if products:
            changed = torch._foreach_add([base[name] for name in products], list(products.values()))
            base = dict(zip(products, changed, strict=True))
        return base | self.in_row(row)

    @torch.no_grad()
    def snapshot(self, tasks: Tensor, relative: bool = False) -> LowRankSnapshot:
        copied = self._copied(tasks, relative)
        s = self.coefficients(copied.tasks.embeddings)
        return replace(copied, among=self._among([s, s]) if self.layers.names else None)

    def _copied(self, tasks: Tensor, relative: bool) -> LowRankSnapshot:
        chosen = TaskSet.of(self, tasks, room_for(len(tasks), CAPACITY))
        return LowRankSnapshot(
            tasks=chosen,
            left=self.left.clone(),
            right=self.right.clone(),
            table=self.rows(chosen.numbers),
            weighting=self.weighting(tasks) if relative else None,
        )

    def _among(self, changes: list[Tensor]) -> Tensor:
        """Sum over tasks of d d^T, d of each layer made of `changes`, (T, L * R) each: (L, width, width)."""
        layered = [change.view(len(change), len(self.layers.names), self.rank) for change in changes]
        each = torch.cat(layered, dim=2).movedim(0, 2)
        return each @ each.mT

    def drift(self, snapshot: LowRankSnapshot, tasks: Tensor | None = None) -> Tensor:
        """Closed form of the drift, which builds no kernel; its cost hardly depends on the number of tasks.

        With ' for what is in the snapshot, layer l of task t has moved by

            U diag(s_t) V^T - U' diag(s_t') V'^T
                = (U - U') diag(s_t) V^T + U' diag(s_t) (V - V')^T + U' diag(s_t - s_t') V'^T,

        one product [U - U', U', U'] diag([s_t, s_t, s_t - s_t']) [V, V - V', V']^T, whose squares `squared_product`
        sums over tasks. Every term has a factor that is a difference from the snapshot, so that the drift is 0 there
        and as exact near it as far from it. The base doesn't move once there are earlier tasks.
        """
        embeddings = snapshot.tasks.now(self)
        now, moved = self.coefficients(embeddings), self._coefficients_moved(embeddings, snapshot)
        if tasks is not None:
            tasks = tasks.to(now.device)
            now, moved = now[tasks], None if moved is None else moved[tasks]
        left, right = [self.left - snapshot.left, snapshot.left], [self.right, self.right - snapshot.right]
        changes = [now, now]
        if moved is not None:
            left, right, changes = [*left, snapshot.left], [*right, snapshot.right], [*changes, moved]
        drift, weighting = self.left.new_zeros(()), snapshot.weighting
        if self.layers.names:
            frozen = moved is None and tasks is None
            drift = self.layers.sum_of_squares(
                self.layers.by_layer(torch.cat(left, dim=1)),
                torch.cat(right, dim=1),
                snapshot.among if frozen else self._among(changes),
                None if weighting is None else weighting[: len(self.layers.names)],
            )
        return drift + self.rows_moved(snapshot.tasks.numbers, snapshot.table, tasks, weighting)


class LowRankHypernetwork(FactoredHypernetwork):
    """s_t = S e_t: a small embedding e_t is all of a task but its row of the table; S is shared (ours).

    Beside a `FactoredHypernetwork`, T tasks take L R E + T E numbers in place of T L R. S starts with a deviation of
    1 / sqrt(E), and e_t, but for the first task's, which is 0, with one of 1.

    Args:
        back, rank, base_rank: See `FactoredHypernetwork`.
        embedding: E, the size of e_t.
    """

    def __init__(self, back: nn.Module, rank: int = 56, base_rank: int | None = None, embedding: int = 32) -> None:
        super().__init__(back, rank, base_rank)
        self.mixing = nn.Parameter(torch.randn(self.embedding_size, embedding) / embedding**0.5)
        self.embedding_size = embedding

    def coefficients(self, embeddings: Tensor) -> Tensor:
        return embeddings @ self.mixing.T

    def _coefficients_moved(self, embeddings: Tensor, snapshot: LowRankSnapshot) -> Tensor:
        assert snapshot.mixing is not None
        moved = embeddings @ (self.mixing - snapshot.mixing).T
        if embeddings.requires_grad:
            moved = moved + (embeddings - snapshot.tasks.embeddings) @ snapshot.mixing.T
        return moved

    def _new_embedding(self) -> Tensor:
        return torch.randn(self.embedding_size)

    @torch.no_grad()
    def snapshot(self, tasks: Tensor, relative: bool = False) -> LowRankSnapshot:
        return replace(self._copied(tasks, relative), mixing=self.mixing.clone())
