"""Times a training step of the partial hypernetwork against the published way of generating weights.

Run `python benchmarks/speed/generation.py`; `--help` lists the options. The ways alternate in one process on one model,
so that what else the machine does falls on all of them alike: the ratios mean something where the milliseconds don't.
"""

import contextlib
import copy
import multiprocessing
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any, Literal

import torch
import tyro
from torch import Tensor

from benchmarks.speed.published import CLASSES, Published, PublishedGenerator
from benchmarks.speed.setting import IMAGE_SHAPE, hardware, print_head, print_row, synchronise
from clhyper.backbones import build_backbone
from clhyper.data.batches import Block
from clhyper.engine.host_memory import keep_freed_memory
from clhyper.engine.program import CompiledProgram, DryStep
from strategies import PartialHypernetwork

WARM_UP_STEPS = 2
LARGEST_DIFFERENCE = 1e-3
"""of two gradients or losses that are the same but for rounding (float32), relative"""

REQUIRED_RATIO, REQUIRED_RATIO_CACHED = 15, 25

PLAIN = "published way in a plain process"


@dataclass(frozen=True)
class Options:
    """What is timed, and where."""

    device: Literal["cpu", "cuda"] = "cpu"
    """where to train"""
    depth: int = 2
    """number of frozen stages of the slim ResNet-18"""
    earlier_tasks: int = 19
    """number of tasks whose weights the drift protects"""
    batch_size: int = 64
    """images a step"""
    steps: int = 9
    """timed steps of each way"""
    threads: int = 2
    """threads that PyTorch computes with on the CPU"""
    compiled: bool = True
    """time our step compiled too, which takes minutes to compile"""
    keep_freed_memory: bool = True
    """have the C library keep freed memory in this process, as runs of the suite do on a CPU"""


class Ours:
    """A step as `PartialHypernetwork` takes it in training, on images or on features cached for the experience.

    Args:
        strategy: In its last experience.
        x: (batch, ...) images, or what the front makes of them.
        y: (batch,) labels.
        cached: Whether `x` holds features.
    """

    def __init__(self, strategy: PartialHypernetwork, x: Tensor, y: Tensor, cached: bool) -> None:
        self.strategy, self.x, self.y, self.cached = strategy, x, y, cached

    def gradients(self) -> Tensor:
        """Leaves the gradients of cross-entropy and drift in the parameters; returns the cross-entropy."""
        strategy = self.strategy
        strategy.dataloader = SimpleNamespace(are_features=self.cached)
        strategy.mbatch = [self.x, self.y, torch.zeros_like(self.y)]
        strategy.optimizer.zero_grad()
        strategy.mb_output = strategy.forward()
        strategy.loss = strategy.criterion()
        strategy.backward()
        return strategy.loss.detach()

    def update(self) -> None:
        self.strategy.optimizer_step()

    def drift(self) -> Tensor:
        return self.strategy.model.hypernetwork.drift(self.strategy.snapshot)

    def gradient(self) -> Tensor:
        """The gradient, as one vector in the order of `PublishedGenerator`'s."""
        trained = self.strategy.model.hypernetwork
        hypernetwork = copy.deepcopy(trained)
        for parameter, its in zip(hypernetwork.parameters(), trained.parameters(), strict=True):
            parameter.data = torch.zeros_like(its) if its.grad is None else its.grad
        return torch.cat([number.detach().flatten() for number in PublishedGenerator(hypernetwork).parameters()])


@dataclass(frozen=True)
class FromTensors:
    """What stands for the loader of a compiled step: one block of images, or of features, that is there already."""

    strategy: PartialHypernetwork
    are_features: bool

    def prepare(self, block: Block) -> Tensor:
        return block.x if self.are_features else self.strategy.model.features(block.x)


class Compiled(Ours):
    """The same step by the engine `compiled`, which takes gradients and the update at once; compiles when made.

    Attributes:
        compile_seconds: What that took.
    """

    def __init__(self, ours: Ours) -> None:
        super().__init__(ours.strategy, ours.x, ours.y, ours.cached)
        self.block = Block(1, self.x, self.y, torch.zeros_like(self.y), self.y.new_zeros(len(self.y), 0))
        steps: Any = FromTensors(self.strategy, self.cached)
        self.strategy.dataloader = SimpleNamespace(are_features=True)  # what `prepare` makes of either
        started = time.perf_counter()
        self.dry = DryStep(steps, self.block)
        self.program = CompiledProgram(self.dry)
        self.compile_seconds = time.perf_counter() - started

    def gradients(self) -> Tensor:
        """Takes the whole step; returns the cross-entropy."""
        self.program.run(self.block)
        return self.strategy.last_loss.clone()

    def update(self) -> None:
        """`gradients` has done it."""

    def drift(self) -> Tensor:
        self.dry.undo()
        return super().drift()

    def gradient(self) -> Tensor:
        """The gradient that moved Adam's means, at the parameters that `dry` saw."""
        self.dry.undo()
        state, decay = self.strategy.optimizer.state, self.strategy.optimizer.defaults["betas"][0]
        before = {parameter: its["exp_avg"].clone() for parameter, its in state.items()}
        self.gradients()
        for parameter, its in state.items():
            parameter.grad = (its["exp_avg"] - decay * before[parameter]) / (1 - decay)
        self.dry.undo()
        return super().gradient()


class InPlainProcess:
    """The published way in a process of its own, whose memory is managed as in any Python process: as it was published.

    Args:
        options: Those of this process, from which the other makes the same strategy.
    """

    def __init__(self, options: Options) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        context.Process(target=_steps_on_demand, args=(options, theirs), daemon=True).start()

    def time_step(self) -> tuple[float, float]:
        """As the function `time_step`, in that process."""
        self.connection.send(None)
        return self.connection.recv()


def _steps_on_demand(options: Options, connection: Connection) -> None:
    torch.set_num_threads(options.threads)
    way = make_ways(options)["published way"]
    with contextlib.suppress(EOFError):  # the other end is closed
        while True:
            connection.recv()
            connection.send(time_step(way))


Way = Ours | Published


def make_ways(options: Options) -> dict[str, Way]:
    """The ways to take a step, all on one strategy in its last experience, some steps after the experience began."""
    torch.manual_seed(0)
    backbone = build_backbone("slim-resnet18", IMAGE_SHAPE, CLASSES)
    strategy = PartialHypernetwork(
        backbone,
        freeze_depth=options.depth,
        batch_size=options.batch_size,
        generator="additive",
        copy_embedding=False,
        device=options.device,
    )
    strategy.model.to(options.device).train()
    strategy.is_training = True
    strategy.model.freeze_front()
    for task in range(options.earlier_tasks + 1):
        strategy.experience = SimpleNamespace(classes_by_task={task: list(range(CLASSES))}, current_experience=task)
        strategy.check_model_and_optimizer()
    x = torch.randn(options.batch_size, *IMAGE_SHAPE, device=options.device)
    y = torch.randint(CLASSES, (options.batch_size,), device=options.device)
    ways: dict[str, Way] = {
        "published way": Published(strategy, x, y, frugal=False),
        "published way, frugal": Published(strategy, x, y, frugal=True),
        "ours": Ours(strategy, x, y, cached=False),
        "ours, cached features": Ours(strategy, strategy.model.features(x), y, cached=True),
    }
    for _ in range(WARM_UP_STEPS):  # so that there is drift to compare
        ways["ours"].gradients()
        strategy.optimizer_step()
    for way in ways.values():
        if isinstance(way, Published):
            way.follow()
    return ways


def compile_ways(ways: dict[str, Way]) -> dict[str, Way]:
    """Ours, compiled, on images and on cached features; they change the strategy's parameters, as ours do."""
    return {f"{name}, compiled": Compiled(way) for name, way in ways.items() if isinstance(way, Ours)}


def differences(ways: dict[str, Way]) -> dict[str, float]:
    """How far each way is from the first: the largest relative difference of cross-entropy, drift and gradients.

    The gradients are those of all parameters as one vector, compared by the norm of their difference.
    """
    found = {}
    with torch.backends.cudnn.flags(allow_tf32=False):
        for way in ways.values():
            loss = way.gradients()
            found[way] = (loss.view(1), way.drift().detach().view(1), way.gradient())
    first = next(iter(found.values()))
    return {
        name: max(((mine - its).norm() / its.norm()).item() for mine, its in zip(found[way], first, strict=True))
        for name, way in ways.items()
    }


def time_step(way: Way) -> tuple[float, float]:
    """Milliseconds of a step by the clock, and of the processor on all threads."""
    synchronise(way.y.device)
    started, computed = time.perf_counter(), time.process_time()
    way.gradients()
    way.update()
    synchronise(way.y.device)
    return 1000 * (time.perf_counter() - started), 1000 * (time.process_time() - computed)


def time_steps(ways: Mapping[str, Way | InPlainProcess], options: Options) -> dict[str, tuple[float, float]]:
    """Medians of `time_step` for each way; the ways take turns."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(WARM_UP_STEPS + options.steps):
        for name, way in ways.items():
            taken = way.time_step() if isinstance(way, InPlainProcess) else time_step(way)
            if number >= WARM_UP_STEPS:
                times[name].append(taken)
    return {
        name: (statistics.median(wall for wall, _ in its), statistics.median(processor for _, processor in its))
        for name, its in times.items()
    }


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    print(hardware(options.device))
    print(
        f"slim ResNet-18, freeze depth {options.depth}, {options.earlier_tasks} earlier tasks,"
        f" batch {options.batch_size}; medians of {options.steps} steps, taken in turns"
    )
    kept = False
    if options.device == "cpu":
        kept = options.keep_freed_memory and keep_freed_memory()
        print(
            f"freed memory {'stays with the process' if kept else 'goes where the C library lets it'}"
            + (", but not in the plain process" if kept else "")
        )
    ways = make_ways(options)
    if options.compiled and options.device == "cpu":
        ways |= compile_ways(ways)
        print(f"compiled in {sum(way.compile_seconds for way in ways.values() if isinstance(way, Compiled)):.0f} s")
    worst = max(differences(ways).values())
    if worst > LARGEST_DIFFERENCE:
        raise SystemExit(f"the ways don't compute the same: they differ by {worst:.1e}, more than {LARGEST_DIFFERENCE}")
    print(f"same cross-entropy, drift and gradients: they differ by {worst:.0e} at most\n")
    plain = {PLAIN: InPlainProcess(options)} if options.device == "cpu" and kept else {}
    times = time_steps({**plain, **ways}, options)
    references = [*plain, "published way"]
    print_head("way", "ms a step", *(f"{reference} takes" for reference in references), "ms of processor")
    for name, (wall, processor) in times.items():
        print_row(name, wall, *(f"{times[reference][0] / wall:.1f} times" for reference in references), processor)
    print()
    for ours, required in (("ours", REQUIRED_RATIO), ("ours, cached features", REQUIRED_RATIO_CACHED)):
        best = min(wall for name, (wall, _) in times.items() if name in (ours, f"{ours}, compiled"))
        for reference in references:
            ratio = times[reference][0] / best
            verdict = "holds" if ratio >= required else "MISSED"
            print(f"{ours}: {reference} takes at least {required} times as long: {verdict} ({ratio:.1f})")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
