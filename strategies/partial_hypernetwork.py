"""Partial hypernetwork: freeze the first layers, let a hypernetwork generate the rest for each task.

Source: Hemati, Lomonaco, Bacciu and Borth, "Partial Hypernetworks for Continual Learning", CoLLAs 2023,
arXiv 2306.10724: `--generator additive`. The regulariser is von Oswald et al., "Continual learning with hypernetworks",
ICLR 2020, and so is `--generator chunked`. The default generator, which learns what the published one doesn't, is ours.
"""

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from clhyper.backbones import Backbone, split
from clhyper.backbones.model import classes_by_task
from clhyper.engine import Strategy
from clhyper.engine.losses import distillation
from clhyper.errors import require
from clhyper.hypernetworks import GENERATORS, Hypernetwork
from clhyper.hypernetworks.earlier import EarlierNetworks
from clhyper.hypernetworks.model import GeneratedModel
from clhyper.options import DepthOptions, Norm, TrainingOptions, only_with, owners_of
from clhyper.parts import part
from strategies.lwf import Options as LwFOptions

__all__ = ["PartialHypernetwork"]


@dataclass(frozen=True, kw_only=True)
class RegulariserOptions(TrainingOptions):
    """What keeps earlier tasks' networks where they are, whatever generates them."""

    beta: float | None = None
    """weight of the drift, averaged over earlier tasks"""
    lookahead: bool | None = None
    """take the drift where the step on the new task alone would lead, in place of where the weights are"""
    drift_tasks: int | None = None
    """number of earlier tasks, drawn each step, that the drift is averaged over; without it, all of them"""
    drift_scale: Literal["absolute", "relative"] = "absolute"
    """relative: divide each generated tensor's part of the drift by the tensor's sum of squares as the experience
    began, averaged over earlier tasks, so that layers count by how far they moved beside their size; what is in a table
    is one part"""
    distillation: float = 0.0
    """weight of a second regulariser: how far (Kullback-Leibler, at the temperature that is LwF's default) earlier
    tasks' networks answer the present images from what they answered as the experience began"""
    distillation_tasks: int = 1
    """number of earlier tasks, drawn each step, that the distillation is averaged over; all, if there are no more"""
    embedding_rate: float | None = None
    """learning rate of a task's own parameters, its embedding and its row of tables, in units of --learning-rate"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta is None or 0 <= self.beta < math.inf, f"beta {self.beta}: at least 0, and finite")
        require(
            bool(self.beta) or self.drift_scale == "absolute",
            f"drift_scale {self.drift_scale}: there is no drift to scale with beta 0; leave it out or give beta",
        )
        require(self.drift_tasks is None or self.drift_tasks >= 1, f"drift_tasks {self.drift_tasks}: at least 1")
        weight = self.distillation
        require(0 <= weight < math.inf, f"distillation {weight}: at least 0, and finite")
        require(self.distillation_tasks >= 1, f"distillation_tasks {self.distillation_tasks}: at least 1")
        require(
            weight > 0 or self.distillation_tasks == 1,
            f"distillation_tasks {self.distillation_tasks}: nothing is distilled with distillation 0; leave it out or"
            " give distillation",
        )
        rate = self.embedding_rate
        require(rate is None or 0 < rate < math.inf, f"embedding_rate {rate}: more than 0, and finite")


@dataclass(frozen=True, kw_only=True)
class HypernetworkOptions(RegulariserOptions):
    """Hyperparameters of a hypernetwork at any depth.

    An option that is `only_with` some generators can't be set with another.
    """

    norm: Norm = "instance"
    """normalisation of the generated back; batch keeps running statistics a task"""
    beta: float | None = None
    """weight of the drift, averaged over earlier tasks; without it, 0.1 for factored and low-rank generators, 0.5 for
    the others"""
    lookahead: bool | None = None
    """take the drift where the step on the new task alone would lead, in place of where the weights are; without it,
    factored and low-rank generators don't, and the others do, as published"""
    copy_embedding: bool | None = None
    """start a new task's embedding as a copy of the one before; without it, additive and chunked generators do, as
    published, and the others start anew"""
    generator: Literal["factored", "low-rank", "additive", "chunked", "static"] = "factored"
    """what generates the weights: a low-rank change to a base that the first task trains, factor by factor, or from a
    small embedding (both ours); kernel by kernel (Hemati et al.); chunk by chunk (von Oswald et al.); tile by tile (Ha
    et al.)"""
    embedding: int = field(default=32, metadata=only_with(generator=("additive", "chunked", "static", "low-rank")))
    """size of a task's embedding, or of a tile's in the static generator"""
    rank: int = field(default=56, metadata=only_with(generator=("low-rank", "factored")))
    """low-rank and factored generators: rank of a task's change to the base"""
    base_rank: int | None = field(default=None, metadata=only_with(generator=("low-rank", "factored")))
    """low-rank and factored generators: rank of the base itself, for a hypernetwork below the size of one back; without
    it, any kernels"""
    fresh: float = field(default=0.25, metadata=only_with(generator=("factored",)))
    """factored generator: share of the factors, the least used, that a new task starts with"""
    reserve: bool = field(default=False, metadata=only_with(generator=("factored",)))
    """factored generator: leave factors that no task has used yet to the new tasks that will start with them"""
    embedding_rate: float | None = None
    """learning rate of a task's own parameters, its embedding and its row of tables, in units of --learning-rate;
    without it, 5 for the factored generator, 1 for the others"""
    hidden: tuple[int, int] = field(default=(50, 32), metadata=only_with(generator=("additive",)))
    """additive generator: sizes of the two layers that the embedding passes through"""
    channel_embedding: int = field(default=32, metadata=only_with(generator=("additive",)))
    """additive generator: size of an output channel's embedding"""
    chunk_size: int = field(default=500, metadata=only_with(generator=("chunked",)))
    """chunked generator: numbers in a chunk of the weights"""
    chunk_embedding: int = field(default=32, metadata=only_with(generator=("chunked",)))
    """chunked generator: size of a chunk's embedding"""
    chunk_hidden: tuple[int, ...] = field(default=(100, 100), metadata=only_with(generator=("chunked",)))
    """chunked generator: sizes of the hidden layers that both embeddings pass through"""

    @classmethod
    def defaults_with(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Options that suit the generator of `options`, for where they aren't given."""
        published = {"beta": 0.5, "lookahead": True, "copy_embedding": True, "embedding_rate": 1.0}
        ours = {"beta": 0.1, "lookahead": False, "copy_embedding": False, "embedding_rate": 1.0}
        return {
            "factored": {**ours, "embedding_rate": 5.0},
            "low-rank": ours,
            "static": {**published, "copy_embedding": False},
        }.get(options.get("generator", cls.generator), published)

    def __post_init__(self) -> None:
        for name, value in self.defaults_with({"generator": self.generator}).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        super().__post_init__()
        require(
            not (self.reserve and self.copy_embedding),
            "reserve with copy_embedding: a copy of the first task's embedding uses no factor, so that all would stay"
            " idle; leave out one of the two",
        )
        require(0 < self.fresh <= 1, f"fresh {self.fresh}: a share of more than 0 and at most 1")
        require(self.base_rank is None or self.base_rank >= 1, f"base_rank {self.base_rank}: at least 1")
        for name in ("embedding", "rank", "channel_embedding", "chunk_size", "chunk_embedding"):
            require(getattr(self, name) >= 1, f"{name} {getattr(self, name)}: at least 1")
        require(min(self.hidden) >= 1, f"hidden {self.hidden}: two sizes of at least 1")
        require(min(self.chunk_hidden, default=1) >= 1, f"chunk_hidden {self.chunk_hidden}: sizes of at least 1")
        for item in fields(self):
            value, owners = getattr(self, item.name), owners_of(item).get("generator", (self.generator,))
            *others, last = owners
            listed = f"{', '.join(others)} and {last} generators" if others else f"{last} generator"
            require(
                self.generator in owners or value == item.default,
                f"{item.name} {value}: an option of the {listed}, and the generator is {self.generator}; leave it out"
                " or change the generator",
            )

    def generator_options(self) -> dict[str, Any]:
        """Options of the chosen generator, by the names that its class gives them."""
        own = [item.name for item in fields(self) if self.generator in owners_of(item).get("generator", ())]
        return {name: getattr(self, name) for name in own}


@dataclass(frozen=True, kw_only=True)
class Options(HypernetworkOptions, DepthOptions):
    """Hyperparameters of a partial hypernetwork."""


class _Drift(nn.Module):
    """The drift as a module, which `functional_call` can evaluate at other parameters than the hypernetwork's own."""

    def __init__(self, hypernetwork: Hypernetwork) -> None:
        super().__init__()
        self.hypernetwork = hypernetwork

    def forward(self, snapshot: Any, tasks: Tensor | None) -> Tensor:
        return self.hypernetwork.drift(snapshot, tasks)


class PartialHypernetwork(Strategy):
    """Front g_phi frozen after the first experience, back h_omega generated, trained on

        L = CE(h_omega(g_phi(x)), y) + beta/(t-1) sum_{s<t} |H(e_s; psi*) - H(e_s; psi')|^2

    with omega = H(e_t; psi) for task t, psi* = psi as the experience began, and psi' = psi - lr * grad(CE), the
    look-ahead, whose gradient is taken at first order: the gradient at psi' is applied at psi; without look-ahead
    psi' = psi. Earlier tasks' embeddings and table rows are frozen (ours, as in von Oswald et al.). Weights are
    generated once a batch.

    Ours, and off by default: a relative drift divides the squares of each tensor, and of all that is in a table, by
    what these sum up to at psi*, averaged over s; or, where that is 0, by how many numbers they are. Distillation adds

        W/S sum_s KL(softmax(z*_s / 2) || softmax(z_s / 2))

    over S earlier tasks drawn in each step, z*_s and z_s what their networks answer the present batch with at psi* and
    at psi, over their own classes and with the running statistics of their norms; it is part of the loss that the
    look-ahead follows. A copy of the hypernetwork is held for it, see `EarlierNetworks`.
    """

    Options: ClassVar[type[Any]] = Options
    predicts_by_model = True
    needs_task_labels = True
    earlier_networks: EarlierNetworks | None = None

    def make_model(self, backbone: Backbone) -> GeneratedModel:
        self.snapshot = None
        front, back = split(backbone, self.freeze_depth)
        return GeneratedModel(front, back, self.make_hypernetwork(back, backbone), self.options.copy_embedding)

    def make_hypernetwork(self, back: nn.Module, backbone: Backbone) -> Hypernetwork:
        """What generates the back of this backbone."""
        del backbone
        return GENERATORS[self.options.generator](back, **self.options.generator_options())

    def prepare_experience(self) -> None:
        """Remembers what is generated for earlier tasks; their own parameters stay out of the optimizer."""
        hypernetwork = self.model.hypernetwork
        present = classes_by_task(self.experience)
        earlier = [task for task in self.model.classes_of if task not in present]
        self.snapshot = self.earlier_networks = None
        if earlier and self.options.beta:
            numbers = torch.tensor([self.model.number_of(task) for task in earlier])
            with part("drift"):
                self.snapshot = hypernetwork.snapshot(numbers, self.options.drift_scale == "relative")
        if earlier and self.options.distillation:
            self.earlier_networks = EarlierNetworks(self.model, earlier)
        self.earlier_tasks = len(earlier)
        self.drift_tasks = min(self.options.drift_tasks or len(earlier), len(earlier))
        self.present_embeddings = [hypernetwork.embeddings[self.model.number_of(task)] for task in present]
        self.idle = hypernetwork.idle()
        like = next(hypernetwork.parameters())
        self.drift_weight = like.new_tensor(self.options.beta / max(self.drift_tasks, 1))
        self.draws = {name: self.generator(name) for name in ("drift", "distillation")}

    def make_optimizer(self, **kwargs: Any) -> None:
        """The optimizer of every strategy, in two groups if the task's own parameters have another learning rate."""
        super().make_optimizer(**kwargs)
        relative = self.options.embedding_rate
        if relative == 1:
            return
        present = {self.model.number_of(task) for task in classes_by_task(self.experience)}
        own = [p for number in present for p in self.model.hypernetwork.task_parameters(number)]
        group = self.optimizer.param_groups[0]
        group["params"] = [p for p in group["params"] if all(p is not other for other in own)]
        self.optimizer.add_param_group({**group, "params": own, "lr": group["lr"] * relative})

    def draw(self, steps: int) -> dict[str, Tensor]:
        """Adds the earlier tasks that each regulariser is averaged over, by position, if not all: (steps, tasks)."""
        drawn = super().draw(steps)
        counts: dict[str, int] = {}
        if self.snapshot is not None:
            counts["drift"] = self.drift_tasks
        if self.earlier_networks is not None:
            counts["distillation"] = self.options.distillation_tasks
        for name, count in counts.items():
            if count < self.earlier_tasks:
                orders = [torch.randperm(self.earlier_tasks, generator=self.draws[name]) for _ in range(steps)]
                drawn[name] = torch.stack(orders)[:, :count].contiguous()
        return drawn

    def forward(self) -> Tensor:
        if not self.is_training or self.earlier_networks is None:
            return super().forward()
        features = self.batch_features()
        with part("other"):
            now, before, unused = self.earlier_networks(features, self.drawn.get("distillation"))
        self.distance = distillation(now, before, unused, LwFOptions.temperature) / len(unused)
        return self.model.back(features, self.batch_tasks)

    def criterion(self) -> Tensor:
        loss = super().criterion()
        if self.is_training and self.earlier_networks is not None:
            loss = loss + self.options.distillation * self.distance
        return loss

    def backward(self) -> None:
        """Gradient of the cross-entropy, and the distillation, at psi plus that of the drift at psi'."""
        super().backward()
        if self.idle is not None:
            for embedding in self.present_embeddings:
                if embedding.grad is not None:
                    embedding.grad.masked_fill_(self.idle, 0.0)
        if self.snapshot is None:
            return
        generator = _Drift(self.model.hypernetwork)
        moved = {name: p for name, p in generator.named_parameters() if p.grad is not None}
        ahead = self._stepped_ahead(moved) if self.options.lookahead else {}
        with part("drift"):
            drift = functional_call(generator, ahead, (self.snapshot, self.drawn.get("drift")))
        if not drift.requires_grad:  # nothing generated, or nothing that is shared
            return
        (self.drift_weight * drift).backward()
        reached = [(moved[name].grad, p.grad) for name, p in ahead.items() if p.grad is not None]
        if reached:
            gradients, further = zip(*reached, strict=True)
            torch._foreach_add_(gradients, further)

    @torch.no_grad()
    def _stepped_ahead(self, moved: dict[str, Any]) -> dict[str, Tensor]:
        """psi' = psi - lr * grad, for the parameters that have a gradient; psi itself stays."""
        if not moved:
            return {}
        rate = self.optimizer.param_groups[0]["lr"]
        steps = torch._foreach_mul([p.grad for p in moved.values()], rate)
        ahead = torch._foreach_sub(list(moved.values()), steps)
        return {name: p.requires_grad_() for name, p in zip(moved, ahead, strict=True)}

    def finish_experience(self) -> None:
        self.snapshot = self.earlier_networks = None
