"""Live progress on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from clhyper.measures import ACCURACY, MEASURES, Measure
from clhyper.runs.config import RunConfig, options_class, other_than_default
from clhyper.runs.outcome import Note, Outcome, Progress

_LONGEST = 24
"""characters of an option's value"""


class Display:
    """Shows runs as they go: experience, epoch, loss, accuracy so far, time left.

    Args:
        runs: Number of runs.
        quiet: Show nothing.
        lines_for_experiences: Where output is no terminal, a line for each experience, not only for each run.
        among: The runs, where they are several: their names say in what they differ.
    """

    def __init__(
        self, runs: int, quiet: bool = False, lines_for_experiences: bool = False, among: Sequence[RunConfig] = ()
    ) -> None:
        self.runs, self.quiet, self.lines_for_experiences = runs, quiet, lines_for_experiences
        self.labels = dict(zip((config.name for config in among), labels(among), strict=True))
        self.console = Console()
        self.live = self.console.is_terminal and not quiet
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.live,
        )
        self.rows: dict[str, TaskID] = {}
        self.experience: dict[str, int] = {}
        self.share: dict[str, float] = {}
        self.ended = 0
        self.start = time.monotonic()

    def __enter__(self) -> "Display":
        self.bars.start()
        self.whole = self.bars.add_task("all runs", total=self.runs, state="", visible=self.runs > 1)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bars.stop()

    def update(self, config: RunConfig, message: Progress | Outcome | Note) -> None:
        """Takes in what a run tells."""
        if isinstance(message, Outcome):
            self._end(config, message)
        elif isinstance(message, Note):
            self._wait(config, message)
        else:
            self._advance(config, message)

    def _advance(self, config: RunConfig, progress: Progress) -> None:
        name = self._label(config)
        if name not in self.rows:
            self.rows[name] = self.bars.add_task(name, total=progress.total, state="")
        accuracy = "" if progress.accuracy is None else f" {_so_far(progress.accuracy, MEASURES[progress.measure])}"
        loss = "" if progress.loss is None else f" loss {progress.loss:.3f}"
        state = (
            f"experience {progress.experience}/{progress.experiences} epoch {progress.epoch}/{progress.epochs}"
            f"{loss}{accuracy}"
        )
        self.bars.update(self.rows[name], completed=progress.done, total=progress.total, state=state)
        self.share[name] = progress.done / progress.total
        self._show_whole()
        if self.lines_for_experiences and not self.live and progress.experience > self.experience.get(name, 0):
            self.experience[name] = progress.experience
            self._line(f"{name}: {state}")

    def _wait(self, config: RunConfig, note: Note) -> None:
        name = self._label(config)
        if name in self.rows:
            self.bars.remove_task(self.rows.pop(name))
        self._line(f"{name}: {note.text}")

    def _end(self, config: RunConfig, outcome: Outcome) -> None:
        name = self._label(config)
        self.ended += 1
        self.share[name] = 1.0
        self._show_whole()
        if name in self.rows:
            self.bars.remove_task(self.rows.pop(name))
        numbers = "".join(
            f"{title and f' {title}'} {_shown(value, measure)}"
            for measure in MEASURES.values()
            for key, title in zip(
                measure.metrics[:2], ("ACC" if measure is ACCURACY else "", "forgetting"), strict=True
            )
            if (value := outcome.metrics.get(key)) is not None
        )
        reason = f": {outcome.reason}" if outcome.reason else ""
        left = self._time_left()
        status = "skipped, complete before" if outcome.status == "skipped" else outcome.status
        self._line(f"[{self.ended}/{self.runs}] {name}: {status}{reason}{numbers}{left}")

    def _label(self, config: RunConfig) -> str:
        return self.labels.setdefault(config.name, labels([config])[0])

    def _show_whole(self) -> None:
        done = sum(self.share.values())
        self.bars.update(self.whole, completed=done, state=f"{self.ended}/{self.runs} done")

    def _time_left(self) -> str:
        done = sum(self.share.values())
        if self.ended == self.runs or not done:
            return ""
        seconds = (time.monotonic() - self.start) / done * (self.runs - done)
        return f" ({seconds / 60:.0f} min left)" if seconds >= 90 else f" ({seconds:.0f} s left)"

    def _line(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _shown(value: float, measure: Measure) -> str:
    return f"{measure.factor * value:.{measure.digits}f} {measure.unit}"


def _so_far(value: float, measure: Measure) -> str:
    return f"acc {_shown(value, measure)}" if measure is ACCURACY else _shown(value, measure)


def labels(configs: Sequence[RunConfig]) -> list[str]:
    """Names of runs without hash, with what tells them apart: `partial-hypernetwork depth 2 generator=static seed 0`.

    That is, of options that aren't at their default, those in which runs of one stream and strategy differ. Where there
    are several streams, the stream comes first.
    """
    several = len({config.benchmark for config in configs}) > 1
    shared: dict[tuple[str, str], set[str]] = {}
    for config in configs:
        shared.setdefault((config.benchmark, config.strategy), _options(config)).intersection_update(_options(config))
    names = []
    for config in configs:
        depth = config.strategy_options.get("freeze_depth")
        said = [config.benchmark] if several else []
        said += [config.strategy, *([] if depth is None else [f"depth {depth}"])]
        said += sorted(_options(config) - shared[config.benchmark, config.strategy])
        names.append(" ".join([*said, f"seed {config.seed}"]))
    return names


def _options(config: RunConfig) -> set[str]:
    """A run's options that aren't at their default, but for its depth; of a path the last part."""
    changed = other_than_default(options_class("benchmark", config.benchmark), config.benchmark_options)
    changed |= other_than_default(options_class("strategy", config.strategy), config.strategy_options)
    words = set()
    for name, value in changed.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        words |= set() if name == "freeze_depth" else {f"{name}={text.rpartition('/')[2][:_LONGEST]}"}
    return words
