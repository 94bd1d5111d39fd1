"""Times one sweep on one and on several devices of this machine, under each executor, and prints the gain.

Run `python benchmarks/speed/devices.py` on a machine with 2 GPUs; `--device cpu` tries it without, with a process or
a task in the place of each GPU. Starting processes is part of the time: give it runs that last.
"""

import contextlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.speed.setting import Device, hardware, print_head, print_row
from clhyper.runs.config import RunConfig
from clhyper.runs.executors import Executor, executor
from clhyper.runs.outcome import Message, Outcome
from clhyper.runs.sweep import plan


@dataclass(frozen=True)
class Options:
    """What is timed, and where."""

    device: Device = "cuda"
    """where to train"""
    executors: tuple[Literal["local", "ray"], ...] = ("local", "ray")
    """executors to time"""
    devices: tuple[int, ...] = (1, 2)
    """numbers of devices"""
    runs: int = 8
    """runs of the sweep, seeds of one strategy"""
    strategy: str = "partial-hypernetwork"
    """strategy of all runs"""
    backbone: str = "small-convnet"
    """backbone of all runs"""
    experiences: int = 5
    """experiences of split digits"""
    epochs: int = 160
    """epochs of each experience"""
    engine: str = "captured"
    """engine of all runs on a GPU"""
    threads: int = 2
    """CPU threads of each run"""


def sweep(options: Options) -> list[RunConfig]:
    """The runs, which need no file."""
    return plan(
        "split-digits",
        [options.strategy],
        depths=[1] if options.strategy in ("partial-hypernetwork", "latent-replay", "separate") else None,
        seeds=range(options.runs),
        benchmark_options={"experiences": options.experiences, "backbone": options.backbone},
        strategy_options={"epochs": options.epochs},
        device=options.device,
        threads=options.threads,
        engine=options.engine if options.device == "cuda" else "auto",
    )


@contextlib.contextmanager
def prepared(name: str, devices: int, options: Options) -> Iterator[tuple[Executor, list[RunConfig]]]:
    """The executor with so many devices, and the runs as it takes them."""
    configs = sweep(options)
    if name == "local":
        if options.device == "cuda":
            configs = [replace(one, device=f"cuda:{number % devices}") for number, one in enumerate(configs)]
        yield executor("local", jobs=1 if options.device == "cuda" else devices), configs
        return
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
    import ray

    gpus = devices if options.device == "cuda" else 0
    ray.init(
        "local",
        num_cpus=options.threads * devices,
        num_gpus=gpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.CRITICAL,
    )
    try:
        yield executor("ray"), configs
    finally:
        ray.shutdown()


def seconds(name: str, devices: int, options: Options) -> float:
    """Seconds for the whole sweep, once what executes it is there."""

    def report(config: RunConfig, message: Message) -> None:
        if isinstance(message, Outcome) and message.status != "complete":
            raise SystemExit(f"{config.name}: {message.status}, {message.reason}")

    with tempfile.TemporaryDirectory() as results, prepared(name, devices, options) as (chosen, configs):
        started = time.perf_counter()
        chosen.execute(configs, Path(results), report)
        return time.perf_counter() - started


def main(options: Options) -> None:
    print(hardware(options.device))
    print(
        f"{options.runs} runs of {options.strategy} on split digits, {options.experiences} experiences of"
        f" {options.epochs} epochs, {options.backbone}\n"
    )
    print_head("executor", "devices", "seconds", "runs an hour", "gain")
    for name in options.executors:
        seconds(name, 1, replace(options, runs=1, epochs=1))  # reads from disk what all of them load
        first = None
        for devices in options.devices:
            took = seconds(name, devices, options)
            first = first or took
            print_row(name, devices, took, 3600 * options.runs / took, first / took)
            sys.stdout.flush()


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
