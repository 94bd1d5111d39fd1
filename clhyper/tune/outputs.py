"""What a search leaves behind: `tuning.json`, `trials.csv`, and a configuration for each of the best trials."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from clhyper import __version__
from clhyper.runs.config import SCHEMA
from clhyper.runs.files import write, write_json
from clhyper.runs.folder import EXPERIENCES
from clhyper.tune.fronts import Fronts
from clhyper.tune.trials import Trials

__all__ = ["BEST", "RUNS", "TRIALS", "TUNING", "Outputs", "state_of"]

RUNS, BEST, TRIALS, TUNING = "runs", "best.toml", "trials.csv", "tuning.json"
_EFFORT = ("train_macs", "train_seconds")
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
"""What Optuna's states are called; others are under way."""


def state_of(trial: Any) -> str:
    """complete, pruned, failed, or under way."""
    return STATES.get(trial.state.name, "under way")


class Outputs:
    """Writes the files of a search, each replaced whole."""

    def __init__(self, trials: Trials, folder: Path) -> None:
        self.trials, self.folder = trials, folder
        self.fronts = Fronts(trials.tuning)
        self._known: dict[int, dict[str, float]] = {}
        """Effort of trials that have ended."""

    def write(self) -> None:
        """Writes all files as the search stands now."""
        counted, best = self.trials.counted(), self.trials.best()
        files = {config_name(trial, place): trial for place, trial in enumerate(best)}
        for name, trial in files.items():
            write(self.folder / name, self._configuration(trial).encode())
        for former in self.folder.glob("trial-*.toml"):
            if former.name not in files:
                former.unlink(missing_ok=True)
        efforts = {trial.number: self._effort(trial) for trial in counted}
        write(self.folder / TRIALS, self._table(counted, efforts).encode())
        write_json(self.folder / TUNING, self._summary(counted, best, efforts))

    def said(self) -> list[str]:
        """Sentences on what the search looked at: its protocol's, and one on each front from a file."""
        complete = (trial for trial in self.trials.counted() if state_of(trial) == "complete")
        runs = [self.folder / RUNS / trial.user_attrs["runs"][0] for trial in complete]
        return [self.trials.tuning.protocol.sentence(), *self.fronts.sentences(runs[0] if runs else None)]

    def _summary(self, counted: list[Any], best: list[Any], efforts: dict[int, dict[str, float]]) -> dict[str, Any]:
        states = [state_of(trial) for trial in counted]
        names = [objective.name for objective in self.trials.tuning.objectives]
        searched = self.trials.tuning.as_dict()
        return {
            "schema": SCHEMA,
            **searched,
            "protocol": {**searched["protocol"], "fronts": self.said()[1:]},
            "trials": {state: states.count(state) for state in (*STATES.values(), "under way")},
            "best": [
                {
                    "trial": trial.number,
                    "settings": trial.user_attrs["settings"],
                    "values": dict(zip(names, trial.values, strict=True)),
                    "config": config_name(trial, place),
                }
                for place, trial in enumerate(best)
            ],
            "effort": {name: sum(effort[name] for effort in efforts.values()) for name in ("experiences", *_EFFORT)},
            "versions": {"clhyper": __version__, "optuna": self.trials.optuna.__version__},
        }

    def _table(self, counted: list[Any], efforts: dict[int, dict[str, float]]) -> str:
        tuning = self.trials.tuning
        objectives = [objective.name for objective in tuning.objectives]
        options = [dimension.name for dimension in tuning.space.dimensions]
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["trial", "state", *objectives, *options, "experiences", *_EFFORT, "reason", "runs"])
        for trial in counted:
            settings, effort = trial.user_attrs.get("settings", {}), efforts[trial.number]
            values = trial.values if state_of(trial) == "complete" else [""] * len(objectives)
            rows.writerow(
                [
                    *(trial.number, state_of(trial)),
                    *values,
                    *(settings.get(name, "") for name in options),
                    *(effort[name] for name in ("experiences", *_EFFORT)),
                    *(self.trials.reason(trial), " ".join(trial.user_attrs.get("runs", ()))),
                ]
            )
        return text.getvalue()

    def _configuration(self, trial: Any) -> str:
        """What repeats a trial's settings on the reported stream, with the protocol before it."""
        tuning = self.trials.tuning
        settings = trial.user_attrs["settings"]
        measures = zip(tuning.objectives, trial.values, strict=True)
        said = ", ".join(f"{objective.name} {value:.4g}" for objective, value in measures)
        complete = sum(state_of(other) == "complete" for other in self.trials.counted())
        seeds = ",".join(map(str, tuning.reported_seeds))
        notes = [
            f"Trial {trial.number} of a search ({complete} trials complete): {said}.",
            *self.said(),
            f"For the report: clhyper sweep --config FILE --seeds {seeds}",
        ]
        return "".join(f"# {note}\n" for note in notes) + tuning.reported(settings).to_toml()

    def _effort(self, trial: Any) -> dict[str, float]:
        """Experiences that a trial's runs have learned, and what training took."""
        if trial.number in self._known:
            return self._known[trial.number]
        effort = dict.fromkeys(("experiences", *_EFFORT), 0.0)
        for run in trial.user_attrs.get("runs", ()):
            for cost in _costs(self.folder / RUNS / run):
                effort["experiences"] += 1
                for name in _EFFORT:
                    effort[name] += cost.get(name) or 0
        effort = {name: int(value) if name != "train_seconds" else value for name, value in effort.items()}
        if trial.state.is_finished():
            self._known[trial.number] = effort
        return effort


def config_name(trial: Any, place: int) -> str:
    """The file of one of the best trials: the first one's is `best.toml`."""
    return f"trial-{trial.number}.toml" if place else BEST


def _costs(folder: Path) -> list[dict[str, Any]]:
    try:
        lines = (folder / EXPERIENCES).read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["cost"] for line in lines]
    except (OSError, ValueError, KeyError, TypeError):
        return []
