"""The additive generator, as published for partial hypernetworks (Hemati et al., CoLLAs 2023).

A task embedding e_t passes through a small MLP to h_t. Output channel c of a layer has a learned u_c, and its kernel is
w_{t,c} = L [h_t ; u_c] + b, one linear map L a layer: the part that depends on the task, L_h h_t, is added to the part
that depends on the channel, L_u u_c + b. So the drift has a closed form that never builds a kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clhyper.backbones.head_stack import room_for
from clhyper.hypernetworks.base import CAPACITY, CLASSIFIER, TaskSet, Weights
from clhyper.hypernetworks.layers import KernelLayers
from clhyper.hypernetworks.rows import squared_product
from clhyper.hypernetworks.table import TabledHypernetwork


class LayerGenerator(NamedTuple):
    """What generates one layer: w_{t,c} = `weight` [h_t ; u_c] + `bias`.

    `channels`: u, (C, channel embedding). `weight`: L, (n, hidden + channel embedding). `bias`: b, (n,). The classifier
    is one channel with an empty u.
    """

    channels: Tensor
    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class AdditiveSnapshot:
    """A copy of what generated the earlier tasks' weights; but for the table it grows with tasks in large steps only.

    `tasks`: see `TaskSet`. `features`: [h_t ; 1], (capacity, hidden + 1), zero in the padding. `table`: (T, vectors).
    `roots`: square roots of how much a row of the generated matrices counts, (N + classifier's size, 1).
    `weighting`: see `Hypernetwork.weighting`. The others are the generator's parameters of these names.
    """

    tasks: TaskSet
    features: Tensor
    table: Tensor
    roots: Tensor
    weighting: Tensor | None
    channels: Tensor
    channel_matrix: Tensor
    task_matrix: Tensor
    bias: Tensor


class AdditiveHypernetwork(TabledHypernetwork):
    """Additive generator over the back's convolutions, linear layers, classifier and vectors.

    Vectors (scale and shift of norms, biases) are a learned table with one row a task: scales 1 and the rest 0 at each
    start. Kernels start at the scale of the back's own, that is of ordinary layers.

    The parameters of all layers lie below one another, the layers in the order of their numbers of output channels, C,
    and the classifier last: `channels`, u (sum of C, channel embedding); `channel_matrix`, L_u (N, channel embedding),
    N the sum of kernels' sizes; `task_matrix`, L_h (N + classifier's size, hidden); `bias`, b. `layer` shows one layer.

    Args:
        back: See `Hypernetwork`. The tensor named `classifier.weight`, if there is one, is the classifier.
        embedding: Size of a task embedding e_t.
        hidden: Sizes of the MLP's two layers; the last one is the size of h_t.
        channel_embedding: Size of a channel embedding u_c.
    """

    def __init__(
        self,
        back: nn.Module,
        embedding: int = 32,
        hidden: tuple[int, int] = (50, 32),
        channel_embedding: int = 32,
    ) -> None:
        super().__init__(back, classifier=False)
        self.embedding_size = embedding
        self.mlp = nn.Sequential(nn.Linear(embedding, hidden[0]), nn.ReLU(), nn.Linear(hidden[0], hidden[1]), nn.ReLU())
        self.vector_names = self.row_names
        self.layers = KernelLayers(self.kernels)
        self.kernel_names = self.layers.names
        self._draw(back, list(self.kernels), hidden[1], channel_embedding)
        rest = len(self.bias) - len(self.channel_matrix)
        channels_of_row = F.pad((self.layers.owner_of_row @ self.layers.channels)[:, 0], (0, rest), value=1.0)
        self._channels_of_row: Tensor
        self.register_buffer("_channels_of_row", channels_of_row[:, None], persistent=False)

    @torch.no_grad()
    def _draw(self, back: nn.Module, names: list[str], hidden: int, channel_embedding: int) -> None:
        """Draws the generator layer by layer, at the scale of the back's own layers, and puts it together."""
        ordinary = dict(back.named_parameters())
        drawn = {}
        for name in names:
            channels, size = torch.randn(self.shapes[name][0], channel_embedding), self.shapes[name][1:].numel()
            drawn[name] = channels, nn.Linear(hidden + channel_embedding, size).weight
        classifier = torch.empty(0, hidden)
        if CLASSIFIER in self.shapes:
            classifier = nn.Linear(hidden, self.shapes[CLASSIFIER].numel()).weight
        h = self.mlp(torch.randn(1, self.embedding_size))
        for name, (channels, weight) in drawn.items():
            kernels = h @ weight[:, :hidden].T + channels @ weight[:, hidden:].T
            weight.mul_(ordinary[name].std() / kernels.std())
        if len(classifier) and (spread := (h @ classifier.T).std()) > 0:  # a narrow MLP may give h = 0: no scale
            classifier.mul_(ordinary[CLASSIFIER].std() / spread)
        nothing = torch.empty(0, channel_embedding), torch.empty(0, hidden + channel_embedding)
        in_order = [nothing, *(drawn[name] for name in self.kernel_names)]
        channels, weight = (torch.cat(parts) for parts in zip(*in_order, strict=True))
        self.channels = nn.Parameter(channels)
        self.channel_matrix = nn.Parameter(weight[:, hidden:].clone())
        self.task_matrix = nn.Parameter(torch.cat([weight[:, :hidden], classifier]))
        self.bias = nn.Parameter(torch.zeros(len(self.task_matrix)))

    def layer(self, name: str) -> LayerGenerator:
        """The parameters that generate one kernel, or the classifier, in the order of its numbers."""
        if name == CLASSIFIER:
            first = len(self.channel_matrix)
            return LayerGenerator(self.channels.new_empty(1, 0), self.task_matrix[first:], self.bias[first:])
        place = self.kernel_names.index(name)
        rows, places = self.layers.rows[place], self.layers.places[place]
        weight = torch.cat([self.task_matrix[rows], self.channel_matrix[rows]], dim=1)
        return LayerGenerator(self.channels[places], weight, self.bias[rows])

    def add_task(self, copy_of: int | None = None) -> int:
        like = next(self.mlp.parameters())
        e = torch.randn(self.embedding_size) if copy_of is None else self.embeddings[copy_of].detach().clone()
        self.embeddings.append(nn.Parameter(e.to(like)))
        self.add_row(like)
        return self.tasks - 1

    def _new_row(self) -> Tensor:
        return self._first_row()

    @property
    def parts(self) -> list[list[str]]:
        names = [*self.kernel_names, *([CLASSIFIER] if CLASSIFIER in self.shapes else [])]
        return [*([name] for name in names), *super().parts[len(self.kernels) :]]

    def weights(self, own: Sequence[Tensor]) -> Weights:
        """See `Hypernetwork.weights`. Kernels of convolutions are in channels-last memory format."""
        embedding, row = own
        h, rows = self.mlp(embedding[None]), len(self.channel_matrix)
        task_part, classifier = F.linear(h, self.task_matrix, self.bias).split([rows, len(self.bias) - rows], dim=1)
        weights = self._kernels(task_part) if rows else {}
        if CLASSIFIER in self.shapes:
            weights[CLASSIFIER] = classifier.view(self.shapes[CLASSIFIER])
        return weights | self.in_row(row)

    def _kernels(self, task_part: Tensor) -> Weights:
        """Kernels from L_h h_t + b (1, N): [u_c ; 1] times [L_u ; that]."""
        rows = torch.cat([self.channel_matrix, task_part.T], dim=1)
        return self.layers.products(F.pad(self.channels, (0, 1), value=1.0), rows)

    @torch.no_grad()
    def snapshot(self, tasks: Tensor, relative: bool = False) -> AdditiveSnapshot:
        chosen = TaskSet.of(self, tasks, room_for(len(tasks), CAPACITY))
        weighting = self.weighting(tasks) if relative else None
        return AdditiveSnapshot(
            tasks=chosen,
            features=torch.cat([self.mlp(chosen.embeddings), chosen.real], dim=1) * chosen.real,
            table=self.rows(chosen.numbers),
            roots=self._counted(weighting).sqrt(),
            weighting=weighting,
            channels=self.channels.clone(),
            channel_matrix=self.channel_matrix.clone(),
            task_matrix=self.task_matrix.clone(),
            bias=self.bias.clone(),
        )

    def _counted(self, weighting: Tensor | None) -> Tensor:
        """How much each row of the generated matrices counts: its layer's channels, times the layer's weight."""
        if weighting is None:
            return self._channels_of_row
        kernels, rest = len(self.kernel_names), len(self.bias) - len(self.channel_matrix)
        of_rows = self.layers.owner_of_row @ weighting[:kernels]
        return self._channels_of_row * torch.cat([of_rows, weighting[kernels : kernels + 1].expand(rest)])[:, None]

    def drift(self, snapshot: AdditiveSnapshot, tasks: Tensor | None = None) -> Tensor:
        """Closed form of the drift; its cost doesn't depend on the number of tasks, up to the padding's capacity.

        A kernel has moved by a_t + m_c, with a_t = L_h h_t - L_h' h_t' and m_c = (L_u u_c + b) - (L_u' u_c' + b'). With
        the mean m of the m_c, the sum over t and c of its square is C sum |a_t + m|^2 + T sum |m_c - m|^2, since the
        m_c - m sum to 0. Both are squares of products, a_t + m = [L_h, L_h - L_h', m] [h_t - h_t' ; h_t' ; 1] and
        m_c - m = [L_u, L_u - L_u'] ([u_c - u_c' ; u_c'] - their mean), which `squared_product` takes without building
        them. Every product has a factor that is a difference from the snapshot: the drift is 0 at the snapshot and as
        exact near it as far from it. Its error is relative to |a_t|^2 + |m|^2: where these two cancel, it is exact only
        in comparison with what they are, and it may be negative by as much.
        """
        before, embeddings, real = snapshot.features, snapshot.tasks.now(self), snapshot.tasks.real
        count: Tensor | int = snapshot.tasks.count
        if tasks is not None:
            count, tasks = len(tasks), tasks.to(real.device)
            before, embeddings, real = (rows[tasks] for rows in (before, embeddings, real))
        of_tasks = torch.cat([self.mlp(embeddings) * real - before[:, :-1], before], dim=1)
        mean, among_channels = self._channel_drift(snapshot)
        mean = mean + (self.bias - snapshot.bias)
        of_rows = torch.cat([self.task_matrix, self.task_matrix - snapshot.task_matrix, mean[:, None]], dim=1)
        drift = squared_product(of_tasks, of_rows * snapshot.roots) + count * among_channels
        return drift + self.rows_moved(snapshot.tasks.numbers, snapshot.table, tasks, snapshot.weighting)

    def _channel_drift(self, before: AdditiveSnapshot) -> tuple[Tensor, Tensor]:
        """Without biases: a layer's mean over channels of m_c, for all (N + classifier's size,), and the sum of squares
        around it."""
        rest = len(self.bias) - len(self.channel_matrix)
        if not self.kernel_names:
            return self.bias.new_zeros(rest), self.bias.new_zeros(())
        matrix = torch.cat([self.channel_matrix, self.channel_matrix - before.channel_matrix], dim=1)
        channels = torch.cat([self.channels - before.channels, before.channels], dim=1)
        x = self.layers.by_layer(channels)
        mean = x.sum(dim=1) / self.layers.channels
        weights = None if before.weighting is None else before.weighting[: len(self.kernel_names)]
        around = self.layers.sum_of_squares((x - mean[:, None]) * self.layers.real, matrix, weights=weights)
        return F.pad(((matrix @ mean.T) * self.layers.owner_of_row).sum(dim=1), (0, rest)), around
