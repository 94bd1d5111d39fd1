"""A small T5 trained from nothing by span corruption on raw text, where no pretrained one can be had.

Source: Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 2020:
15 % of the tokens are left out in spans of 3 on average, each replaced by a sentinel; the answer has what was left out.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from clhyper.engine.seeds import seeded
from clhyper.errors import require
from clhyper.text.batches import batch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, T5ForConditionalGeneration

DENSITY, SPAN = 0.15, 3.0


def corrupt(
    ids: Sequence[int], sentinels: Sequence[int], end: int, draws: torch.Generator
) -> tuple[list[int], list[int]]:
    """Source and target of tokens (at least 2, or there is nothing to leave out), each with its end.

    Lengths of spans, and of what lies between them, are drawn alike among all with the same sum; text comes first.
    """
    noise = min(max(round(len(ids) * DENSITY), 1), len(ids) - 1)
    spans = min(max(round(noise / SPAN), 1), len(sentinels), noise, len(ids) - noise)
    left_out, kept = _segments(noise, spans, draws), _segments(len(ids) - noise, spans, draws)
    source: list[int] = []
    target: list[int] = []
    place = 0
    for sentinel, keep, leave in zip(sentinels, kept, left_out, strict=False):
        source += [*ids[place : place + keep], sentinel]
        target += [sentinel, *ids[place + keep : place + keep + leave]]
        place += keep + leave
    return [*source, end], [*target, end]


def _segments(total: int, count: int, draws: torch.Generator) -> list[int]:
    """`count` lengths of at least 1 with this sum."""
    cuts = sorted((torch.randperm(total - 1, generator=draws)[: count - 1] + 1).tolist())
    return [last - first for first, last in zip([0, *cuts], [*cuts, total], strict=True)]


def pretrained_t5(
    lines: Iterable[str],
    tokenizer: "PreTrainedTokenizerBase",
    sentinels: Sequence[int],
    *,
    width: int = 256,
    layers: int = 4,
    heads: int = 4,
    window: int = 128,
    steps: int = 10_000,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
) -> tuple["T5ForConditionalGeneration", list[float]]:
    """A T5 of these sizes and the loss of each step; Adam, after a warm-up over a tenth of the steps a constant rate.

    Args:
        lines: Raw text; lines are joined and cut into windows of `window` tokens.
        tokenizer, sentinels: Of the T5; see `clhyper.text.sentinels`.

    Raises:
        UserError: text that doesn't fill a window, or a width that the heads don't divide.
    """
    require(width % heads == 0, f"width {width}: a multiple of heads {heads}")
    from transformers import T5Config, T5ForConditionalGeneration

    given: Any = tokenizer(list(lines), add_special_tokens=False)
    ids = [token for line in given["input_ids"] for token in line]
    require(len(ids) >= window, f"the text has {len(ids)} tokens, at least {window} (a window) are needed")
    windows = torch.tensor(ids[: len(ids) // window * window]).view(-1, window)
    sizes = {"d_model": width, "d_kv": width // heads, "d_ff": 4 * width, "num_layers": layers, "num_heads": heads}
    config = T5Config(vocab_size=len(tokenizer), decoder_start_token_id=tokenizer.pad_token_id, **sizes)
    with seeded(seed, 0):
        model: Any = T5ForConditionalGeneration(config).to(device).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
        draws = torch.Generator().manual_seed(seed)
        losses: list[float] = []
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = learning_rate * min(1.0, (step + 1) / max(1, steps // 10))
            chosen = windows[torch.randint(len(windows), (batch_size,), generator=draws)].tolist()
            pairs = [corrupt(row, sentinels, tokenizer.eos_token_id, draws) for row in chosen]
            sources, targets = zip(*pairs, strict=True)
            optimizer.zero_grad()
            loss = model(**batch(sources, targets, tokenizer.pad_token_id, device)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
    return model.eval(), losses
