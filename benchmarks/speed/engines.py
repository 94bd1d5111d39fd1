"""Times a training step of every strategy under every engine, averaged over the experiences of a stream.

Run `python benchmarks/speed/engines.py --device cuda`; `--help` lists the options. Experiences are trained one after
another as in any run; each is timed in all its epochs but the first, so captures and compilation are told apart.
"""

from dataclasses import dataclass
from typing import Any

import torch
import tyro

from benchmarks.speed.setting import (
    EPOCHS,
    STRATEGIES,
    Device,
    EpochClock,
    KernelCounter,
    hardware,
    make_strategy,
    print_head,
    print_row,
    reason,
    synthetic_stream,
)

COLUMNS = (
    "ms a step",
    "in the first experience",
    "in the last",
    f"s a stream of {EPOCHS} epochs",
    "s compiling",
    "kernels a step",
    "ms busy",
    "engine that ran",
)


@dataclass(frozen=True)
class Options:
    """What is timed, and where."""

    device: Device = "cpu"
    """where to train"""
    strategies: tuple[str, ...] = tuple(STRATEGIES)
    """names as in the table"""
    engines: tuple[str, ...] = ("eager", "captured", "compiled")
    """engines, in the table's order"""
    experiences: int = 20
    """length of the stream"""
    epochs: int = 3
    """epochs of an experience, of which the first isn't timed"""
    images: int = 2500
    """training images an experience"""
    eager_images: int = 640
    """training images an experience under the eager engine, whose step doesn't depend on the number of steps"""
    freeze_depth: int | None = None
    """frozen stages, for strategies that have any by default"""
    batch_size: int = 64
    """images a step"""
    threads: int = 2
    """threads that PyTorch computes with on the CPU"""


def measure(name: str, engine: str, options: Options) -> dict[str, Any]:
    """What the table says of one strategy under one engine."""
    images = options.eager_images if engine == "eager" else options.images
    stream = synthetic_stream([images] * options.experiences)
    clock, counter = EpochClock(), KernelCounter(options.epochs)
    depth = {"freeze_depth": options.freeze_depth} if options.freeze_depth is not None else {}
    strategy = make_strategy(
        name,
        stream,
        options.device,
        (clock, counter),
        engine=engine,
        epochs=options.epochs,
        batch_size=options.batch_size,
        **(depth if "freeze_depth" in STRATEGIES[name][1] else {}),
    )
    steps = steps_of(images, options)
    milliseconds = []
    for experience in stream.train_stream:
        counter.on = experience.current_experience == options.experiences - 1
        if counter.on and options.device == "cuda":
            strategy.train_epochs = options.epochs + 1  # the last one, slowed by the profiler, isn't timed
        strategy.train(experience)
        milliseconds.append(1000 * clock.warm(options.epochs) / steps)
    mean = sum(milliseconds) / len(milliseconds)
    values = (
        mean,
        milliseconds[0],
        milliseconds[-1],
        mean * steps_of(options.images, options) * EPOCHS * options.experiences / 1000,
        strategy.compilation_seconds,
        counter.kernels / steps if counter.kernels else "-",
        1000 * counter.busy / steps if counter.kernels else "-",
        strategy.engine.name,
    )
    return dict(zip(COLUMNS, values, strict=True))


def steps_of(images: int, options: Options) -> int:
    return max(1, images // options.batch_size)


def main(options: Options) -> None:
    unknown = [name for name in options.strategies if name not in STRATEGIES]
    if unknown:
        raise SystemExit(f"strategy {unknown[0]!r}: give any of {', '.join(STRATEGIES)}")
    if options.epochs < 2:
        raise SystemExit(f"epochs {options.epochs}: at least 2, of which the first isn't timed")
    torch.set_num_threads(options.threads)
    print(hardware(options.device))
    print(
        f"slim ResNet-18, batch {options.batch_size}, mean of {options.experiences} experiences of {options.images}"
        f" images, crop and flip in every step; medians of {max(1, options.epochs - 1)} epochs\n"
    )
    print_head("strategy", "engine", *COLUMNS, "times eager")
    for name in options.strategies:
        eager = None
        for engine in options.engines:
            try:
                found = measure(name, engine, options)
            except Exception as error:  # one that fails must not cost the table
                print_row(name, engine, reason(error))
                continue
            eager = found["ms a step"] if engine == "eager" else eager
            print_row(name, engine, *found.values(), eager / found["ms a step"] if eager else "-")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
