"""Writes folders of runs that were never run: the files of a real one, with other numbers.

Run `python benchmarks/speed/synthetic_runs.py DIR --runs 10000`; `--help` lists the options. A tiny run on digits gives
the files; what varies is the strategy, freeze depth and learning rate, the seed, and the numbers, which are drawn.
"""

import copy
import itertools
import json
import random
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from clhyper.evaluation.metrics import all_metrics
from clhyper.runs.config import RunConfig, make_config
from clhyper.runs.files import read_object
from clhyper.runs.folder import CHECKPOINT, CONFIG, ENVIRONMENT, EXPERIENCES, FAILURE, MATRIX, RESULT

FORMS = (
    *(("partial-hypernetwork", depth, 0.93 - 0.01 * depth, 0.003, 3.0 - 0.6 * depth) for depth in range(4)),
    *(("latent-replay", depth, 0.91 - 0.02 * depth, 0.05, 1.6 - 0.3 * depth) for depth in range(4)),
    *(("naive", depth, 0.94 - 0.02 * depth, 0.3 - 0.05 * depth, 1.0 - 0.2 * depth) for depth in range(4)),
    *(("separate", depth, 0.96 - 0.01 * depth, 0.0, 1.0 - 0.2 * depth) for depth in range(4)),
    *((name, None, 0.9, 0.1, 1.4) for name in ("ewc", "lwf", "agem", "der")),
)
"""Strategy, freeze depth, accuracy when learned, what each later experience takes of it, relative cost."""
_PARTS = ("front_macs", "generation_macs", "back_macs", "drift_macs", "other_macs")
_FAILED, _INTERRUPTED = 0.01, 0.01
_SEED = "\nseed = 0\n"


@dataclass(frozen=True)
class Options:
    """How many runs, and where."""

    results: Annotated[Path, tyro.conf.Positional]
    """folder to write to"""
    runs: int = 10_000
    """number of runs"""
    repetitions: int = 10
    """seeds of each configuration"""
    experiences: int = 5
    """experiences of the stream, at most 10"""


def synthetic_runs(
    results: Path, runs: int = 10_000, repetitions: int = 10, experiences: int = 5, template: Path | None = None
) -> list[RunConfig]:
    """Writes so many runs, two in a hundred of them without a result, and returns what they would be runs of.

    template: the folder of a real run of five experiences on digits; without it, one is run. The same arguments write
    the same numbers.
    """
    if template is None:
        with tempfile.TemporaryDirectory() as temporary:
            return synthetic_runs(results, runs, repetitions, experiences, real_run(Path(temporary)))
    written: list[RunConfig] = []
    configurations = ((number, form) for number in itertools.count() for form in FORMS)
    drawn = random.Random(0)
    source = _Template(template)
    results.mkdir(parents=True, exist_ok=True)
    while len(written) < runs:
        number, form = next(configurations)
        config = _config(form, number, experiences)
        kind, text = {"family": config.family, "freeze_depth": config.freeze_depth}, config.to_toml()
        for seed in range(min(repetitions, runs - len(written))):
            one = replace(config, seed=seed)
            written.append(one)
            folder = results / one.name
            folder.mkdir()
            (folder / CONFIG).write_text(text.replace(_SEED, f"\nseed = {seed}\n"), encoding="utf-8")
            for name, content in source.files(kind, form, experiences, drawn).items():
                (folder / name).write_text(content, encoding="utf-8")
    return written


def real_run(results: Path) -> Path:
    """The folder of a short real run on digits."""
    from clhyper.runs.run import run

    config = make_config("split-digits", "naive", {}, {"epochs": 1})
    return run(config, results).folder


def _config(form: tuple[Any, ...], number: int, experiences: int) -> RunConfig:
    strategy, depth, *_ = form
    options = {"epochs": 1, "learning_rate": round(1e-3 * 1.1**number, 9)}
    if depth is not None:
        options["freeze_depth"] = depth
    order = {"class_order": list(range(10)), "classes_each": 1} if experiences > 5 else {}
    return make_config("split-digits", strategy, {"experiences": experiences, **order}, options)


class _Template:
    """A run's files, from which those of others are made."""

    def __init__(self, folder: Path) -> None:
        self.environment = (folder / ENVIRONMENT).read_text(encoding="utf-8")
        self.result = read_object(folder / RESULT)
        lines = (folder / EXPERIENCES).read_text(encoding="utf-8").splitlines()
        self.records = [json.loads(line) for line in lines]

    def files(
        self, kind: dict[str, Any], form: tuple[Any, ...], experiences: int, drawn: random.Random
    ) -> dict[str, str]:
        """The files beside the configuration; a run that failed or was interrupted has no result."""
        _, _, learned, loss, relative = form
        matrix = _matrix(learned + drawn.gauss(0, 0.01), loss, experiences, drawn)
        records = [self._record(number, row, relative, drawn) for number, row in enumerate(matrix)]
        files = {ENVIRONMENT: self.environment, MATRIX: json.dumps(matrix, indent=1) + "\n"}
        state = drawn.random()
        if state < _FAILED + _INTERRUPTED:
            records = records[:-1]
            files |= {CHECKPOINT: "", MATRIX: json.dumps(matrix[:-1], indent=1) + "\n"}
            if state < _FAILED:
                files[FAILURE] = json.dumps({"schema": 1, "reason": "out of memory", "details": ""}, indent=1)
        else:
            files[RESULT] = json.dumps(self._result(kind, matrix, records), indent=1) + "\n"
        return files | {EXPERIENCES: "".join(json.dumps(record) + "\n" for record in records)}

    def _record(self, number: int, row: list[float | None], relative: float, drawn: random.Random) -> dict[str, Any]:
        record = copy.deepcopy(self.records[number % len(self.records)])
        cost = record["cost"]
        parts = [name for name in _PARTS if cost.get(name) is not None]
        cost |= {name: int(cost[name] * relative) for name in parts}
        cost["train_macs"] = sum(cost[name] for name in parts)
        cost["train_seconds"] *= relative * drawn.lognormvariate(0, 0.05)
        return record | {"experience": number, "training": number, "accuracy": row}

    def _result(
        self, kind: dict[str, Any], matrix: list[list[float | None]], records: list[dict[str, Any]]
    ) -> dict[str, Any]:
        metrics = {name: value for name, (value, _) in all_metrics(matrix).items()}
        summed = {
            name: sum(record["cost"][name] for record in records)
            for name in (*_PARTS, "train_macs", "train_seconds")
            if self.result["cost"].get(name) is not None
        }
        return (
            self.result
            | kind
            | {
                "metrics": self.result["metrics"] | metrics,
                "cost": self.result["cost"] | summed,
                "front": "first experience" if kind["freeze_depth"] else "none",
            }
        )


def _matrix(learned: float, loss: float, experiences: int, drawn: random.Random) -> list[list[float | None]]:
    def accuracy(after: int, on: int) -> float | None:
        return min(max(learned - loss * (after - on) + drawn.gauss(0, 0.01), 0.0), 1.0) if on <= after else None

    return [[accuracy(after, on) for on in range(experiences)] for after in range(experiences)]


def main(options: Options) -> None:
    written = synthetic_runs(options.results, options.runs, options.repetitions, options.experiences)
    print(f"{len(written)} runs in {options.results}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
