"""Folders of runs for the report, as runs write them, with numbers of the test's own."""

import json
from pathlib import Path
from typing import Any

from clhyper.runs import RunConfig, make_config
from clhyper.runs.files import write, write_json
from clhyper.runs.folder import RunFolder
from clhyper.runs.results import COSTS, INFERRED

EXPERIENCES = 3
METRICS = {"acc": 0.8, "forgetting": 0.1, "bwt": -0.1, "fwt": None, "learning_accuracy": 0.9}
COST = {**dict.fromkeys(COSTS, 1234.0), "train_macs": 2.5e9, "train_seconds": 61.7, "generation_ms": None}
ENVIRONMENT = {"date": "2026-01-02", "clhyper": "0.1.0", "python": "3.12", "device": "cpu", "processor": "a processor"}


def matrix_of(accuracy: float, experiences: int = EXPERIENCES) -> list[list[float | None]]:
    """R[i, j] = accuracy - 0.0123 (i - j), nothing above the diagonal."""
    places = range(experiences)
    return [[accuracy - 0.0123 * (i - j) if j <= i else None for j in places] for i in places]


def write_run(
    results: Path,
    strategy: str,
    seed: int = 0,
    options: dict[str, Any] | None = None,
    stream: dict[str, Any] | None = None,
    learned: int = EXPERIENCES,
    reason: str | None = None,
    complete: bool | None = None,
    losses: list[float] | None = None,
    **numbers: Any,
) -> RunConfig:
    """A run that learned so many experiences: complete after all, or failed for a reason.

    `numbers` are its result's.
    """
    config = make_config(
        "split-digits", strategy, {"experiences": EXPERIENCES} | (stream or {}), options or {}, seed=seed
    )
    folder = RunFolder(results, config)
    folder.path.mkdir(parents=True)
    folder.start(ENVIRONMENT)
    metrics = METRICS | dict.fromkeys(INFERRED)
    cost: dict[str, Any] = dict(COST)
    for name, value in numbers.items():
        (metrics if name in metrics else cost)[name] = value
    if learned:
        write_json(folder.path / "matrix.json", matrix_of(metrics["learning_accuracy"] or 0.9)[:learned])
    records = [{"experience": number, "cost": {"loss_by_epoch": losses}} for number in range(learned)]
    write(folder.path / "experiences.jsonl", "".join(json.dumps(one) + "\n" for one in records).encode())
    if reason:
        folder.fail(reason)
    elif learned == EXPERIENCES if complete is None else complete:
        shared = {"evaluated_on": "test", "data": "d1", "front": "first experience", "engine": "eager"}
        folder.finish({"metrics": metrics, "cost": cost, "reasons": {}, "runs_at_once": 1, **shared})
    return config


def write_study(results: Path) -> None:
    """Three strategies with depths and seeds, a failed run, one under way, a damaged folder and a foreign one."""
    forms = (
        ("full-hypernetwork", None, 0.90, 0.002, 9e9),
        ("partial-hypernetwork", 1, 0.92, 0.001, 6e9),
        ("partial-hypernetwork", 2, 0.88, 0.004, 4e9),
        ("latent-replay", 1, 0.85, 0.08, 5e9),
        ("latent-replay", 2, 0.83, 0.06, 3e9),
        ("naive", 1, 0.60, 0.35, 2e9),
    )
    for strategy, depth, acc, forgetting, macs in forms:
        for seed in range(3):
            numbers = {"acc": acc + 0.01127 * seed, "forgetting": forgetting + 0.0013 * seed, "train_macs": macs}
            write_run(results, strategy, seed, {} if depth is None else {"freeze_depth": depth}, **numbers)
    write_run(results, "naive", 3, {"freeze_depth": 1}, learned=1, reason="out of memory")
    write_run(results, "latent-replay", 3, {"freeze_depth": 1}, learned=2)
    damaged = write_run(results, "ewc")
    (results / damaged.name / "result.json").write_text("{", encoding="utf-8")
    (results / "notes").mkdir()
    (results / "notes" / "todo.txt").write_text("nothing of ours", encoding="utf-8")
