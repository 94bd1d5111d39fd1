"""All kernels of a network as products of matrices whose rows lie below one another, layer by layer."""

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from clhyper.hypernetworks.rows import Gather, squared_product

_TILE = 256
"""rows of a tile in sums of squares: less padding than whole layers side by side, and more to do at the same time"""


class KernelLayers(nn.Module):
    """Kernels of L layers, each a product of its rows in `left` and its rows in `right`, few products for all of them.

    A kernel (C, in, ...) is a matrix (C, n), n = in * ...; `left` has C rows a layer, `right` has n. Layers are in the
    order of their C, which `names` has.

    Args:
        shapes: Of the kernels, by name.

    Attributes:
        widths: C of each layer.
        sizes: n of each layer.
        places, rows: Where each layer's rows are, in left and in right.
        owner_of_place, owner_of_row: (sum of C, L) and (sum of n, L), 1 where a row is the layer's, else 0.
        channels: (L, 1), C of each layer.
    """

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        super().__init__()
        self.names = sorted(shapes, key=lambda name: shapes[name][0])
        self._shapes = [shapes[name] for name in self.names]
        self.widths = [shape[0] for shape in self._shapes]
        self.sizes = [shape[1:].numel() for shape in self._shapes]
        self.places = torch.arange(sum(self.widths)).split(self.widths)
        self.rows = torch.arange(sum(self.sizes)).split(self.sizes)
        self._groups = sorted(Counter(self.widths).items())  # of layers with equally many channels: that, and how many
        largest = {w: max(s for s, its in zip(self.sizes, self.widths, strict=True) if its == w) for w in self.widths}
        self._group_rows = [count * largest[width] for width, count in self._groups]
        channels_last = [
            rows.view(shape[1:]).movedim(0, -1).flatten() for rows, shape in zip(self.rows, self._shapes, strict=True)
        ]
        self._to_kernels = Gather(channels_last, [largest[width] for width in self.widths])
        tiles = [tile for rows in self.rows for tile in rows.split(_TILE)]
        self._to_tiles = Gather(tiles, [min(_TILE, max(self.sizes, default=0))] * len(tiles))
        self._to_layers = Gather(self.places, [max(self.widths, default=0)] * len(self.names))
        counts = torch.tensor(self.widths, dtype=torch.get_default_dtype())
        of_row = torch.repeat_interleave(torch.tensor(self.sizes, dtype=torch.long))
        layers = torch.arange(len(self.names))
        of_place = torch.repeat_interleave(torch.tensor(self.widths, dtype=torch.long))
        self.owner_of_row: Tensor
        self.owner_of_place: Tensor
        self.channels: Tensor
        self._owner_of_tile: Tensor
        self.register_buffer("owner_of_row", (of_row[:, None] == layers).to(counts), persistent=False)
        self.register_buffer("owner_of_place", (of_place[:, None] == layers).to(counts), persistent=False)
        self.register_buffer("channels", counts[:, None], persistent=False)
        of_tile = of_row[[int(tile[0]) for tile in tiles]]
        self.register_buffer("_owner_of_tile", (layers[:, None] == of_tile).to(counts), persistent=False)

    def products(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        """left (sum of C, width) times right (sum of n, width), layer by layer: kernels, channels last in memory."""
        rows = self._to_kernels(right)
        lefts = left.split([width * count for width, count in self._groups])
        made: list[Tensor] = []
        for (width, count), its_left, its_rows in zip(self._groups, lefts, rows.split(self._group_rows), strict=True):
            its_right = its_rows.view(count, -1, rows.shape[1])
            made.extend(torch.bmm(its_left.view(count, width, -1), its_right.mT).unbind())
        return {name: self._kernel(place, made[place]) for place, name in enumerate(self.names)}

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """(sum of C * n,), the kernels one after another, each with its channels last: kernels by name."""
        numbers = [width * size for width, size in zip(self.widths, self.sizes, strict=True)]
        parts = flat.split(numbers)
        return {n: self._kernel(place, parts[place].view(self.widths[place], -1)) for place, n in enumerate(self.names)}

    def _kernel(self, place: int, matrix: Tensor) -> Tensor:
        channels, inputs, *window = self._shapes[place]
        return matrix[:, : self.sizes[place]].contiguous().view(channels, *window, inputs).movedim(-1, 1)

    def by_layer(self, left: Tensor) -> Tensor:
        """(sum of C, width) to (L, largest C, width), filled with zeros."""
        return self._to_layers(left).view(len(self.names), -1, left.shape[1])

    @property
    def real(self) -> Tensor:
        """(L, largest C, 1): 1 where `by_layer` has a row, 0 where it has filled."""
        return self._to_layers.real.view(len(self.names), -1, 1)

    def sum_of_squares(
        self, left: Tensor, right: Tensor, among: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Sum over layers of |left right^T|^2, without building the products; see `squared_product`.

        Args:
            left: (L, largest C, width), as `by_layer` makes them.
            right: (sum of n, width).
            among: (L, width, width), see `squared_product`.
            weights: (L,), what each layer's squares are multiplied by; without them, 1.
        """
        if weights is not None:
            left = left * weights.sqrt()[:, None, None]
        tiles = self._to_tiles(right).view(self._owner_of_tile.shape[1], -1, right.shape[1])
        return squared_product(left, tiles, self._owner_of_tile, among)
