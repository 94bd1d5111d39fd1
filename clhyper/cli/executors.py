"""Flags that say where the runs of a sweep are executed, and what they choose."""

from typing import Any, Literal, NamedTuple

from clhyper.cli.common import RunsPerDevice, jobs_and_threads, runs_per_device
from clhyper.cli.flags import Flag
from clhyper.errors import require
from clhyper.runs.executors import EXECUTORS, Executor, executor
from clhyper.runs.sweep import parse_numbers

RUNS_PER_DEVICE = (
    "runs side by side in each process, a number or auto: as many as memory and throughput allow; without it, one"
)
PROCESSES = [
    Flag("jobs", int | None, None, "processes at once; without it, one a core, or one on a GPU"),
    Flag("runs_per_device", str | None, None, RUNS_PER_DEVICE),
    Flag(
        "gpus",
        str | None,
        None,
        "GPUs of this machine that runs are spread over, by number as 0-3 or 0,2, or all; without it, that of --device",
    ),
]
ELSEWHERE = [
    Flag(
        "executor",
        Literal["local", "ray", "slurm"],
        "local",
        "where to train: local, processes of this machine; ray, a Ray cluster; slurm, jobs of a Slurm cluster",
    ),
    Flag(
        "address",
        str | None,
        None,
        "for ray: auto, the cluster that this machine belongs to, or its HOST:PORT; without it, a Ray of this machine"
        " alone that ends with the command",
    ),
    Flag("gpus_per_run", float | None, None, "for ray: GPUs a run, as 0.25 or 2; without it, one on cuda"),
    Flag("retries", int | None, None, "for ray: how often a run goes on elsewhere if its worker dies; without it, 3"),
    Flag(
        "collect",
        Literal["auto", "always"] | None,
        None,
        "for ray: always lets nodes work in folders of their own and send files after each experience; auto, which it"
        " is without it, only those that don't see the results",
    ),
    Flag(
        "slurm",
        tuple[str, ...],
        (),
        "for slurm: options of sbatch, as partition=gpu time=60; cluster=local tries it without Slurm",
    ),
]
EXAMPLES = """  clhyper sweep split-digits naive joint --seeds 5 --executor ray --address auto
  clhyper sweep split-digits naive joint --seeds 5 --executor slurm --slurm partition=cpu time=60"""
_NUMBERS = (
    *("array_parallelism", "cpus_per_gpu", "cpus_per_task", "gpus_per_node", "gpus_per_task", "mem_gb", "nodes"),
    *("ntasks_per_node", "num_gpus", "signal_delay_s", "tasks_per_node", "time", "timeout_min"),
)
"""Options of sbatch that are numbers; others keep the digits that they are given, as an account 00123 does."""
_OWN = {
    "local": ("jobs", "runs_per_device", "gpus"),
    "ray": ("address", "gpus_per_run", "retries", "collect"),
    "slurm": ("slurm",),
}
_INSTEAD = {
    ("ray", "jobs"): "Ray decides by --threads and --gpus-per-run how many run at once",
    ("ray", "runs_per_device"): "give --gpus-per-run 0.25 for four runs on a GPU",
    ("ray", "gpus"): "Ray spreads runs over the GPUs of its cluster",
    ("slurm", "jobs"): "Slurm decides how many run at once; --slurm array_parallelism=8 asks for at most 8",
    ("slurm", "runs_per_device"): "each job has one run",
    ("slurm", "gpus"): "each job has a GPU of its own",
}


class Chosen(NamedTuple):
    """An executor, the CPU threads of each run, and in words how many run at once."""

    executor: Executor
    threads: int
    at_once: str


def chosen_executor(values: dict[str, Any], device: str) -> Chosen:
    """What the flags `PROCESSES`, `ELSEWHERE` and --threads choose.

    Raises:
        UserError: a flag of another executor, a bad value, or a package that isn't installed.
    """
    name = values["executor"]
    for other in EXECUTORS:
        for flag in _OWN[other] if other != name else ():
            hint = _INSTEAD.get((name, flag), f"it is for --executor {other}; leave it out")
            require(
                values[flag] in (None, ()), f"--{flag.replace('_', '-')} has no meaning with --executor {name}: {hint}"
            )
    if name == "local":
        lanes, devices = runs_per_device(values["runs_per_device"]), _devices(values["gpus"], device)
        jobs, threads = jobs_and_threads(values["jobs"], values["threads"], device, lanes, max(1, len(devices)))
        spread = f" on each of {len(devices)} GPUs" if len(devices) > 1 else ""
        local = executor("local", jobs=jobs, runs_per_device=lanes, devices=devices)
        return Chosen(local, threads, _at_once(jobs, lanes) + spread)
    _, threads = jobs_and_threads(1, 1 if values["threads"] is None else values["threads"], device)
    if name == "slurm":
        return Chosen(executor("slurm", options=_options(values["slurm"])), threads, "a job each")
    options = {flag: values[flag] for flag in _OWN["ray"] if values[flag] is not None}
    return Chosen(executor("ray", **options), threads, "as many at once as the cluster holds")


def _at_once(jobs: int, lanes: RunsPerDevice) -> str:
    """`8 at once`, `2 x 4 at once`, or that the number is found."""
    if lanes == "auto":
        return f"as many at once as memory and throughput allow{f' in each of {jobs} processes' if jobs > 1 else ''}"
    return f"{jobs * lanes if 1 in (jobs, lanes) else f'{jobs} x {lanes}'} at once"


def _devices(text: str | None, device: str) -> tuple[str, ...]:
    """The devices that --gpus names."""
    if text is None:
        return ()
    require(device == "cuda", f"--gpus {text} with --device {device}: give --device cuda, or leave one of them out")
    import torch

    there = torch.cuda.device_count()
    chosen = list(range(there)) if text == "all" else parse_numbers(text, "gpus")
    few = f"there {'is 1 GPU' if there == 1 else f'are {there} GPUs'} here{', numbered from 0' if there else ''}"
    require(0 < there > max(chosen), f"gpus {text}: {few}")
    return tuple(f"cuda:{number}" for number in chosen)


def _options(texts: tuple[str, ...]) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        require(bool(name and equals and value), f"--slurm {text}: give NAME=VALUE, as partition=gpu")
        name = name.replace("-", "_")
        require(name not in found, f"--slurm {text}: {name} is given twice; give it one value")
        found[name] = int(value) if name in _NUMBERS and value.isdecimal() and len(value) < 10 else value
    return found
