"""What strategies with a buffer of stored examples share."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from clhyper.data.buffer import BalancedBuffer
from clhyper.engine.strategy import Strategy


class Buffered(Strategy):
    """A strategy whose `buffer` is part of its state and of what must be kept."""

    buffer: BalancedBuffer

    def state(self) -> dict[str, Any]:
        return {**super().state(), "buffer": self.buffer.state()}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.buffer.restore(state["buffer"], self.device)

    def kept_tensors(self) -> Iterable[Tensor]:
        """The model, and the stored examples with their labels and tasks."""
        return [*super().kept_tensors(), self.buffer.x, self.buffer.y, self.buffer.tasks]
