"""Says what share of an eager training step each part takes, for every strategy.

Run `python benchmarks/speed/shares.py --device cuda`; `--help` lists the options. Each part is timed by itself,
device-synchronised at both its ends, in the last experience of a stream. What follows the drift in a backward pass
belongs to the drift. (`profile.py` would hide Python's module of that name.)
"""

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
import tyro

from benchmarks.speed.setting import (
    STRATEGIES,
    Device,
    EpochClock,
    hardware,
    make_strategy,
    print_head,
    print_row,
    reason,
    synchronise,
    synthetic_stream,
)
from clhyper.data.augmentation import Preparation

PARTS = ("preparation", "front", "generation", "back", "loss", "backward", "drift", "update", "rest")


@dataclass(frozen=True)
class Options:
    """What is timed, and where."""

    device: Device = "cpu"
    """where to train"""
    strategies: tuple[str, ...] = tuple(STRATEGIES)
    """names as in the table that engines.py prints"""
    earlier: int = 4
    """experiences learned, in one step each, before the timed one"""
    steps: int = 10
    """timed steps, after as many that aren't"""
    batch_size: int = 64
    """images a step"""
    threads: int = 2
    """threads that PyTorch computes with on the CPU"""


class PartClock:
    """Seconds of each part of a step, without those of the parts inside it."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.parts = ["rest"]
        self._since = time.perf_counter()

    def switch(self) -> None:
        """What passed since the last switch belongs to the present part."""
        synchronise(self.device)
        now = time.perf_counter()
        self.seconds[self.parts[-1]] += now - self._since
        self._since = now

    def begin(self, epoch: int) -> None:
        """Forgets what was counted before an epoch."""
        del epoch
        self.switch()
        self.seconds.clear()

    def watch(self, owner: Any, method: str, part: str) -> Any:
        """Counts each call of a method of an object or a class as `part`; returns the method as it was."""
        before = getattr(owner, method)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.switch()
            self.parts.append(part)
            depth = len(self.parts)
            try:
                return before(*arguments, **named)
            finally:
                self.switch()
                del self.parts[depth - 1 :]
                if part == "drift" and self.parts[-1] == "backward":
                    self.parts[-1] = "drift"

        setattr(owner, method, counted)
        return before


class LastEpoch(EpochClock):
    """Keeps each part's seconds of the experience's last epoch."""

    def __init__(self, clock: PartClock) -> None:
        super().__init__(clock.begin)
        self.clock = clock
        self.parts: dict[str, float] = {}

    def after_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        super().after_training_epoch(strategy, *args, **kwargs)
        self.clock.switch()
        self.parts = dict(self.clock.seconds)


def shares(name: str, options: Options) -> tuple[float, dict[str, float]]:
    """Milliseconds a step, and each part's share of them."""
    sizes = [options.batch_size] * options.earlier + [options.batch_size * options.steps]
    stream = synthetic_stream(sizes)
    strategy = make_strategy(name, stream, options.device, engine="eager", epochs=1, batch_size=options.batch_size)
    strategy.train(stream.train_stream[: options.earlier])
    clock = PartClock(options.device)
    model = strategy.model
    for method, part in {"criterion": "loss", "backward": "backward", "optimizer_step": "update"}.items():
        clock.watch(strategy, method, part)
    clock.watch(model, "features", "front")
    clock.watch(model, "back", "back")
    if hasattr(model, "hypernetwork"):
        clock.watch(model, "_generate", "generation")
        clock.watch(model.hypernetwork, "drift", "drift")
    last = LastEpoch(clock)
    strategy.plugins.append(last)
    strategy.train_epochs = 2
    prepare = clock.watch(Preparation, "__call__", "preparation")
    try:
        strategy.train(stream.train_stream[options.earlier])
    finally:
        Preparation.__call__ = prepare  # type: ignore[method-assign]
    total = sum(last.parts.values())
    return 1000 * total / options.steps, {part: last.parts.get(part, 0.0) / total for part in PARTS}


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    print(hardware(options.device))
    print(f"slim ResNet-18, batch {options.batch_size}, {options.earlier} earlier experiences, engine eager\n")
    print_head("strategy", "ms a step", *(f"{part} %" for part in PARTS))
    for name in options.strategies:
        try:
            milliseconds, found = shares(name, options)
        except Exception as error:
            print_row(name, reason(error))
            continue
        print_row(name, milliseconds, *(f"{100 * share:.0f}" for share in found.values()))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
