"""Folders of runs as a run writes them, with numbers of the test's own, without training."""

from pathlib import Path
from typing import Any

from clhyper.runs import RunConfig, make_config
from clhyper.runs.files import write_json
from clhyper.runs.folder import RunFolder
from clhyper.runs.results import COSTS, INFERRED

COST = {**dict.fromkeys(COSTS, 1000.0), "train_seconds": 60.0, "generation_ms": None}


def write_run(
    results: Path,
    strategy: str,
    seed: int = 0,
    stream: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    benchmark: str = "split-digits",
    device: str = "cpu",
    machine: str = "x86_64",
    finished: bool = True,
    **numbers: Any,
) -> RunConfig:
    """A complete run, or an interrupted one; `numbers` are metrics, costs, or entries of the result."""
    config = make_config(benchmark, strategy, stream or {}, options or {}, seed=seed, device=device)
    folder = RunFolder(results, config)
    folder.path.mkdir(parents=True)
    folder.start({"device": "cpu" if device == "cpu" else machine, "processor": machine})
    metrics = {"acc": 0.8, "forgetting": 0.1, "bwt": -0.1, "fwt": None, "learning_accuracy": 0.9}
    metrics |= dict.fromkeys(INFERRED)
    cost = dict(COST)
    result: dict[str, Any] = {"evaluated_on": "test", "data": "d1", "front": "first experience", "engine": "eager"}
    result["runs_at_once"] = 1
    for name, value in numbers.items():
        next((part for part in (metrics, cost) if name in part), result)[name] = value
    write_json(folder.path / "matrix.json", [[0.9, None], [0.7, 0.9]])
    if finished:
        folder.finish({"metrics": metrics, "cost": cost, "reasons": {}, **result})
    return config
