"""Runs of a sweep as jobs of a Slurm cluster, through submitit; the nodes share the file system of the results."""

import contextlib
import dataclasses
import itertools
import json
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clhyper.errors import UserError, require, unknown
from clhyper.runs.config import RunConfig
from clhyper.runs.files import read_object
from clhyper.runs.folder import EXPERIENCES, FAILURE, RESULT, RunFolder
from clhyper.runs.outcome import Note, Outcome, Progress, Report

JOBS = ".jobs"
"""Folder among the results that has what submitit writes: submissions, and logs of jobs that ended without a result."""
_AT_ONCE = 8
_SECONDS = {"slurm": 5.0, "local": 0.2}
"""Between looks at the jobs."""
_UNKNOWN = re.compile(r"Unknown argument '([^']*)'.*Valid arguments: (.*)")
"""What submitit says of an option, with all that it knows."""
_MINUTES_OF_LOCAL_JOBS = 7 * 24 * 60


@dataclass(frozen=True)
class SlurmExecutor:
    """A job for each run, with the run's threads as CPUs and, on cuda, one GPU.

    `options`: of sbatch by the names that submitit gives them (partition, time, account, gres, ...), and `cluster`:
    slurm, or local for processes of this machine. Of a list all jobs are submitted at once, as arrays; of what has no
    length as many as `array_parallelism` says, or 8. A job that is preempted or reaches its time goes on in the queue.
    """

    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cluster = self.options.get("cluster", "slurm")
        require(cluster in _SECONDS, f"slurm cluster={cluster}: give slurm, or local for processes of this machine")
        at_once = self.options.get("array_parallelism", _AT_ONCE)
        require(
            isinstance(at_once, int) and at_once >= 1, f"slurm array_parallelism={at_once}: give a number of at least 1"
        )

    def execute(self, configs: Iterable[RunConfig], results: Path, report: Report) -> dict[str, Outcome]:
        """As `Executor` says, but that bad input is found by the runs.

        Raises:
            UserError: an unknown option, no Slurm on this machine, or results that can't be written.
        """
        with tempfile.TemporaryDirectory() as folder:  # which submitit makes, even where it refuses an option
            self.submitter(Path(folder))
        return _Jobs(self, results, report).run(configs)

    def submitter(self, folder: Path, device: str = "cpu", threads: int = 1) -> Any:
        """Submitit's executor for runs on `device`."""
        import submitit

        options = dict(self.options)
        cluster = options.pop("cluster", "slurm")
        given = {"cpus_per_task": threads, "name": "clhyper", "timeout_min": _MINUTES_OF_LOCAL_JOBS}
        if device.startswith("cuda") and not {"gres", "gpus_per_node", "gpus_per_task"} & options.keys():
            given["gpus_per_node"] = 1
        try:
            made = submitit.AutoExecutor(folder=folder, cluster=cluster)
        except RuntimeError:
            raise UserError(
                "executor slurm: no Slurm on this machine (sbatch and srun are missing); start the sweep where jobs are"
                " submitted, or give --slurm cluster=local"
            ) from None
        if cluster == "slurm":
            del given["timeout_min"]
        try:
            made.update_parameters(**given, **{f"slurm_{name}": value for name, value in options.items()})
        except (NameError, AssertionError, TypeError, ValueError) as error:
            said = str(error).partition("\n")[0]
            if found := _UNKNOWN.match(said):
                raise unknown("option of slurm", found[1], found[2].split(", ")) from None
            raise UserError(f"slurm {' '.join(f'{k}={v}' for k, v in self.options.items())}: {said}") from None
        return made


class SlurmRun:
    """What a job does; put back into the queue by Slurm, it goes on from its last finished experience."""

    def __init__(self, config: RunConfig, results: Path) -> None:
        self.config, self.results = config, results
        self.requeued = False

    def __call__(self) -> Outcome:
        from clhyper.runs.worker import attempt

        folder = self.results / self.config.name
        if not (self.results / JOBS).is_dir():
            reason = (
                f"results {self.results}: node {socket.gethostname()} doesn't see them; slurm needs a file system that"
                " all nodes share, ray doesn't"
            )
            return Outcome("failed", folder, reason, misuse=True)
        outcome = attempt(self.config, self.results, lambda message: None)
        if self.requeued:  # the run ended only since its job did
            (folder / FAILURE).unlink(missing_ok=True)
            sys.exit(1)
        return outcome

    def checkpoint(self) -> Any:
        """Asked by submitit as the job is preempted or reaches its time: what to put into the queue."""
        from submitit.helpers import DelayedSubmission

        self.requeued = True
        return DelayedSubmission(SlurmRun(self.config, self.results))


@dataclass
class _Job:
    config: RunConfig
    job: Any
    seen: int
    stopping: bool = False


class _Jobs:
    """The jobs of a sweep, looked at again and again."""

    def __init__(self, executor: SlurmExecutor, results: Path, report: Report) -> None:
        self.executor, self.results, self.report = executor, results, report
        self.folder = results.absolute() / JOBS
        self.jobs: list[_Job] = []
        self.outcomes: dict[str, Outcome] = {}

    def run(self, configs: Iterable[RunConfig]) -> dict[str, Outcome]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = (error.strerror or "unwritable").lower()
            raise UserError(f"results {self.results}: can't be written ({reason})") from None
        pause = _SECONDS[self.executor.options.get("cluster", "slurm")]
        source = iter(configs)
        try:
            if isinstance(configs, Sized):
                self._submit(list(source))
            while self._draw(source) or self.jobs:
                time.sleep(pause)
                for job in list(self.jobs):
                    self._look(job)
        finally:
            self._cancel()
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # where no log is left
        return self.outcomes

    def _draw(self, source: Any) -> bool:
        """Submits what an iterator gives while there is room; whether it may give more."""
        while len(self.jobs) < self.executor.options.get("array_parallelism", _AT_ONCE):
            config = next(source, None)
            if config is None:
                return False
            self._submit([config])
        return True

    def _submit(self, configs: list[RunConfig]) -> None:
        left = []
        for config in configs:
            folder = RunFolder(self.results, config)
            if folder.complete:
                self._end(config, Outcome("skipped", folder.path, metrics=_metrics(folder)))
            else:
                left.append((folder.config.threads, config))
        left.sort(key=lambda pair: pair[0])
        for threads, group in itertools.groupby(left, key=lambda pair: pair[0]):
            alike = [config for _, config in group]
            submitter = self.executor.submitter(self.folder, alike[0].device, threads)
            with submitter.batch() if len(alike) > 1 else contextlib.nullcontext():
                jobs = [submitter.submit(SlurmRun(one, self.results.absolute())) for one in alike]
            for config, job in zip(alike, jobs, strict=True):
                self.jobs.append(_Job(config, job, len(self._records(config))))

    def _records(self, config: RunConfig) -> list[dict[str, Any]]:
        try:
            lines = (self.results / config.name / EXPERIENCES).read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]
        except (OSError, ValueError):
            return []

    def _look(self, job: _Job) -> None:
        ended = job.job.done()
        records = self._records(job.config)
        if len(records) > job.seen and not job.stopping:
            job.seen = len(records)
            if self.report(job.config, _progress(job.config, records)) and not ended:
                job.stopping = True
                job.job.cancel(check=False)
        if ended:
            self.jobs.remove(job)
            self._end(job.config, self._outcome(job))

    def _outcome(self, job: _Job) -> Outcome:
        from submitit.core.utils import FailedJobError, UncompletedJobError

        folder = RunFolder(self.results, job.config)
        with contextlib.suppress(UncompletedJobError, FailedJobError):
            outcome: Outcome = job.job.result()
            self._clear_away(job)
            return dataclasses.replace(outcome, folder=folder.path)
        if folder.complete:
            return Outcome("complete", folder.path, metrics=_metrics(folder))
        if job.stopping:
            self._clear_away(job)
            return Outcome("stopped", folder.path)
        reason = (
            f"its job {job.job.job_id} ended without a result ({str(job.job.state).lower()}), see"
            f" {job.job.paths.stderr}; started again, it goes on from its last finished experience"
        )
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.fail(reason)
        return Outcome("failed", folder.path, reason)

    def _clear_away(self, job: _Job) -> None:
        for path in self.folder.glob(f"{job.job.job_id}_*"):
            path.unlink(missing_ok=True)

    def _end(self, config: RunConfig, outcome: Outcome) -> None:
        self.outcomes[config.name] = outcome
        self.report(config, outcome)

    def _cancel(self) -> None:
        """Cancels the jobs that this sweep started and that have not ended."""
        if not self.jobs:
            return
        self.report(self.jobs[0].config, Note(f"{len(self.jobs)} jobs of this sweep are cancelled"))
        for job in self.jobs:
            with contextlib.suppress(OSError):
                job.job.cancel(check=False)
        if self.executor.options.get("cluster") == "local":
            for job in self.jobs:
                job.job.wait()
                self._clear_away(job)


def _metrics(folder: RunFolder) -> dict[str, float | None]:
    metrics: dict[str, float | None] = read_object(folder.path / RESULT)["metrics"]
    return metrics


def _progress(config: RunConfig, records: list[dict[str, Any]]) -> Progress:
    """What the records of finished experiences say; they hold no loss."""
    row = records[-1]["accuracy"]
    known = [value for value in row if value is not None]
    epochs, experiences, done = config.strategy_options.get("epochs", 1), len(row), len(records)
    return Progress(
        done=done * epochs,
        total=max(experiences, done) * epochs,
        experience=min(done + 1, experiences),
        experiences=experiences,
        epoch=1 if done < experiences else epochs,
        epochs=epochs,
        loss=None,
        accuracy=sum(known) / len(known) if known else None,
        measure=records[-1].get("measure", "accuracy"),
    )
