"""The chunked generator (von Oswald, Henning, Grewe and Sacramento, ICLR 2020).

All of the back's tensors, flattened and put one after another, are cut into chunks of equal size. Chunk k of task t is
MLP([e_t ; c_k]): e_t, an embedding a task, is learned with the task, the chunk embeddings c_k are shared by all tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from clhyper.hypernetworks.base import Hypernetwork, TaskSet, Weights

_VECTOR_DEVIATION = 0.05
_TASKS_TO_SCALE_BY = 8


@dataclass(frozen=True)
class ChunkedSnapshot:
    """What was generated for `tasks`, see `TaskSet`: `flat`, their numbers not yet scaled, (capacity, n).

    `scales`: what a difference from each number is multiplied by, (n,).
    """

    tasks: TaskSet
    flat: Tensor
    scales: Tensor


class ChunkedHypernetwork(Hypernetwork):
    """One MLP over [task embedding ; chunk embedding], the same for every chunk.

    For n numbers in the back, in K = ceil(n / s) chunks of s, the last one cropped, T tasks, embeddings of E and C
    numbers and hidden layers of h_1, ..., h_m it has

        (E + C) h_1 + h_1 + sum over i of (h_i h_{i+1} + h_{i+1}) + h_m s + s + K C + T E

    parameters. Each tensor is scaled, by a number that isn't trained, so that it starts at the scale of the back's own
    wherever the cuts between chunks are (ours, in place of the layerwise initialisation of Chang et al., ICLR 2020,
    which can't be had where layers share a chunk). Norms' scales start around 1, shifts and biases around 0, with a
    deviation of 0.05 (ours).

    Args:
        back: See `Hypernetwork`.
        embedding: Size E of a task embedding.
        chunk_size: Numbers s in a chunk.
        chunk_embedding: Size C of a chunk embedding.
        chunk_hidden: Sizes of the MLP's hidden layers.
    """

    def __init__(
        self,
        back: nn.Module,
        embedding: int = 32,
        chunk_size: int = 500,
        chunk_embedding: int = 32,
        chunk_hidden: tuple[int, ...] = (100, 100),
    ) -> None:
        super().__init__(back)
        self.embedding_size = embedding
        self.sizes = [shape.numel() for shape in self.shapes.values()]
        self.numbers = sum(self.sizes)
        widths = [embedding + chunk_embedding, *chunk_hidden]
        layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.mlp = nn.Sequential(*layers, nn.Linear(widths[-1], chunk_size))
        nn.init.zeros_(self.mlp[-1].bias)  # type: ignore[arg-type]
        self.chunks = nn.Parameter(torch.randn(-(-self.numbers // chunk_size), chunk_embedding))
        self.starts: Tensor
        self.scales: Tensor
        self._starts: Tensor
        self._scales: Tensor
        self._start_at_scale_of(back)

    def _start_at_scale_of(self, back: nn.Module) -> None:
        """Sets what is added to each tensor, and what it is multiplied by, (tensors,)."""
        scales = []
        with torch.no_grad():
            flat = self._flat(torch.randn(_TASKS_TO_SCALE_BY, self.embedding_size))
            for ordinary, generated in zip(back.parameters(), flat.split(self.sizes, dim=1), strict=True):
                wanted = ordinary.std() if ordinary.ndim > 1 else torch.tensor(_VECTOR_DEVIATION)
                spread = (generated if ordinary.ndim > 1 else flat).square().mean().sqrt()
                scales.append(wanted / spread if spread > 0 else wanted)  # a narrow MLP may give 0 throughout
        ones = [float(len(shape) == 1 and name.endswith("weight")) for name, shape in self.shapes.items()]
        self.register_buffer("starts", torch.tensor(ones))
        self.register_buffer("scales", torch.stack(scales))
        self._spread()
        self.register_load_state_dict_post_hook(_spread)

    def _spread(self) -> None:
        """Sets what is added to each number, and what it is multiplied by, (n,)."""
        for name in ("starts", "scales"):
            of_tensors: Tensor = getattr(self, name)
            sizes = torch.tensor(self.sizes, device=of_tensors.device)
            self.register_buffer(f"_{name}", of_tensors.repeat_interleave(sizes), persistent=False)

    def _flat(self, e: Tensor) -> Tensor:
        """Chunks put together and cropped, not yet scaled: (T, E) to (T, n)."""
        first: Any = self.mlp[0]
        of_task, of_chunk = first.weight.split([self.embedding_size, self.chunks.shape[1]], dim=1)
        hidden = (e @ of_task.T)[:, None] + torch.addmm(first.bias, self.chunks, of_chunk.T)
        return self.mlp[1:](hidden).flatten(1)[:, : self.numbers]

    def add_task(self, copy_of: int | None = None) -> int:
        e = torch.randn(self.embedding_size) if copy_of is None else self.embeddings[copy_of].detach().clone()
        self.embeddings.append(nn.Parameter(e.to(self.chunks)))
        return self.tasks - 1

    def weights(self, own: Sequence[Tensor]) -> Weights:
        (embedding,) = own
        flat = self._flat(embedding[None])[0]
        parts = torch.addcmul(self._starts, flat, self._scales).split(self.sizes)
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    @torch.no_grad()
    def snapshot(self, tasks: Tensor, relative: bool = False) -> ChunkedSnapshot:
        chosen, scales = TaskSet.of(self, tasks, _capacity(len(tasks))), self._scales
        if relative:
            sizes = torch.tensor(self.sizes, device=scales.device)
            scales = scales * self.weighting(tasks).sqrt().repeat_interleave(sizes)
        return ChunkedSnapshot(chosen, self._flat(chosen.embeddings).clone(), scales)

    def drift(self, snapshot: ChunkedSnapshot, tasks: Tensor | None = None) -> Tensor:
        """See `Hypernetwork.drift`.

        Beside what a step costs whatever the number of tasks, it costs the more the more there are: the MLP isn't
        linear in [e_t ; c_k], so the chunks of each task have to be generated to be compared.
        """
        embeddings, flat, real = snapshot.tasks.now(self), snapshot.flat, snapshot.tasks.real
        if tasks is not None:
            tasks = tasks.to(real.device)
            embeddings, flat, real = embeddings[tasks], flat[tasks], real[tasks]
        moved = (self._flat(embeddings) - flat) * snapshot.scales
        return (moved.square().sum(dim=1) * real[:, 0]).sum()


def _spread(hypernetwork: ChunkedHypernetwork, keys: Any) -> None:
    del keys
    hypernetwork._spread()


def _capacity(tasks: int) -> int:
    """The next power of two, or one and a half times one."""
    power = 1 << (tasks - 1).bit_length()
    return power * 3 // 4 if power > 2 and tasks <= power * 3 // 4 else power
