"""Token ids of different lengths as one batch for a T5."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""what transformers leaves out of the loss"""


def batch(
    sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]] | None, pad: int, device: Any
) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask` (batch, longest), and with `targets` their `labels`, for transformers' T5."""
    ids = _padded(sources, pad)
    mask = _padded([[1] * len(source) for source in sources], 0)
    made = {"input_ids": ids, "attention_mask": mask}
    if targets is not None:
        made["labels"] = _padded(targets, IGNORED)
    return {name: tensor.to(device) for name, tensor in made.items()}


def _padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])
