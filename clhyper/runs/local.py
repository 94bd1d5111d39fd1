"""Runs of a sweep in processes of this machine: a process a run, so that a crash costs that run alone, or several runs
side by side in one process."""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal

from clhyper.errors import UserError, require
from clhyper.runs.checks import distinct, first_problem
from clhyper.runs.config import RunConfig
from clhyper.runs.files import read_object
from clhyper.runs.folder import RESULT, RunFolder
from clhyper.runs.fronts import located
from clhyper.runs.outcome import Note, Outcome, Progress, Report
from clhyper.runs.waiting import Waiting
from clhyper.runs.worker import ASK, Stop, die_with_parent, side_by_side
from clhyper.runs.worker import alone as run_alone

_PRELOADED = ["clhyper.runs.run", "clhyper.runs.worker"]
_SECONDS_TO_END = 60.0


def execute(
    configs: Iterable[RunConfig],
    results: Path,
    jobs: int = 1,
    report: Report = lambda config, message: None,
    runs_per_device: int | Literal["auto"] = 1,
    devices: Sequence[str] = (),
) -> dict[str, Outcome]:
    """Runs every configuration and returns the outcomes by the configurations' names.

    With one run per device each run has a process of its own, forked from a server that has imported torch and
    Avalanche once. With more, a process has that many side by side in threads, on a GPU each on a stream of its own;
    `auto` adds runs while they make clearly more steps together and memory allows. A run that finds no memory beside
    others goes on later, with one fewer at once. If a process dies, what it had goes on in a process of its own, one
    run after the other; a run that dies there too is failed.

    If this process dies, they die with it; whatever was under way goes on from its last finished experience at the
    next start. What plugins draw from global random states repeats only with one run per device.

    Args:
        configs: If it has no length, the next one is drawn when there is room for it, and only the runs themselves find
            bad input.
        jobs: Processes at once for each device that the configurations name.
        report: Told of each run; may stop it.
        devices: Where runs go in place of their own device, each to the one with the fewest processes.

    Raises:
        UserError: bad input in any of the runs, found before the first one starts.
    """
    require(jobs >= 1, f"jobs {jobs}: at least 1")
    require(
        runs_per_device == "auto" or (type(runs_per_device) is int and runs_per_device >= 1),
        f"runs_per_device {runs_per_device}: at least 1, or auto",
    )
    context = _context()
    configs = list(configs) if isinstance(configs, Sized) else configs
    if isinstance(configs, list):
        _check([located(config, results) for config in configs], context)
    alone = isinstance(configs, list) and len(configs) < 2
    lanes = 1 if alone else None if runs_per_device == "auto" else runs_per_device
    return _Sweep(configs, results, jobs, report, lanes, context, devices).run()


def check_inputs(configs: Sequence[RunConfig], results: Path) -> None:
    """Raises `UserError` for bad input in any of the runs, and begins none; what `execute` does with a list."""
    _check([located(config, results) for config in configs], _context())


def _context() -> Any:
    """How processes are started."""
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        _start_server(context)
    return context


@dataclass
class _Worker:
    """A process, its device, the one its runs name, those under way, those to stop, and whether it has one only."""

    process: Any
    device: str
    named: str
    alone: bool
    running: dict[str, RunConfig] = field(default_factory=dict)
    stopping: set[str] = field(default_factory=set)


class _Sweep:
    """Gives runs to processes. `lanes`: runs side by side in each, None for as many as pay."""

    def __init__(
        self,
        configs: Iterable[RunConfig],
        results: Path,
        jobs: int,
        report: Report,
        lanes: int | None,
        context: Any,
        devices: Sequence[str],
    ) -> None:
        self.devices = devices
        self.results, self.jobs, self.report, self.lanes, self.context = results, jobs, report, lanes, context
        self.waiting, self.suspects = Waiting(configs), Waiting([])
        """The suspects were in a process when it died, and are to be run alone."""
        self.workers: dict[Connection, _Worker] = {}
        self.outcomes: dict[str, Outcome] = {}

    def run(self) -> dict[str, Outcome]:
        try:
            while self._start_workers():
                for ready in wait(list(self.workers)):
                    assert isinstance(ready, Connection)
                    self._hear(ready)
        finally:
            processes = [worker.process for worker in self.workers.values()]
            for process in processes:
                process.terminate()
            for process in processes:
                process.join(_SECONDS_TO_END)
                if process.exitcode is None:
                    process.kill()
                    process.join()
        return self.outcomes

    def _start_workers(self) -> bool:
        """Whether any are at work."""
        while True:
            suspect = self.suspects.take(self._has_room)
            config = suspect or self.waiting.take(self._has_room)
            if config is None:
                return bool(self.workers)
            self._start(config, alone=suspect is not None or self.lanes == 1)

    def _has_room(self, device: str) -> bool:
        return self._place(device) is not None

    def _place(self, device: str) -> str | None:
        """Where a run that names `device` may go now."""
        at_work = Counter(worker.device for worker in self.workers.values())
        free = [one for one in self.devices or (device,) if at_work[one] < self.jobs]
        return min(free, key=lambda one: at_work[one], default=None)

    def _start(self, config: RunConfig, alone: bool) -> None:
        here, there = self.context.Pipe()
        device = self._place(config.device) or config.device
        on_device = dataclasses.replace(config, device=device)
        arguments = (on_device, self.results, there, self.jobs * max(1, len(self.devices)))
        if alone:
            process = self.context.Process(target=run_alone, args=arguments)
        else:
            process = self.context.Process(target=side_by_side, args=(*arguments, self.lanes))
        process.start()
        there.close()
        self.workers[here] = _Worker(process, device, config.device, alone, {config.name: config})

    def _hear(self, ready: Connection) -> None:
        worker = self.workers[ready]
        try:
            message = ready.recv()
        except (EOFError, OSError):
            self._gone(ready)
            return
        if message is ASK:
            following = self.waiting.take(lambda device: device == worker.named)
            if following is not None:
                worker.running[following.name] = following
                following = dataclasses.replace(following, device=worker.device)
            with contextlib.suppress(OSError):  # it is dead, which is heard of next
                ready.send(following)
            return
        config, said = message
        if isinstance(said, Progress):
            self._advance(ready, worker, config, said)
            return
        worker.stopping.discard(config.name)
        if isinstance(said, Outcome):
            self.outcomes[config.name] = said
            worker.running.pop(config.name, None)
        self.report(config, said)

    def _advance(self, ready: Connection, worker: _Worker, config: RunConfig, progress: Progress) -> None:
        if config.name in worker.stopping or not self.report(config, progress):
            return
        worker.stopping.add(config.name)
        if worker.alone:
            worker.process.terminate()
            return
        with contextlib.suppress(OSError):
            ready.send(Stop(config.name))

    def _gone(self, ready: Connection) -> None:
        worker = self.workers.pop(ready)
        worker.process.join()
        ready.close()
        for config in worker.running.values():
            folder = RunFolder(self.results, config)
            ended = _ended(worker.process.exitcode)
            if folder.complete:  # it died between its last write and telling of it
                metrics = read_object(folder.path / RESULT)["metrics"]
                outcome = Outcome("complete", folder.path, metrics=metrics)
            elif config.name in worker.stopping:
                outcome = Outcome("stopped", folder.path)
            elif not worker.alone:
                self.suspects.add(config)
                self.report(config, Note(f"{ended}; it goes on alone from its last finished experience"))
                continue
            else:
                reason = f"{ended}; started again, it goes on from its last finished experience"
                folder.fail(reason)
                outcome = Outcome("failed", folder.path, reason)
            self.outcomes[config.name] = outcome
            self.report(config, outcome)


def _ended(exitcode: int | None) -> str:
    killed = f"by signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"with exit code {exitcode}"
    if exitcode == -signal.SIGKILL:
        killed += ", as the system ends one when memory runs out (fewer --jobs or a smaller batch take less)"
    return f"its process ended {killed}"


def _start_server(context: Any) -> None:
    """Starts the server, unless there is one: deaf to Ctrl-C from its first moment, which is the parent's affair, and
    blind to modules in the working folder (a `random.py` there) unless this process sees them too."""
    from multiprocessing import forkserver

    context.set_forkserver_preload(_PRELOADED)
    with contextlib.ExitStack() as afterwards:
        if threading.current_thread() is threading.main_thread():
            afterwards.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
        if not {"", os.getcwd()} & set(sys.path) and "PYTHONSAFEPATH" not in os.environ:
            os.environ["PYTHONSAFEPATH"] = "1"
            afterwards.callback(os.environ.pop, "PYTHONSAFEPATH")
        forkserver.ensure_running()


def _check(configs: Sequence[RunConfig], context: Any) -> None:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_tell_problem, args=(distinct(configs), sender))
    process.start()
    sender.close()
    try:
        problem = receiver.recv()
    except EOFError:
        problem = None  # it crashed: the runs will say why
    except BaseException:
        process.terminate()
        raise
    process.join()
    if problem is not None:
        raise UserError(problem)


def _tell_problem(configs: list[RunConfig], sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=die_with_parent, daemon=True).start()
    sender.send(first_problem(configs))
