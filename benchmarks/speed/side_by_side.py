"""Times runs side by side on one device: each a strategy of its own, in its own thread and on its own stream.

Run `python benchmarks/speed/side_by_side.py --device cuda`; `--help` lists the options. The runs learn the earlier
experiences one after another; the last experience all learn at once, and its epochs but the first are timed together,
from the moment when all are ready to the moment when the last is done.
"""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
import tyro

from benchmarks.speed.setting import (
    EPOCHS,
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

STREAM = 20  # experiences of the stream that is multiplied out


@dataclass(frozen=True)
class Options:
    """What is timed, and where."""

    device: Device = "cpu"
    """where to train"""
    strategy: str = "partial-hypernetwork"
    """name as in the table that engines.py prints"""
    engine: str = "auto"
    """engine of every run"""
    runs: tuple[int, ...] = (1, 2, 4, 8, 16)
    """numbers of runs side by side"""
    earlier: int = 2
    """experiences learned before the timed one"""
    epochs: int = 5
    """epochs of the timed experience, of which the first isn't timed"""
    images: int = 2500
    """training images of the timed experience"""
    batch_size: int = 64
    """images a step"""
    threads: int = 2
    """threads that PyTorch computes with on the CPU"""


def milliseconds(runs: int, options: Options) -> float:
    """Milliseconds for a step of every run, so many side by side."""
    stream = synthetic_stream([options.images] * (options.earlier + 1))
    ready = threading.Barrier(runs, timeout=300)
    spans: list[tuple[float, float]] = []

    def learn(strategy: Any, cuda_stream: Any, experiences: Any) -> None:
        on_stream = torch.cuda.stream(cuda_stream) if cuda_stream is not None else contextlib.nullcontext()
        with on_stream:
            strategy.train(experiences)
            if cuda_stream is not None:
                cuda_stream.synchronize()

    def learn_timed(strategy: Any, cuda_stream: Any) -> None:
        started = []

        def wait_for_all(epoch: int) -> None:
            if epoch == 1:
                ready.wait()
                started.append(time.perf_counter())

        strategy.plugins[0].starting = wait_for_all
        strategy.train_epochs = options.epochs
        try:
            learn(strategy, cuda_stream, stream.train_stream[options.earlier])
        except BaseException:
            ready.abort()
            raise
        spans.append((started[0], time.perf_counter()))

    made = []
    for seed in range(runs):
        strategy = make_strategy(
            options.strategy,
            stream,
            options.device,
            (EpochClock(),),
            seed=seed,
            epochs=1,
            batch_size=options.batch_size,
            engine=options.engine,
        )
        cuda_stream = torch.cuda.Stream() if options.device == "cuda" else None
        learn(strategy, cuda_stream, stream.train_stream[: options.earlier])
        made.append((strategy, cuda_stream))
    synchronise(options.device)
    with ThreadPoolExecutor(runs) as pool:
        for finished in [pool.submit(learn_timed, *run) for run in made]:
            finished.result()
    seconds = max(end for _, end in spans) - min(start for start, _ in spans)
    return 1000 * seconds / ((options.epochs - 1) * max(1, options.images // options.batch_size))


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    print(hardware(options.device))
    print(
        f"{options.strategy}, slim ResNet-18, batch {options.batch_size}, {options.earlier} earlier tasks, engine"
        f" {options.engine}; {options.epochs - 1} epochs of {options.images} images\n"
    )
    print_head(
        "side by side", "ms a step of all", "ms a run and step", f"s a run of {STREAM} x {EPOCHS} epochs", "gain"
    )
    alone = None
    for runs in options.runs:
        try:
            took = milliseconds(runs, options)
        except Exception as error:
            print_row(runs, reason(error))
            continue
        alone = alone or took / runs
        steps = options.images // options.batch_size * EPOCHS * STREAM
        print_row(runs, took, took / runs, took / runs * steps / 1000, alone / (took / runs))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
