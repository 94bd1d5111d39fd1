"""Small sweeps of every strategy, in processes that can be killed, and what of their results must be equal."""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from clhyper.parts import PARTS
from clhyper.runs import RunConfig, plan

STRATEGIES = (
    "naive",
    "ewc",
    "lwf",
    "agem",
    "der",
    "replay",
    "latent-replay",
    "joint",
    "separate",
    "partial-hypernetwork",
    "full-hypernetwork",
)
STREAM: dict[str, Any] = {"experiences": 4, "backbone": "small-convnet", "augmentation": "crop-flip"}
TRAINING: dict[str, Any] = {"epochs": 1, "batch_size": 8, "norm": "batch"}
HYPERNETWORK: dict[str, Any] = {"drift_tasks": 1, "rank": 4}
CHUNKED: dict[str, Any] = {"drift_tasks": 1, "embedding": 4, "generator": "chunked", "chunk_size": 300}
ADDITIVE: dict[str, Any] = {"drift_tasks": 1, "embedding": 4, "generator": "additive", "hidden": (8, 8)}
REPLAY: dict[str, Any] = {"buffer_size": 16, "replay_batch_size": 8}
AGEM: dict[str, Any] = {"patterns_per_experience": 8, "sample_size": 6}


def write_archive(path: Path, classes: int = 8, images: int = 20) -> Path:
    """Noisy 8x8 images of `classes` patterns."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 200, (classes, 8, 8))
    arrays = {}
    for split, count in (("train", images), ("test", 10)):
        labels = np.tile(np.arange(classes), count)
        arrays[f"x_{split}"] = (patterns[labels] + random.integers(0, 56, (len(labels), 8, 8))).astype(np.uint8)
        arrays[f"y_{split}"] = labels
    np.savez(path, **arrays)
    return path


def small_plan(
    archive: Path, strategies: Iterable[str] = STRATEGIES, generator: dict[str, Any] = HYPERNETWORK, **stream: Any
) -> list[RunConfig]:
    """The runs that `small_words` gives on the command line; `generator`: options of hypernetworks."""
    grid = plan(
        "split-npz",
        STRATEGIES,
        depths=[1],
        benchmark_options={"data": archive, **STREAM, **stream},
        strategy_options=TRAINING | generator | REPLAY | AGEM,
    )
    return [config for name in strategies for config in grid if config.strategy == name]


def longer_plan(archive: Path, strategies: Iterable[str] = ("naive", "latent-replay", "ewc")) -> list[RunConfig]:
    """Runs whose experiences take long enough for something to happen in them."""
    return plan(
        "split-npz",
        list(strategies),
        depths=[1],
        benchmark_options={"data": archive, **STREAM},
        strategy_options={**TRAINING, "epochs": 60, **(REPLAY if "latent-replay" in strategies else {})},
    )


def small_words(archive: Path, results: Path, strategies: Iterable[str] = STRATEGIES, **flags: Any) -> list[str]:
    """Words of the command after `clhyper`."""
    strategies = list(strategies)
    options = {"freeze_depth": 1, "data": archive, "results": results, "threads": 1, **STREAM, **_options(strategies)}
    words = ["sweep", "split-npz", *strategies]
    for name, value in {**options, **flags}.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


def _options(strategies: list[str]) -> dict[str, Any]:
    options = dict(TRAINING)
    if any("hypernetwork" in name for name in strategies):
        options |= HYPERNETWORK
    if any("replay" in name or name == "der" for name in strategies):
        options |= REPLAY
    if "agem" in strategies:
        options |= AGEM
    return options


# Processes


def server() -> Any:
    """Multiprocessing's fork server, which imports torch and Avalanche once for all tests."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["clhyper.runs.run"])
    return context


def start(words: list[str], log: Path) -> Any:
    """A process at work on a `clhyper` command; its output goes to the file `log`."""
    process = server().Process(target=_command, args=(words, log))
    process.start()
    return process


def _command(words: list[str], log: Path) -> None:
    # A process forked from the server may use it for its own children, but Python 3.11 to 3.13 would start another.
    forkserver.ensure_running = forkserver._forkserver.ensure_running = lambda: None  # type: ignore[method-assign]
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from clhyper.cli.main import main

    sys.exit(main(words))


def run_to_end(words: list[str], log: Path) -> tuple[int, str]:
    """Exit code and output of a `clhyper` command in a process of its own."""
    process = start(words, log)
    process.join(120)
    assert process.exitcode is not None, f"still at work after 120 s: {words}"
    return process.exitcode, log.read_text()


def workers(but: Any = None) -> list[psutil.Process]:
    """Living processes forked from the server, without the process `but`."""
    forked = psutil.Process(forkserver._forkserver._forkserver_pid).children(recursive=True)
    return [p for p in forked if (but is None or p.pid != but.pid) and _is_alive(p)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False


def at_work_on(strategy: str, results: Path) -> psutil.Process:
    """The process that holds the lock of a strategy's run."""
    (lock,) = results.glob(f"*_{strategy}_*/lock")
    held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    (pid,) = [words[4] for words in held if words[5].endswith(f":{lock.stat().st_ino}")]
    return psutil.Process(int(pid))


def wait_until(condition: Any, what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain until {what}"
        time.sleep(0.02)


# Results


def folders(results: Path) -> list[Path]:
    return sorted(path for path in results.iterdir() if path.is_dir()) if results.is_dir() else []


def finished_records(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Records of the experiences that count as finished, by folder."""
    found = {}
    for folder in folders(results):
        if (folder / "checkpoint.pt").exists():
            found[folder.name] = torch.load(folder / "checkpoint.pt", weights_only=True)["records"]
    return found


def numbers(folder: Path) -> dict[str, Any]:
    """All of a complete run that must be equal whenever it is run: all but times and memory."""
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    result = json.loads((folder / "result.json").read_text())
    counted = (
        *(f"{part}_macs" for part in ("train", *PARTS)),
        *("loss_by_epoch", "bytes_kept", "steps"),
        *("trainable_parameters", "generated_parameters", "frozen_parameters"),
    )
    records = [json.loads(line) for line in (folder / "experiences.jsonl").read_text().splitlines()]
    return {
        "matrix": json.loads((folder / "matrix.json").read_text()),
        "metrics": result["metrics"],
        "status": result["status"],
        "experiences": [(r["experience"], r["classes"], r["accuracy"], r["training"]) for r in records],
        "costs": [{name: record["cost"][name] for name in counted} for record in records],
        "total": {name: result["cost"][name] for name in counted if name in result["cost"]},
        "strategy": plain(checkpoint["strategy"]),
        "accuracy": checkpoint["accuracy"],
        "inference": plain(checkpoint["inference"]),
    }


def plain(value: Any) -> Any:
    """A nest of tensors as one that `==` compares bit for bit."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.detach().contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def all_numbers(results: Path) -> dict[str, dict[str, Any]]:
    return {folder.name: numbers(folder) for folder in folders(results)}


def assert_same_numbers(results: Path, expected: dict[str, dict[str, Any]]) -> None:
    """Named differences, since a diff of megabytes would tell nothing."""
    found = all_numbers(results)
    assert sorted(found) == sorted(expected), "other runs than expected"
    different = [(run, key) for run in found for key in found[run] if found[run][key] != expected[run][key]]
    assert not different, f"numbers differ: {different}"
