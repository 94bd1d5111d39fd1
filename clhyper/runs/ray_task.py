"""What a Ray worker does: one run, in the results folder or, where a node can't see it, in a folder of its own."""

import asyncio
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clhyper.errors import UserError, require
from clhyper.runs.config import RunConfig
from clhyper.runs.fronts import located, name_and_hash
from clhyper.runs.outcome import Message, Outcome, Stopped
from clhyper.runs.ray_leftovers import RUN, clear_away, prefix
from clhyper.runs.travelling import Changes, Files, whole, write_files

_SECONDS_FOR_THE_LOCK = 60.0
"""How long a run that goes on elsewhere waits until the process that lost it has ended."""


@dataclass(frozen=True)
class Place:
    """Where a sweep is at home: its results, the folder from which its paths are taken, and a file beside the results
    by which a node knows them. `named`: say of bad input on which node it was found."""

    results: Path
    origin: Path
    token: str
    named: bool

    def seen(self) -> bool:
        """Whether this node sees the results."""
        return (self.results / self.token).is_file()


@dataclass(frozen=True)
class Job:
    """A run for a node. `files`: what it goes on from, in a folder of the node; None to work among the results."""

    config: RunConfig
    attempt: int
    place: Place
    runs_at_once: int
    files: Files | None


@dataclass(frozen=True)
class Told:
    """What a run tells of itself; a `message` of None says that it has begun on `node`."""

    name: str
    attempt: int
    message: Message | None
    files: Files
    node: str


@dataclass(frozen=True)
class Ended:
    """How a run ended, with all files of a folder of its own; an outcome of None: the results aren't here."""

    outcome: Outcome | None
    files: Files


class Post:
    """Ray actor that has what runs tell until the driver takes it, and answers whether they are to stop.

    One that died begins anew with nothing: by its `name` all see that, and give it once more what it may have lost.
    """

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.told: list[Told] = []
        self.arrived = asyncio.Event()
        self.stopping: set[tuple[str, int]] = set()

    async def tell(self, told: Told) -> tuple[str, bool]:
        """Its name, and whether the run is to stop."""
        self.told.append(told)
        self.arrived.set()
        return self.name, (told.name, told.attempt) in self.stopping

    async def wait(self) -> None:
        """Returns once something is there."""
        await self.arrived.wait()

    async def take(self) -> tuple[str, list[Told]]:
        """Its name, and what runs told since it was last taken."""
        taken, self.told = self.told, []
        self.arrived.clear()
        return self.name, taken

    async def stop(self, name: str, attempt: int) -> None:
        self.stopping.add((name, attempt))


def work(job: Job, front: bytes | None, post: Any) -> Ended:
    """A run to its end. `front`: the study's front that it takes, where the node can't see the results."""
    import ray

    if job.files is None and not job.place.seen():
        return Ended(None, {})
    with _at_home(job, front) as results:
        folder = results / job.config.name
        changes = Changes(folder) if job.files is not None else None
        known = None

        def send(message: Message | None, files: Files) -> tuple[str, bool]:
            told = Told(job.config.name, job.attempt, message, files, socket.gethostname())
            answer: tuple[str, bool] = ray.get(post.tell.remote(told))
            return answer

        def tell(message: Message | None) -> None:
            nonlocal known
            name, stop = send(message, changes.take() if changes else {})
            if changes and name != (known or name):  # what the one before had not passed on is lost
                name, stop = send(None, whole(folder))
            known = name
            if stop:
                raise Stopped

        outcome = _run(job, results, tell)
        return Ended(outcome, whole(folder) if changes else {})


def _run(job: Job, results: Path, tell: Any) -> Outcome:
    from clhyper.runs.folder import RunFolder
    from clhyper.runs.worker import attempt

    folder = RunFolder(results, job.config)
    try:
        tell(None)
        _go(job.place.origin, job.config)
    except Stopped:
        return Outcome("stopped", folder.path)
    except UserError as error:
        outcome = Outcome("failed", folder.path, str(error), misuse=True)
    else:
        patience = time.monotonic() + (_SECONDS_FOR_THE_LOCK if job.attempt else 0)
        outcome = attempt(job.config, results, tell, runs_at_once=job.runs_at_once)
        while outcome.status == "busy" and time.monotonic() < patience:
            outcome = attempt(job.config, results, tell, runs_at_once=job.runs_at_once)
    if outcome.reason is None:
        return outcome
    reason = outcome.reason.replace(str(results), str(job.place.results))
    if outcome.misuse:
        reason += f" (on node {socket.gethostname()})" if job.place.named else ""
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.fail(reason)
    return replace(outcome, reason=reason)


def look(configs: list[RunConfig], place: Place) -> str | None:
    """What is wrong with the input of a run, seen from this node, or None."""
    from clhyper.runs.checks import first_problem

    # Fronts that a study trained, which it has checked, may not be on this node.
    configs = [config for config in configs if located(config, place.results) is config]
    try:
        for config in configs:
            _go(place.origin, config)
        problem = first_problem(configs)
    except UserError as error:
        problem = str(error)
    return f"{problem} (on node {socket.gethostname()})" if problem and place.named else problem


@contextmanager
def _at_home(job: Job, front: bytes | None) -> Iterator[Path]:
    """The results folder to work in; one of the node's own ends with the run."""
    if job.files is None:
        yield job.place.results
        return
    clear_away(Path(tempfile.gettempdir()), RUN)
    results = Path(tempfile.mkdtemp(prefix=prefix(RUN)))
    try:
        write_files(results / job.config.name, job.files)
        if front is not None:
            path = Path(located(job.config, results).strategy_options["front"])
            path.parent.mkdir(parents=True)
            path.write_bytes(front)
        yield results
    finally:
        shutil.rmtree(results, ignore_errors=True)


def _go(origin: Path, config: RunConfig) -> None:
    """Makes `origin` the working folder, from which relative paths are taken."""
    options = {**config.benchmark_options, **config.strategy_options}
    relative = [
        f"{name} {value}"
        for name, value in options.items()
        if isinstance(value, Path) and not value.is_absolute() and name_and_hash(value) is None
    ]
    try:
        os.chdir(origin)
    except OSError:
        require(not relative, f"{', '.join(relative)}: taken from {origin}, which is not there; give the whole path")
        os.chdir("/")
