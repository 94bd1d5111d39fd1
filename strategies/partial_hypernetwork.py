"""Partial hypernetwork: freeze the first layers, let a hypernetwork generate the rest for each task.

Source: Hemati, Lomonaco, Bacciu and Borth, "Partial Hypernetworks for Continual Learning", CoLLAs 2023,
arXiv 2306.10724. The regulariser is von Oswald et al., "Continual learning with hypernetworks", ICLR 2020, and so is
the chunked generator.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import torch

from clhyper.backbones import Backbone, split
from clhyper.backbones.model import classes_by_task
from clhyper.engine import Strategy
from clhyper.errors import require
from clhyper.hypernetworks import GENERATORS
from clhyper.hypernetworks.model import GeneratedModel
from clhyper.options import DepthOptions, Norm, TrainingOptions

__all__ = ["PartialHypernetwork"]


@dataclass(frozen=True, kw_only=True)
class HypernetworkOptions(TrainingOptions):
    """Hyperparameters of a hypernetwork at any depth.

    An option whose metadata name a generator belongs to it: with another generator it can't be set.
    """

    norm: Norm = "instance"
    """normalisation of the generated back; batch keeps running statistics a task"""
    beta: float = 0.5
    """weight of the drift, averaged over earlier tasks"""
    lookahead: bool = True
    """take the drift where the step on the new task alone would lead, in place of where the weights are"""
    drift_tasks: int | None = None
    """number of earlier tasks, drawn each step, that the drift is averaged over; without it, all of them"""
    copy_embedding: bool = True
    """start a new task's embedding as a copy of the one before, in place of a random one"""
    generator: Literal["additive", "chunked"] = "additive"
    """what generates the weights: kernel by kernel (Hemati et al.), or chunk by chunk (von Oswald et al.)"""
    embedding: int = 32
    """size of a task's embedding"""
    hidden: tuple[int, int] = field(default=(50, 32), metadata={"generator": "additive"})
    """additive generator: sizes of the two layers that the embedding passes through"""
    channel_embedding: int = field(default=32, metadata={"generator": "additive"})
    """additive generator: size of an output channel's embedding"""
    chunk_size: int = field(default=500, metadata={"generator": "chunked"})
    """chunked generator: numbers in a chunk of the weights"""
    chunk_embedding: int = field(default=32, metadata={"generator": "chunked"})
    """chunked generator: size of a chunk's embedding"""
    chunk_hidden: tuple[int, ...] = field(default=(100, 100), metadata={"generator": "chunked"})
    """chunked generator: sizes of the hidden layers that both embeddings pass through"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta >= 0, f"beta {self.beta}: at least 0")
        require(self.drift_tasks is None or self.drift_tasks >= 1, f"drift_tasks {self.drift_tasks}: at least 1")
        for name in ("embedding", "channel_embedding", "chunk_size", "chunk_embedding"):
            require(getattr(self, name) >= 1, f"{name} {getattr(self, name)}: at least 1")
        require(min(self.hidden) >= 1, f"hidden {self.hidden}: two sizes of at least 1")
        require(min(self.chunk_hidden, default=1) >= 1, f"chunk_hidden {self.chunk_hidden}: sizes of at least 1")
        for item in fields(self):
            value, owner = getattr(self, item.name), item.metadata.get("generator", self.generator)
            require(
                owner == self.generator or value == item.default,
                f"{item.name} {value}: an option of the {owner} generator, and the generator is {self.generator};"
                " leave it out or change the generator",
            )

    def generator_options(self) -> dict[str, Any]:
        """Options of the chosen generator, by the names that its class gives them."""
        own = [item.name for item in fields(self) if item.metadata.get("generator") == self.generator]
        return {name: getattr(self, name) for name in ("embedding", *own)}


@dataclass(frozen=True, kw_only=True)
class Options(HypernetworkOptions, DepthOptions):
    """Hyperparameters of a partial hypernetwork."""


class PartialHypernetwork(Strategy):
    """Front g_phi frozen after the first experience, back h_omega generated, trained on

        L = CE(h_omega(g_phi(x)), y) + beta/(t-1) sum_{s<t} |H(e_s; psi*) - H(e_s; psi')|^2

    with omega = H(e_t; psi) for task t, psi* = psi as the experience began, and psi' = psi - lr * grad(CE), the
    look-ahead, whose gradient is taken at first order: the gradient at psi' is applied at psi. Earlier tasks'
    embeddings and table rows are frozen (ours, as in von Oswald et al.). Weights are generated once a batch.
    """

    Options: ClassVar[type[Any]] = Options
    needs_task_labels = True

    def make_model(self, backbone: Backbone) -> GeneratedModel:
        self.snapshot = None
        front, back = split(backbone, self.freeze_depth)
        hypernetwork = GENERATORS[self.options.generator](back, **self.options.generator_options())
        return GeneratedModel(front, back, hypernetwork, self.options.copy_embedding)

    def prepare_experience(self) -> None:
        """Remembers what is generated for earlier tasks; their own parameters stay out of the optimizer."""
        hypernetwork = self.model.hypernetwork
        present = {self.model.number_of(task) for task in classes_by_task(self.experience)}
        earlier = [number for number in range(hypernetwork.tasks) if number not in present]
        self.snapshot = hypernetwork.snapshot(torch.tensor(earlier)) if earlier and self.options.beta else None
        self.earlier_tasks = len(earlier)
        self.draws = self.generator("drift")

    def backward(self) -> None:
        """Gradient of the cross-entropy at psi plus that of the drift at psi'."""
        super().backward()
        if self.snapshot is None:
            return
        drawn = None
        count = self.earlier_tasks
        if self.options.drift_tasks is not None and self.options.drift_tasks < count:
            count = self.options.drift_tasks
            drawn = torch.randperm(self.earlier_tasks, generator=self.draws)[:count]
        with self._stepped_ahead():
            drift = self.model.hypernetwork.drift(self.snapshot, drawn)
            (self.options.beta / count * drift).backward()

    @contextmanager
    def _stepped_ahead(self) -> Iterator[None]:
        """Inside, the hypernetwork is at psi' = psi - lr * grad (with look-ahead); afterwards at psi, bit for bit."""
        if not self.options.lookahead:
            yield
            return
        moved = [p for p in self.model.hypernetwork.parameters() if p.grad is not None]
        before = [p.detach().clone() for p in moved]
        with torch.no_grad():
            for parameter in moved:
                parameter.sub_(self.options.learning_rate * parameter.grad)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(moved, before, strict=True):
                    parameter.copy_(value)

    def finish_experience(self) -> None:
        self.snapshot = None
