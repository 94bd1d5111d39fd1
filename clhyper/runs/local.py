"""Runs of a sweep in processes of this machine: one process a run, so that a crash costs that run alone."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from clhyper.errors import UserError
from clhyper.runs.config import RunConfig
from clhyper.runs.files import read_object
from clhyper.runs.folder import RESULT, BusyError, RunFolder
from clhyper.runs.outcome import Outcome, Progress

_PRELOADED = ["clhyper.runs.run"]


def execute(
    configs: Sequence[RunConfig],
    results: Path,
    jobs: int,
    report: Callable[[RunConfig, Progress | Outcome], None],
) -> dict[str, Outcome]:
    """Runs every configuration, `jobs` at a time, and returns the outcomes by the configurations' names.

    Each run has a process of its own, forked from a server that has imported torch and Avalanche once. If this process
    dies, they die with it; whatever was under way goes on from its last finished experience at the next start.

    Args:
        report: Told of (configuration, `Progress`) as it comes and (configuration, `Outcome`) at the end.

    Raises:
        UserError: bad input in any of the runs, found before the first one starts.
    """
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        _start_server(context)
    _check(configs, context)
    waiting = list(reversed(configs))
    running: dict[Connection, tuple[RunConfig, Any]] = {}
    outcomes: dict[str, Outcome] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                config = waiting.pop()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(config, results, sender, jobs))
                process.start()
                sender.close()
                running[receiver] = (config, process)
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                config, process = running[ready]
                try:
                    message = ready.recv()
                except (EOFError, OSError):
                    message = None
                if message is not None:
                    report(config, message)
                    if isinstance(message, Outcome):
                        outcomes[config.name] = message
                    continue
                process.join()
                ready.close()
                del running[ready]
                if config.name not in outcomes:
                    outcomes[config.name] = _died(config, results, process.exitcode)
                    report(config, outcomes[config.name])
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()
    return outcomes


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


def _work(config: RunConfig, results: Path, sender: Connection, jobs: int) -> None:
    """The life of one process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from clhyper.runs.run import run

    def tell(message: Progress | Outcome) -> None:
        try:
            sender.send(message)
        except OSError:  # the parent is gone: no failure of the run
            os._exit(1)

    folder = RunFolder(results, config)
    try:
        outcome = run(config, results, tell, runs_at_once=jobs)
    except BusyError:
        outcome = Outcome("busy", folder.path, "another process is at work on it")
    except Exception as error:
        misuse = isinstance(error, UserError)
        reason = str(error) if misuse else f"{type(error).__name__}: {error}".partition("\n")[0]
        with contextlib.suppress(OSError):  # the reason may be that nothing can be written
            folder.path.mkdir(parents=True, exist_ok=True)
        folder.fail(reason)
        outcome = Outcome("failed", folder.path, reason, misuse=misuse)
    tell(outcome)


def _check(configs: Sequence[RunConfig], context: Any) -> None:
    """Reads each stream once, which also fills the cache of images, and tries each depth on its backbone."""
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_prepare_all, args=(list(configs), sender))
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


def _prepare_all(configs: list[RunConfig], sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from clhyper.runs.run import prepare

    different = {
        (
            config.benchmark,
            str(config.benchmark_options),
            *(str(config.strategy_options.get(name)) for name in ("freeze_depth", "front", "front_norm")),
        ): config
        for config in configs
    }
    problem = None
    try:
        for config in different.values():
            prepare(config)
    except UserError as error:
        problem = str(error)
    except Exception:
        problem = None  # the runs will say why
    sender.send(problem)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _died(config: RunConfig, results: Path, exitcode: int | None) -> Outcome:
    folder = RunFolder(results, config)
    if folder.complete:  # it died between its last write and telling of it
        return Outcome("complete", folder.path, metrics=read_object(folder.path / RESULT)["metrics"])
    killed = f"by signal {-exitcode}" if exitcode is not None and exitcode < 0 else f"with exit code {exitcode}"
    if exitcode == -signal.SIGKILL:
        killed += ", as the system ends one when memory runs out (fewer --jobs or a smaller batch take less)"
    reason = f"its process ended {killed}; started again, it goes on from its last finished experience"
    folder.fail(reason)
    return Outcome("failed", folder.path, reason)
