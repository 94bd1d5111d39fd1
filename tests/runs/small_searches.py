"""Searches over small runs, in this process one after the other."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from clhyper.registry import find
from clhyper.runs.config import checked_options
from clhyper.runs.outcome import Outcome, Stopped
from clhyper.runs.run import run
from clhyper.tune.objectives import parse_objectives
from clhyper.tune.protocol import choose_protocol
from clhyper.tune.search import Search
from clhyper.tune.space import parse_space
from clhyper.tune.tuning import Tuning

STREAM: dict[str, Any] = {"experiences": 4, "backbone": "small-convnet"}
TRAINING: dict[str, Any] = {"epochs": 1, "batch_size": 8}


class Here:
    """An executor of runs one after the other; `watch` is told of all that is reported."""

    def __init__(self, watch: Any = lambda config, message: None) -> None:
        self.watch = watch
        self.executed: list[str] = []

    def execute(self, configs, results: Path, report) -> dict[str, Outcome]:
        outcomes = {}
        for config in configs:
            self.executed.append(config.name)

            def tell(message, config=config):
                self.watch(config, message)
                if report(config, message):
                    raise Stopped

            try:
                outcome = run(config, results, tell)
            except Stopped:
                outcome = Outcome("stopped", results / config.name)
            report(config, outcome)
            outcomes[config.name] = outcome
        return outcomes


def small_tuning(
    archive: Path,
    *search: str,
    strategy: str = "naive",
    objectives: tuple[str, ...] = ("acc",),
    given: dict[str, Any] | None = None,
    stream: dict[str, Any] | None = None,
    protocol: dict[str, Any] | None = None,
    **how: Any,
) -> Tuning:
    """A search on a small archive; `protocol`: its name and numbers."""
    seen = {"name": "first-experiences", "validation": 0.4, **(protocol or {})}
    reported = checked_options(find("benchmark", "split-npz"), {"data": archive, **STREAM, **(stream or {})})
    chosen = choose_protocol(seen.pop("name"), reported, **seen)
    fixed = TRAINING | (given or {})
    fixed = {name: value for name, value in fixed.items() if not any(word.startswith(f"{name}=") for word in search)}
    return Tuning(
        benchmark="split-npz",
        strategy=strategy,
        benchmark_options=reported,
        space=parse_space(search, find("strategy", strategy), fixed),
        objectives=parse_objectives(objectives, chosen.seen),
        protocol=chosen,
        run={"device": "cpu", "threads": 1},
        **how,
    )


def search(tuning: Tuning, results: Path, trials: int, executor: Any = None) -> Search:
    """A search run to its end."""
    made = Search(tuning, results, trials)
    made.run(executor or Here())
    return made


def table(folder: Path) -> list[dict[str, str]]:
    """The trials as the search wrote them."""
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def repeatable(folder: Path) -> list[dict[str, str]]:
    """The trials without what differs whenever they are run, and without the names of their runs."""
    return [{k: v for k, v in row.items() if k not in ("train_seconds", "runs")} for row in table(folder)]


def two_archives(folder: Path) -> tuple[Path, Path]:
    """Archives with the same training images and other test images, and labels, of the same classes."""
    random = np.random.default_rng(0)
    patterns, labels = random.integers(0, 200, (8, 8, 8)), np.tile(np.arange(8), 20)
    training = (patterns[labels] + random.integers(0, 56, (len(labels), 8, 8))).astype(np.uint8)
    paths = folder / "one.npz", folder / "other.npz"
    for path, test_labels in zip(paths, (labels[:80], np.sort(labels[:120])), strict=True):
        images = random.integers(0, 256, (len(test_labels), 8, 8)).astype(np.uint8)
        np.savez(path, x_train=training, y_train=labels, x_test=images, y_test=test_labels)
    return paths
