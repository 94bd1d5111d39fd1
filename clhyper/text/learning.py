"""HyperLoader learns sequence-labelling tasks: all together, as published, or one after another (ours)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from clhyper.engine.seeds import seeded
from clhyper.errors import RunError, require
from clhyper.text.batches import batch
from clhyper.text.hyperloader import HyperLoader
from clhyper.text.labels import Sentence, TaggedSet
from clhyper.text.scores import span_f1, token_accuracy
from clhyper.text.sentinels import Piece, SentinelFormat

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How it learns; batch, rate and temperature as published."""

    batch_size: int = 32
    learning_rate: float = 3e-4
    temperature: float = 10.0
    """together, tasks come in proportion to their size to the power 1 / temperature"""
    beta: float = 0.1
    """one after another: weight of the drift of earlier tasks' generated tensors, averaged over these tasks (ours)"""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "learning_rate", "temperature"):
            require(getattr(self, name) > 0, f"{name} {getattr(self, name)}: more than 0")
        require(self.beta >= 0, f"beta {self.beta}: at least 0")


class Labeller:
    """A HyperLoader with its tasks, numbered as they are added.

    Together, the loss is the cross-entropy of one task's batch, drawn anew each step. One after another, the drift of
    what is generated for earlier tasks joins it; their embeddings are frozen, and the T5's norms after the first task.
    """

    def __init__(
        self, model: HyperLoader, tokenizer: "PreTrainedTokenizerBase", settings: Settings | None = None
    ) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings or Settings()
        self.tasks: list[TaggedSet] = []
        self._formats: list[SentinelFormat] = []
        self._pieces: list[list[Piece]] = []

    def add(self, task: TaggedSet) -> int:
        """Makes room for a task; raises `UserError` where the tokenizer can't write its labels."""
        form = SentinelFormat(self.tokenizer, task.labels, task.kind)
        self._pieces.append(form.pieces(task.train))
        self._formats.append(form)
        self.tasks.append(task)
        with seeded(self.settings.seed, len(self.tasks)):
            return self.model.add_task()

    def shares(self) -> Tensor:
        """How often each task comes when all are learned together: (tasks,), with sum 1."""
        sizes = torch.tensor([len(task.train) for task in self.tasks], dtype=torch.float64)
        return (sizes ** (1 / self.settings.temperature)) / (sizes ** (1 / self.settings.temperature)).sum()

    def learn_together(self, steps: int) -> list[float]:
        """Trains all tasks; gives the loss of each step. Raises `RunError` if training diverges."""
        self.model.focus(None)
        draws = torch.Generator().manual_seed(self.settings.seed)
        turns = torch.multinomial(self.shares(), steps, replacement=True, generator=draws).tolist()
        return self._train(turns, draws)

    def learn(self, task: int, steps: int) -> list[float]:
        """Trains the next task of a stream; gives the loss of each step. Raises `RunError` if training diverges."""
        if task:
            self.model.freeze_norms()
        self.model.focus(task)
        draws = torch.Generator().manual_seed(self.settings.seed + task)
        return self._train([task] * steps, draws, earlier=task)

    def _train(self, turns: Sequence[int], draws: torch.Generator, earlier: int = 0) -> list[float]:
        settings, hypernetwork = self.settings, self.model.hypernetwork
        drifting = earlier > 0 and settings.beta > 0
        snapshot = hypernetwork.snapshot(torch.arange(earlier)) if drifting else None
        optimizer = torch.optim.Adam(self.model.trained_parameters(), lr=settings.learning_rate)
        losses: list[float] = []
        self.model.train()
        with seeded(settings.seed, earlier):  # dropout
            for step, task in enumerate(turns):
                pieces = self._pieces[task]
                rows = torch.randint(len(pieces), (settings.batch_size,), generator=draws).tolist()
                optimizer.zero_grad()
                loss = self.model(task, **self._batch([pieces[row] for row in rows], answers=True)).loss
                if snapshot is not None:
                    loss = loss + settings.beta / earlier * hypernetwork.drift(snapshot)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                if losses[-1] != losses[-1]:
                    raise RunError(f"training diverged in step {step + 1}: a smaller learning rate may help")
        self.model.eval()
        return losses

    def label(self, task: int, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """A label for each word of each sentence, in the task's kind of labels."""
        form = self._formats[task]
        blank = "O" if form.kind == "spans" else form.labels[0]
        pieces = form.pieces([Sentence(tuple(words), (blank,) * len(words)) for words in sentences])
        answers: list[list[int]] = []
        self.model.eval()
        size = 4 * self.settings.batch_size
        longest = max(len(ids) for ids in form._label_of) + 1
        with torch.no_grad(), self.model.serving(task) as t5:
            for first in range(0, len(pieces), size):
                rows = pieces[first : first + size]
                most = longest * max(piece.words for piece in rows) + 1
                written: Any = t5.generate(**self._batch(rows), max_new_tokens=most, do_sample=False, num_beams=1)
                answers += written.tolist()
        return form.read(pieces, answers)

    def score(self, task: int) -> float:
        """Micro-F1 of spans, or accuracy of tags, on the task's test sentences: a fraction of 1."""
        measure = span_f1 if self.tasks[task].kind == "spans" else token_accuracy
        test = self.tasks[task].test
        return measure([sentence.labels for sentence in test], self.label(task, [sentence.words for sentence in test]))

    def _batch(self, pieces: Sequence[Piece], answers: bool = False) -> dict[str, Tensor]:
        targets = [piece.target for piece in pieces] if answers else None
        device = next(self.model.parameters()).device
        return batch([piece.source for piece in pieces], targets, self.tokenizer.pad_token_id, device)
