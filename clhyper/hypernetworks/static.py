"""The static generator of tiles (Ha, Dai and Le, "HyperNetworks", 2016), with tiles of its own for each task (ours).

Each kernel is cut into tiles of 16 outputs by 16 inputs. Tile j of task t has an embedding z_{t,j}, and its slice for
input i is

    K_i = W_out (W_i z_{t,j} + B_i) + B_out,    i = 1..16,

with W and B shared by all tiles of all layers and tasks whose kernels have the same window (3x3, 1x1).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clhyper.backbones.head_stack import room_for
from clhyper.hypernetworks.base import CAPACITY, Weights
from clhyper.hypernetworks.table import TabledHypernetwork

SIDE = 16
"""inputs and outputs of a tile"""


class TileGenerator(nn.Module):
    """Tiles of one window from their embeddings: 16 W_i, of (hidden, embedding), their B_i, and W_out and B_out.

    16 (embedding hidden + hidden) + hidden 16 w + 16 w parameters, w numbers in a window. It starts so that embeddings
    drawn from N(0, 1) give numbers of about that deviation.
    """

    def __init__(self, window: int, embedding: int) -> None:
        super().__init__()
        self.window = window
        self.inner = nn.Parameter(torch.randn(SIDE, embedding, embedding) / embedding**0.5)
        self.inner_bias = nn.Parameter(torch.zeros(SIDE, embedding))
        self.outer = nn.Parameter(torch.randn(SIDE * window, embedding) / embedding**0.5)
        self.outer_bias = nn.Parameter(torch.zeros(SIDE * window))

    def map(self) -> Tensor:
        """The whole generator, which is linear in [z ; 1]: (inputs, outputs, window, embedding + 1)."""
        weight = self.outer @ self.inner
        bias = self.inner_bias @ self.outer.T + self.outer_bias
        return torch.cat([weight, bias[..., None]], dim=2).view(SIDE, SIDE, self.window, -1)


@dataclass(frozen=True)
class StaticSnapshot:
    """`numbers` of the tasks; `maps`, each window's `TileGenerator.map`; `embeddings`, (T, tiles, E); `table`, (T, M);
    `scales`, what a difference of each layer is multiplied by, (L,); `moments`: sum over tiles of [z ; 1] [z ; 1]^T, z
    and 1 scaled as their layer is, for each kind of tile: (T and zeros up to a capacity, kinds, E + 1, E + 1);
    `weighting`: see `Hypernetwork.weighting`."""

    numbers: list[int]
    maps: dict[str, Tensor]
    embeddings: Tensor
    table: Tensor
    scales: Tensor
    moments: Tensor
    weighting: Tensor | None


class StaticHypernetwork(TabledHypernetwork):
    """Kernels are put together from tiles and cropped where their channels are no multiples of 16 (ours).

    1x1 kernels have a generator of tiles of their own (ours), and so has every other window. Each layer's numbers are
    scaled to those of an ordinary one (ours). A task adds E numbers for each tile, and its row of the table.

    Args:
        back: See `Hypernetwork`.
        embedding: E, the size of a tile's embedding.
        ordinary: Names of tensors that all tasks share and nothing generates, as the first convolution in the paper;
            those that the back has not are left out.

    Attributes:
        ordinary: These tensors, which start as the back's own.
    """

    def __init__(self, back: nn.Module, embedding: int = 64, *, ordinary: Collection[str] = ()) -> None:
        super().__init__(back, apart=ordinary)
        self.embedding_size = embedding
        present = {name: parameter.detach() for name, parameter in back.named_parameters()}
        self.ordinary_names = [name for name in self.shapes if name in ordinary]
        self.ordinary = nn.ParameterList(present[name].clone() for name in self.ordinary_names)
        self._tiles = {name: (-(-shape[0] // SIDE), -(-shape[1] // SIDE)) for name, shape in self.kernels.items()}
        self._counts = [down * along for down, along in self._tiles.values()]
        self._windows = {name: str(shape[2:].numel()) for name, shape in self.kernels.items()}
        windows = dict.fromkeys(self._windows.values())
        self.generators = nn.ModuleDict({w: TileGenerator(int(w), embedding) for w in windows})
        deviations = torch.tensor(
            [float(present[name].std()) for name in self.kernels], dtype=torch.get_default_dtype()
        )
        self.deviations: Tensor
        self.register_buffer("deviations", deviations)
        kinds = {kind: None for name in self.kernels for kind in self._kinds(name)}
        self._all_kinds = list(kinds)  # window, and how many outputs and inputs of a tile are kept
        of_tile = [self._all_kinds.index(kind) for name in self.kernels for kind in self._kinds(name)]
        owners = torch.tensor(of_tile, dtype=torch.long)[:, None] == torch.arange(len(self._all_kinds))
        self._owners: Tensor
        self.register_buffer("_owners", owners.to(deviations), persistent=False)

    @property
    def tiles(self) -> int:
        """Tiles of one task, each of which has an embedding."""
        return sum(self._counts)

    @property
    def generated_parameters(self) -> int:
        return super().generated_parameters - sum(tensor.numel() for tensor in self.ordinary)

    def _kinds(self, name: str) -> list[tuple[str, int, int]]:
        """Window, outputs and inputs of each of a kernel's tiles."""
        channels, inputs = self.kernels[name][:2]
        down, along = self._tiles[name]
        kept = [[min(SIDE, total - i * SIDE) for i in range(n)] for total, n in ((channels, down), (inputs, along))]
        return [(self._windows[name], outputs, its) for outputs in kept[0] for its in kept[1]]

    def _maps(self) -> dict[str, Tensor]:
        """Each window's `TileGenerator.map`."""
        generators: dict[str, Any] = dict(self.generators.items())
        return {window: generator.map() for window, generator in generators.items()}

    def add_task(self, copy_of: int | None = None) -> int:
        like = self.deviations
        tiles = torch.randn(self.tiles, self.embedding_size)
        e = tiles if copy_of is None else self.embeddings[copy_of].detach().clone()
        self.embeddings.append(nn.Parameter(e.to(like)))
        self.add_row(like)
        return self.tasks - 1

    def weights(self, own: Sequence[Tensor]) -> Weights:
        (embedding, row), maps = own, self._maps()
        weights = {}
        embeddings = embedding.split(self._counts)
        for (name, shape), z, deviation in zip(self.kernels.items(), embeddings, self.deviations.unbind(), strict=True):
            linear = maps[self._windows[name]].flatten(0, 2)
            tiles = torch.addmm(linear[:, -1], z, linear[:, :-1].T) * deviation
            down, along = self._tiles[name]
            kernel = tiles.view(down, along, SIDE, SIDE, -1).permute(0, 3, 1, 2, 4)
            kernel = kernel.reshape(down * SIDE, along * SIDE, -1)[: shape[0], : shape[1]]
            weights[name] = kernel.reshape(shape)
        return weights | self.in_row(row) | dict(zip(self.ordinary_names, self.ordinary, strict=True))

    @torch.no_grad()
    def snapshot(self, tasks: Tensor, relative: bool = False) -> StaticSnapshot:
        numbers, scales = tasks.tolist(), self.deviations
        weighting = self.weighting(tasks) if relative else None
        if weighting is not None:
            scales = scales * weighting[: len(scales)].sqrt()
        embeddings = torch.stack([self.embeddings[number] for number in numbers])
        return StaticSnapshot(
            numbers,
            self._maps(),
            embeddings,
            self.rows(numbers),
            scales,
            self._moments(embeddings, scales),
            weighting,
        )

    def _moments(self, embeddings: Tensor, scales: Tensor) -> Tensor:
        """See `StaticSnapshot`."""
        scales = scales.repeat_interleave(torch.tensor(self._counts, dtype=torch.long, device=scales.device))
        z = torch.cat([embeddings, torch.ones_like(embeddings[..., :1])], dim=2) * scales[:, None]
        moments = [(z * its[:, None]).mT @ z for its in self._owners.T]
        if not moments:
            return z.new_zeros(len(z), 0)
        room = room_for(len(z), CAPACITY) - len(z)
        return F.pad(torch.stack(moments, dim=1), (0, 0, 0, 0, 0, 0, 0, room))

    def drift(self, snapshot: StaticSnapshot, tasks: Tensor | None = None) -> Tensor:
        """Closed form where earlier tasks' embeddings are frozen; its cost doesn't depend on the number of tasks.

        Tiles are linear in [z ; 1], so that the sum of their squares is <sum of [z ; 1] [z ; 1]^T, D^T D>, with D what
        the generator has moved by.
        """
        rows = self.rows_moved(snapshot.numbers, snapshot.table, tasks, snapshot.weighting)
        drift = self.deviations.new_zeros(()) + rows
        maps = self._maps()
        if any(self.embeddings[number].requires_grad for number in snapshot.numbers):
            return drift + self._tiles_moved(snapshot, maps, tasks)
        moments = (snapshot.moments if tasks is None else snapshot.moments[tasks.to(drift.device)]).sum(0)
        for (window, outputs, inputs), moment in zip(self._all_kinds, moments, strict=True):
            moved = (maps[window] - snapshot.maps[window])[:inputs, :outputs].flatten(0, 2)
            drift = drift + (moment * (moved.T @ moved)).sum()
        return drift

    def _tiles_moved(self, snapshot: StaticSnapshot, maps: dict[str, Tensor], tasks: Tensor | None) -> Tensor:
        """The drift of all kernels by its definition."""
        now = torch.stack([self.embeddings[number] for number in snapshot.numbers])
        chosen = slice(None) if tasks is None else tasks.to(now.device)
        total = now.new_zeros(())
        place = 0
        for name, count, scale in zip(self.kernels, self._counts, snapshot.scales.unbind(), strict=True):
            its = slice(place, place + count)
            place += count
            made = []
            for by, z in ((maps, now), (snapshot.maps, snapshot.embeddings)):
                linear = by[self._windows[name]]
                made.append(torch.einsum("ioke,tje->tjiok", linear[..., :-1], z[chosen, its]) + linear[..., -1])
            moved = (made[0] - made[1]) * scale
            for tile, (_, outputs, inputs) in enumerate(self._kinds(name)):
                total = total + moved[:, tile, :inputs, :outputs].square().sum()
        return total
