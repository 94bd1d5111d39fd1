"""A search under a display, and its best trials in a table."""

import dataclasses
import math
import shlex
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from clhyper.cli.display import Display as RunDisplay
from clhyper.figures.units import COSTS, human_count, human_metric, human_seconds
from clhyper.measures import measure_of
from clhyper.runs.config import RunConfig
from clhyper.runs.executors import Executor
from clhyper.runs.outcome import Message, Outcome
from clhyper.tune.outputs import BEST, TRIALS, TUNING, Outputs, config_name, state_of
from clhyper.tune.search import Search
from clhyper.tune.trials import Trial, Trials
from clhyper.tune.tuning import Tuning

_ROWS = 10


def search_and_show(tuning: Tuning, results: Path, trials: int, executor: Executor, quiet: bool) -> int:
    """Runs a search under a display and prints what came out; returns the exit code."""
    settings = tuning.space.all_settings()
    most = trials if settings is None else min(trials, len(settings))
    display = Display(most * len(tuning.seeds), quiet)
    with display:
        search = Search(tuning, results, trials, display.update, display.begin)
        display.search = search
        found = search.run(executor)
    best = found.best()
    if not quiet:
        _print(found, best, search.outputs)
    return 0 if best else 1


class Display(RunDisplay):
    """Runs by the number of their trial and its settings; with the best so far."""

    search: Search
    best = ""

    def begin(self, trial: Trial) -> None:
        """Names the runs of a trial."""
        said = _words(trial.settings)
        for config in trial.configs:
            seed = f" seed {config.seed}" if len(trial.configs) > 1 else ""
            self.labels[config.name] = f"trial {trial.number}{seed} {said}"

    def update(self, config: RunConfig, message: Message) -> None:
        if isinstance(message, Outcome) and message.status in ("complete", "skipped"):
            self.best = self._best()
            message = dataclasses.replace(message, reason=f"{self.best}, here" if self.best else None)
        super().update(config, message)

    def _show_whole(self) -> None:
        super()._show_whole()
        if self.best:
            self.bars.update(self.whole, state=f"{self.ended}/{self.runs} done, {self.best}")

    def _best(self) -> str:
        """The best trial so far, where there is one objective."""
        best = self.search.trials.best()
        if len(self.search.tuning.objectives) > 1 or not best:
            return ""
        value = shown(self.search.tuning.objectives[0].name, best[0].values[0])
        return f"best so far {value} (trial {best[0].number})"


def shown(name: str, value: float) -> str:
    """A measure as a person reads it, with its unit."""
    if name not in COSTS:
        return f"{human_metric(name, value)} {measure_of(name).unit}"
    unit = COSTS[name].unit
    if unit == "s":
        return human_seconds(value)
    return f"{value:.3g} ms" if unit == "ms" else human_count(value, unit)


def _print(trials: Trials, best: list[Any], outputs: Outputs) -> None:
    tuning, folder, console = trials.tuning, outputs.folder, Console()
    counted = trials.counted()
    states = [state_of(trial) for trial in counted]
    ended = [
        f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed", "under way") if state in states
    ]
    if not best:
        reasons = [reason for trial in counted if (reason := trials.reason(trial))]
        why = f": {reasons[-1]}" if reasons else ""
        _line(console, f"{len(counted)} trials ({', '.join(ended)}), none of them complete{why}")
        return
    several = len(tuning.objectives) > 1
    complete = [trial for trial in counted if state_of(trial) == "complete"]
    sign = -1 if tuning.objectives[0].direction == "maximize" else 1
    rows = best if several else sorted(complete, key=lambda trial: (sign * trial.values[0], trial.number))[:_ROWS]
    console.print(_table(tuning, rows, console))
    _line(
        console,
        f"{len(counted)} trials: {', '.join(ended)}. " + ("Above, those that no other beats." if several else ""),
    )
    if "under way" in states:
        _line(console, "The same command goes on with those that are under way.")
    for said in outputs.said():
        _line(console, said)
    _line(console, ", ".join(str(folder / name) for name in (BEST, TRIALS, TUNING)))
    seeds = ",".join(map(str, tuning.reported_seeds))
    configs = [config_name(trial, place) for place, trial in enumerate(best)]
    _line(console, f"next: clhyper sweep --config {shlex.quote(str(folder / BEST))} --seeds {seeds}")
    if len(configs) > 1:
        _line(console, f"or any other of the front: {', '.join(configs[1:])}")


def _table(tuning: Tuning, trials: list[Any], console: Console) -> Table:
    """A column for each option, or one for all where they don't fit."""
    table = _columns(tuning, trials, apart=True)
    needed = Measurement.get(console, console.options.update(width=10_000), table).minimum
    return table if needed <= console.width else _columns(tuning, trials, apart=False)


def _columns(tuning: Tuning, trials: list[Any], apart: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for name in ("trial", *(objective.name for objective in tuning.objectives)):
        table.add_column(name, justify="right", no_wrap=True)
    names = [dimension.name for dimension in tuning.space.dimensions]
    for name in names if apart else ("settings",):
        table.add_column(name, no_wrap=apart)
    for trial in trials:
        values = [shown(o.name, value) for o, value in zip(tuning.objectives, trial.values, strict=True)]
        settings = trial.user_attrs["settings"]
        texts = [_word(settings.get(name, "")) for name in names] if apart else [_words(settings)]
        table.add_row(str(trial.number), *values, *map(Text, texts))
    return table


def _words(settings: dict[str, Any]) -> str:
    return " ".join(f"{name}={_word(value)}" for name, value in settings.items())


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) else str(value)


def _line(console: Console, text: str) -> None:
    console.print(text.rstrip(), markup=False, highlight=False, soft_wrap=True)
