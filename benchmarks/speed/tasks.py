"""Times a training step, and measures its memory, against the number of earlier tasks, for every weight generator.

Run `python benchmarks/speed/tasks.py --device cuda`; `--help` lists the options. One stream a generator: the experience
after so many tasks is timed in all its epochs but the first. The ones between have a single epoch of as many steps as
a timed one's last block: another number would be one more graph, whose memory would count.
"""

from dataclasses import dataclass

import torch
import tyro

from benchmarks.speed.setting import (
    Device,
    EpochClock,
    hardware,
    make_strategy,
    print_head,
    print_row,
    reason,
    synthetic_stream,
)
from clhyper.engine.steps import STEPS_AHEAD
from clhyper.evaluation.memory import PeakMemory


@dataclass(frozen=True)
class Options:
    """What is timed, and where."""

    device: Device = "cpu"
    """where to train"""
    strategies: tuple[str, ...] = ("partial-hypernetwork", "partial-hypernetwork chunked")
    """names as in the table that engines.py prints, a generator each"""
    earlier_tasks: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 200)
    """numbers of earlier tasks, rising"""
    engine: str = "auto"
    """engine of every run"""
    epochs: int = 4
    """epochs of a timed experience, of which the first isn't timed"""
    images: int = 1280
    """training images of a timed experience"""
    batch_size: int = 64
    """images a step"""
    threads: int = 2
    """threads that PyTorch computes with on the CPU"""


def measure(name: str, options: Options) -> None:
    """Prints the rows of one generator."""
    timed = set(options.earlier_tasks)
    ahead = STEPS_AHEAD if options.device == "cuda" else 1
    steps = options.images // options.batch_size % ahead or ahead
    stream = synthetic_stream(
        [options.images if number in timed else steps * options.batch_size for number in range(max(timed) + 1)]
    )
    clock = EpochClock()
    strategy = make_strategy(
        name, stream, options.device, (clock,), batch_size=options.batch_size, engine=options.engine
    )
    first: tuple[float, float] | None = None
    for experience in stream.train_stream:
        number = experience.current_experience
        strategy.train_epochs = options.epochs if number in timed else 1
        memory = PeakMemory(torch.device(options.device))
        strategy.train(experience)
        if number not in timed:
            continue
        milliseconds = 1000 * clock.warm(options.epochs) / max(1, options.images // options.batch_size)
        size = (memory.device_bytes()[0] or memory.host_bytes()[0] or float("nan")) / 2**20
        first = first or (milliseconds, size)
        print_row(name, number, milliseconds, milliseconds / first[0], size, size / first[1])


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    print(hardware(options.device))
    where = "on the device" if options.device == "cuda" else "of the process"
    print(f"slim ResNet-18, batch {options.batch_size}, engine {options.engine}; peak memory {where}\n")
    print_head("strategy", "earlier tasks", "ms a step", "times the first", "MiB", "times the first")
    for name in options.strategies:
        try:
            measure(name, options)
        except Exception as error:
            print_row(name, reason(error))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
