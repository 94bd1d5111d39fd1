"""The chunked generator (von Oswald, Henning, Grewe and Sacramento, ICLR 2020).

All of the back's tensors, flattened and put one after another, are cut into chunks of equal size. Chunk k of task t is
MLP([e_t ; c_k]): e_t, an embedding a task, is learned with the task, the chunk embeddings c_k are shared by all tasks.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from clhyper.hypernetworks.base import Hypernetwork, Weights

_VECTOR_DEVIATION = 0.05
_TASKS_TO_SCALE_BY = 8


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
        self.embeddings = nn.ParameterList()
        self.starts: Tensor
        self.scales: Tensor
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
        self.register_buffer("_sizes", torch.tensor(self.sizes), persistent=False)

    def _flat(self, e: Tensor) -> Tensor:
        """Chunks put together and cropped, not yet scaled: (T, E) to (T, n)."""
        tasks, chunks = len(e), len(self.chunks)
        pairs = torch.cat([e[:, None].expand(-1, chunks, -1), self.chunks.expand(tasks, -1, -1)], dim=2)
        return self.mlp(pairs).flatten(1)[:, : self.numbers]

    def _of_each_number(self, of_each_tensor: Tensor) -> Tensor:
        sizes: Any = self._sizes
        return of_each_tensor.repeat_interleave(sizes, output_size=self.numbers)

    @property
    def tasks(self) -> int:
        return len(self.embeddings)

    def add_task(self, copy_of: int | None = None) -> int:
        e = torch.randn(self.embedding_size) if copy_of is None else self.embeddings[copy_of].detach().clone()
        self.embeddings.append(nn.Parameter(e.to(self.chunks)))
        return self.tasks - 1

    def task_parameters(self, task: int) -> list[nn.Parameter]:
        return [self.embeddings[task]]

    def forward(self, tasks: Tensor) -> Weights:
        flat = self._flat(torch.stack([self.embeddings[task] for task in tasks.tolist()]))
        weights = torch.addcmul(self._of_each_number(self.starts), flat, self._of_each_number(self.scales))
        parts = weights.split(self.sizes, dim=1)
        return {name: part.view(-1, *shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}
