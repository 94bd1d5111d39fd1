"""The trials of a search, drawn and kept by Optuna in a SQLite file.

SQLite's transactions survive a kill at any moment. A trial that was under way then is still running in the file, and
goes on: it keeps its number and settings, and its runs go on from their checkpoints.
"""

import contextlib
import hashlib
import json
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.errors import UserError
from clhyper.runs.config import RunConfig
from clhyper.tune.space import Choices, Dimension
from clhyper.tune.tuning import Tuning

__all__ = ["STORAGE", "Trial", "Trials", "require_optuna"]

STORAGE = "trials.db"
_DRAWS = 20
"""How often a setting is drawn anew that was tried before or can't be run."""
_SECONDS_LOCKED = 60.0
_MOST_STARTS = 3
_SETTINGS, _RUNS, _REASON, _VOID, _LOST = "settings", "runs", "reason", "void", "lost"


@dataclass(frozen=True)
class Trial:
    """A trial under way: its settings, and a run for each seed. `optuna`: the trial as Optuna has it."""

    number: int
    settings: dict[str, Any]
    configs: tuple[RunConfig, ...]
    optuna: Any


def require_optuna() -> Any:
    """The module `optuna`, told to be silent; raises `UserError` where it isn't installed."""
    try:
        import optuna
    except ImportError:
        raise UserError('clhyper tune needs optuna: pip install "clhyper[tune]"') from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Trials:
    """Draws trials, and tells Optuna how they ended. One process at a time, which holds the folder's lock.

    Raises:
        UserError: the file of trials is damaged, or of a version of Optuna that this one can't read.
    """

    def __init__(self, tuning: Tuning, folder: Path) -> None:
        self.tuning = tuning
        self.optuna = require_optuna()
        from clhyper.tune.pruners import pruner

        file = folder / STORAGE
        try:
            storage = self.optuna.storages.RDBStorage(
                f"sqlite:///{file.absolute()}", engine_kwargs={"connect_args": {"timeout": _SECONDS_LOCKED}}
            )
            self.study = self.optuna.create_study(
                storage=storage,
                study_name=tuning.name,
                directions=[objective.direction for objective in tuning.objectives],
                pruner=pruner(tuning.pruner),
                load_if_exists=True,
            )
            known = self.study.get_trials(deepcopy=False)
        except Exception as error:  # SQLAlchemy's and Optuna's own, of many kinds
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise UserError(f"{file}: can't be read ({reason}); move it away to search anew") from None
        states = self.optuna.trial.TrialState
        self.unfinished = [trial for trial in known if trial.state == states.RUNNING]
        self.tried = {json.dumps(trial.user_attrs.get(_SETTINGS)) for trial in known if trial.state != states.RUNNING}
        self.names = {name for trial in known for name in trial.user_attrs.get(_RUNS, ())}
        self.all_settings = tuning.space.all_settings()

    def next(self) -> Trial | None:
        """One that was under way when the search stopped, or a new one; None if there is no other setting."""
        while self.unfinished:
            found = self._taken(self.unfinished.pop(0))
            if found is not None:
                return found
        for _ in range(_DRAWS if self.all_settings is None else len(self.all_settings) + _DRAWS):
            number = len(self.study.get_trials(deepcopy=False))
            if self.all_settings is not None and not self._enqueue_untried(number):
                return None
            self.study.sampler = self._sampler(number)
            found = self._settled(self.study.ask())
            if found is not None:
                return found
        return None

    def finish(self, trial: Trial, values: list[float]) -> None:
        """Notes the measures of a trial that is complete."""
        self.study.tell(trial.number, values)

    def fail(self, trial: Trial, reason: str, void: bool = False) -> None:
        """Notes why a trial failed; void: it doesn't count."""
        trial.optuna.set_user_attr(_VOID if void else _REASON, reason)
        self.study.tell(trial.number, state=self.optuna.trial.TrialState.FAIL)

    def lose(self, trial: Trial, reason: str) -> None:
        """Notes what ended a trial that its settings aren't to blame for: it goes on later, three starts in all."""
        lost = [*self.study.get_trials(deepcopy=False)[trial.number].user_attrs.get(_LOST, ()), reason]
        trial.optuna.set_user_attr(_LOST, lost)
        if len(lost) == _MOST_STARTS:
            self.fail(trial, f"{reason.partition(';')[0]}, at the last of {_MOST_STARTS} starts")

    def prune(self, trial: Trial, reason: str) -> None:
        """Notes that a trial was stopped, and why."""
        trial.optuna.set_user_attr(_REASON, reason)
        self.study.tell(trial.number, state=self.optuna.trial.TrialState.PRUNED)

    def hopeless(self, trial: Trial, accuracies: list[float]) -> bool:
        """Whether the mean accuracies after each experience so far say that a trial is to be stopped."""
        known = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        for step, accuracy in enumerate(accuracies, start=1):
            if step not in known:
                trial.optuna.report(accuracy, step)
                if trial.optuna.should_prune():  # pruners compare what was reported last
                    return True
        return bool(accuracies) and trial.optuna.should_prune()

    def counted(self) -> list[Any]:
        """Optuna's frozen trials in order, without those that don't count: settings tried before or not to be run."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if _VOID not in trial.user_attrs]

    def reason(self, frozen: Any) -> str:
        """Why one of Optuna's frozen trials failed, was pruned or is still under way; empty for a complete one."""
        if frozen.state == self.optuna.trial.TrialState.RUNNING:
            return str((frozen.user_attrs.get(_LOST) or [""])[-1])
        return str(frozen.user_attrs.get(_REASON, ""))

    def best(self) -> list[Any]:
        """The best trial, or with several objectives all that no other beats in each; none if none is complete."""
        if not any(trial.state == self.optuna.trial.TrialState.COMPLETE for trial in self.counted()):
            return []
        first = -1 if self.tuning.objectives[0].direction == "maximize" else 1
        front = self.study.best_trials if len(self.tuning.objectives) > 1 else [self.study.best_trial]
        return sorted(front, key=lambda trial: (first * trial.values[0], trial.number))

    def _taken(self, frozen: Any) -> Trial | None:
        """A trial that was under way, at work again."""
        self.study.sampler = self._sampler(frozen.number)
        self.names -= set(frozen.user_attrs.get(_RUNS, ()))
        return self._settled(self.optuna.trial.Trial(self.study, frozen._trial_id))

    def _settled(self, trial: Any) -> Trial | None:
        """A trial of Optuna's with its settings; void and None if they were tried before or can't be run."""
        settings = self.tuning.space.draw(lambda dimension: _drawn(trial, dimension))
        key = json.dumps(_plain(settings))
        problem = "tried before" if key in self.tried else None
        configs: tuple[RunConfig, ...] = ()
        if problem is None:
            try:
                configs = tuple(self.tuning.trial(settings, seed) for seed in self.tuning.seeds)
            except UserError as error:
                problem = str(error)
        if self.names & {config.name for config in configs}:
            problem = "the same runs as an earlier trial's"
        self.tried.add(key)
        found = Trial(trial.number, settings, configs, trial)
        trial.set_user_attr(_SETTINGS, _plain(settings))
        if problem is not None:
            self.fail(found, problem, void=True)
            return None
        trial.set_user_attr(_RUNS, [config.name for config in configs])
        self.names |= {config.name for config in configs}
        return found

    def _enqueue_untried(self, number: int) -> bool:
        """Sees to it that a finite space is walked through once; False if nothing is left of it."""
        left = [settings for settings in self.all_settings or () if json.dumps(_plain(settings)) not in self.tried]
        if not left:
            return False
        waiting = self.study.get_trials(deepcopy=False, states=(self.optuna.trial.TrialState.WAITING,))
        if not waiting and self._repeats:
            texts = random.Random(self._seed(number)).choice(left)
            self.study.enqueue_trial(_as_suggested(self.tuning.space.dimensions, texts))
        return True

    @property
    def _repeats(self) -> bool:
        """Whether the sampler's latest setting was tried before."""
        latest = self.study.get_trials(deepcopy=False)[-1:]
        return bool(latest) and _VOID in latest[0].user_attrs

    def _sampler(self, number: int) -> Any:
        """A sampler whose draws follow from the search's seed, the trial's number and the trials before it."""
        samplers, seed = self.optuna.samplers, self._seed(number)
        if self.tuning.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        with _no_warnings(self.optuna):
            return samplers.TPESampler(seed=seed, constant_liar=True)

    def _seed(self, number: int) -> int:
        """Seeds of two trials differ, whether or not the search was stopped between them."""
        return int.from_bytes(hashlib.sha256(f"{self.tuning.search_seed} {number}".encode()).digest()[:4], "big")


def _drawn(trial: Any, dimension: Dimension) -> Any:
    if isinstance(dimension, Choices):
        return dimension.values[dimension.texts.index(trial.suggest_categorical(dimension.name, dimension.texts))]
    suggest = trial.suggest_int if dimension.whole else trial.suggest_float
    return dimension.drawn(suggest(dimension.name, dimension.low, dimension.high, log=dimension.log))


def _as_suggested(dimensions: tuple[Dimension, ...], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as Optuna has them, choices as they were written."""
    return {
        d.name: d.texts[d.values.index(settings[d.name])] if isinstance(d, Choices) else settings[d.name]
        for d in dimensions
        if d.name in settings
    }


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}


@contextlib.contextmanager
def _no_warnings(optuna: Any) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
