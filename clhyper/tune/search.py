"""The search itself: draws trials while there is room, stops hopeless ones, and writes what came out."""

import dataclasses
import json
import statistics
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from clhyper.errors import UserError
from clhyper.runs.config import RunConfig
from clhyper.runs.executors import Executor
from clhyper.runs.files import read_object
from clhyper.runs.folder import EXPERIENCES, RESULT
from clhyper.runs.outcome import Message, Outcome, Progress
from clhyper.runs.reading import matrix_in
from clhyper.tune.outputs import RUNS, Outputs
from clhyper.tune.trials import Trial, Trials
from clhyper.tune.tuning import Tuning

__all__ = ["Search"]

_LOCK = "lock"
_LOCK_SECONDS = 1.0
_NOT_BY_SETTINGS = "goes on", "can't be written"
"""In reasons of runs whose process, node or disk failed: executors say that these go on, started again."""


@dataclass
class _Underway:
    """A trial with the measures of those of its runs that ended, and why it is over if it ended before all of them."""

    trial: Trial
    measures: list[list[float]] = field(default_factory=list)
    looked_at: int = 0
    over: str | None = None


class Search:
    """A search in the folder `results`/`tuning.name`, which goes on where an earlier process stopped.

    Args:
        tuning: What is searched.
        results: Folder that has one folder a search.
        trials: How many there are to be in all, earlier ones included.
        report: Told of (configuration, message) as runs go on.
        started: Told of each trial before its first run.
    """

    def __init__(
        self,
        tuning: Tuning,
        results: Path,
        trials: int,
        report: Callable[[RunConfig, Message], object] = lambda config, message: None,
        started: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        self.tuning, self.total, self.report, self.started = tuning, trials, report, started
        self.folder = results / tuning.name
        self._underway: dict[str, _Underway] = {}
        self._misuse: str | None = None

    def run(self, executor: Executor) -> Trials:
        """Runs what is left of the trials, and writes down each as it ends.

        Raises:
            UserError: another process is at work on this search, its folder can't be written or read, or bad input that
                only the first run could find.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / _LOCK, timeout=_LOCK_SECONDS).acquire()
        except Timeout:
            raise UserError(
                f"{self.folder}: another process is at work on this search; wait for it or stop it"
            ) from None
        except OSError as error:
            reason = (error.strerror or "unwritable").lower()
            raise UserError(f"results {self.folder.parent}: can't be written ({reason})") from None
        with lock:
            self.trials = Trials(self.tuning, self.folder)
            self.outputs = Outputs(self.trials, self.folder)
            try:
                executor.execute(self._configs(), self.folder / RUNS, self._hear)
            finally:
                self.outputs.write()
        if self._misuse is not None:
            raise UserError(self._misuse)
        return self.trials

    def _configs(self) -> Iterator[RunConfig]:
        """Runs, each drawn when there is room for it: what is tried next depends on what has ended."""
        while self._misuse is None:
            if not self.trials.unfinished and len(self.trials.counted()) >= self.total:
                return
            trial = self.trials.next()
            if trial is None:
                return
            self.started(trial)
            underway = _Underway(trial)
            waiting = deque(trial.configs)
            while waiting and underway.over is None:
                config = waiting.popleft()
                self._underway[config.name] = underway
                yield config

    def _hear(self, config: RunConfig, message: Message) -> bool | None:
        underway = self._underway[config.name]
        stop = None
        if isinstance(message, Progress):
            stop = underway.over is not None or self._is_hopeless(underway, config, message)
        elif isinstance(message, Outcome):
            if underway.over is None:
                self._take_in(underway, message)
            elif message.status in ("stopped", "complete"):  # it may have ended before it could be stopped
                message = dataclasses.replace(message, status="stopped", reason=underway.over, metrics={})
        self.report(config, message)
        return stop

    def _is_hopeless(self, underway: _Underway, config: RunConfig, progress: Progress) -> bool:
        """Looks at a trial's first run after each experience; prunes the trial if it does worse than others did."""
        learned = progress.experience - 1
        first = config == underway.trial.configs[0]
        if self.tuning.pruner == "none" or not first or learned <= underway.looked_at:
            return False
        accuracies = learned_accuracies(self.folder / RUNS / config.name)[:learned]
        if len(accuracies) < learned:  # not written here yet
            return False
        underway.looked_at = learned
        if not self.trials.hopeless(underway.trial, accuracies):
            return False
        underway.over = f"pruned at {100 * accuracies[-1]:.1f} % after experience {learned} of {progress.experiences}"
        self.trials.prune(underway.trial, underway.over)
        self.outputs.write()
        return True

    def _take_in(self, underway: _Underway, outcome: Outcome) -> None:
        """How a run ended, and with it perhaps its trial. A trial without an end goes on with the next command."""
        trial, reason = underway.trial, outcome.reason
        if outcome.status in ("busy", "stopped"):
            return
        if outcome.status == "failed" and outcome.misuse and not self.trials.best():
            self._misuse = reason
            return
        if outcome.status == "failed" and any(sign in str(reason) for sign in _NOT_BY_SETTINGS):
            underway.over = reason
            self.trials.lose(trial, str(reason))
            self.outputs.write()
            return
        if outcome.status != "failed":
            self._misuse = self._seen_too_much(outcome.folder)
            if self._misuse is not None:
                return
            measured = [objective.of(outcome.folder) for objective in self.tuning.objectives]
            underway.measures.append([value for value, _ in measured if value is not None])
            reason = next((why for _, why in measured if why), None)
        if reason is not None:
            underway.over = reason
            self.trials.fail(trial, reason)
        elif len(underway.measures) == len(trial.configs):
            self.trials.finish(trial, [statistics.fmean(values) for values in zip(*underway.measures, strict=True)])
        else:
            return
        self.outputs.write()

    def _seen_too_much(self, folder: Path) -> str | None:
        """What a run saw against the protocol, as a stream of somebody else's that doesn't know these options might."""
        evaluated_on, matrix = read_object(folder / RESULT).get("evaluated_on"), matrix_in(folder)
        protocol, name = self.tuning.protocol, self.tuning.benchmark
        if evaluated_on != "validation":
            return f"{name}: evaluates on {evaluated_on} images though asked for held-out ones; it can't be tuned on"
        if len(matrix) > protocol.seen:
            asked = f"{name}: brings {len(matrix)} experiences though asked for its first {protocol.seen}"
            return f"{asked}; choose --protocol class-order"
        return None


def learned_accuracies(folder: Path) -> list[float]:
    """After each finished experience of a run, the mean accuracy on those learned so far; until one is missing."""
    found: list[float] = []
    try:
        lines = (folder / EXPERIENCES).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line)["accuracy"] for line in lines]
    except (OSError, ValueError, KeyError, TypeError):
        return found
    for learned, row in enumerate(rows, start=1):
        if len(row) < learned or any(value is None for value in row[:learned]):
            break
        found.append(statistics.fmean(row[:learned]))
    return found
