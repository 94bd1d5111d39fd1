"""The life of a sweep's processes: one run, or several side by side in threads, each on a stream of its own."""

import contextlib
import functools
import gc
import itertools
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from clhyper.errors import UserError
from clhyper.registry import find
from clhyper.runs.config import RunConfig
from clhyper.runs.files import wait_for_writing
from clhyper.runs.folder import FAILURE, BusyError, RunFolder
from clhyper.runs.lanes import Lane, Seen, Throughput, decide
from clhyper.runs.outcome import Message, Note, Outcome, Stopped
from clhyper.threads import process, turns

_POISONED = "CUDA error"
"""in the reason of a run after which a process can no longer use its GPU"""

_LOOKS = 0.25
"""Seconds between looks at the throughput."""

ASK = None
"""What a worker sends to be given one more run; it gets a configuration, or None if none is left."""


@dataclass(frozen=True)
class Stop:
    """What a worker is sent that is to stop one of its runs."""

    name: str


def alone(config: RunConfig, results: Path, connection: Connection, processes: int) -> None:
    """A process that has one run."""
    _begin()
    tell = functools.partial(_send, connection, threading.Lock(), config)
    tell(attempt(config, results, tell, runs_at_once=processes))


def side_by_side(first: RunConfig, results: Path, connection: Connection, processes: int, lanes: int | None) -> None:
    """A process that has up to `lanes` runs in threads, or as many as pay (None); it asks for one after the other."""
    _begin()
    signal.signal(signal.SIGTERM, _end_when_written)
    _SideBySide(first, results, connection, processes, lanes).serve()


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    threading.Thread(target=die_with_parent, daemon=True).start()


def die_with_parent() -> None:
    """Ends this process when its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _end_when_written(number: int, frame: object) -> None:
    wait_for_writing()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _send(connection: Connection, sending: threading.Lock, config: RunConfig, message: Message) -> None:
    try:
        with sending:
            connection.send((config, message))
    except OSError:  # the parent is gone: no failure of the run
        os._exit(1)


def attempt(config: RunConfig, results: Path, tell: Callable[[Message], None], **how: Any) -> Outcome:
    """One run to its end, whatever that is."""
    from clhyper.runs.run import is_out_of_memory, run

    folder = RunFolder(results, config)
    try:
        return run(config, results, tell, **how)
    except BusyError:
        return Outcome("busy", folder.path, "another process is at work on it")
    except Stopped:
        return Outcome("stopped", folder.path)
    except (Exception, SystemExit) as error:  # a thread that exits would say nothing
        misuse = isinstance(error, UserError)
        reason = str(error) if misuse else f"{type(error).__name__}: {error}".partition("\n")[0]
        with contextlib.suppress(OSError):  # the reason may be that nothing can be written
            folder.path.mkdir(parents=True, exist_ok=True)
        folder.fail(reason)
        return Outcome("failed", folder.path, reason, misuse=misuse, out_of_memory=is_out_of_memory(error))


class _SideBySide:
    """Starts runs in threads while there is room, and makes less room when memory runs out."""

    def __init__(
        self, first: RunConfig, results: Path, connection: Connection, processes: int, lanes: int | None
    ) -> None:
        self.results, self.connection, self.processes = results, connection, processes
        self.device = first.device
        self.waiting = deque([first])
        self.more = True
        self.given: queue.SimpleQueue[RunConfig | None] = queue.SimpleQueue()
        self.stopping: set[str] = set()
        self.running: dict[int, tuple[RunConfig, Lane, threading.Thread]] = {}
        self.ended: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
        self.sending = threading.Lock()
        self.streams: dict[int, Any] = {}
        self.throughput = Throughput()
        self.limit, self.settled = lanes or 1, lanes is not None
        self.history = [] if self.settled else [Seen(0, 0.0, self._free())]
        self.throughput.restart(range(self.limit))

    def serve(self) -> None:
        """Returns when no run is left."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            while len(self.running) < self.limit and (config := self._next()) is not None:
                if not self._fits(config):
                    self.waiting.appendleft(config)
                    break
                self._start(config)
            if not self.running:
                return
            with contextlib.suppress(queue.Empty):
                self._end(*self.ended.get(timeout=None if self.settled else _LOOKS))
            if not self.settled:
                self._adapt()

    def _next(self) -> RunConfig | None:
        if self.waiting:
            return self.waiting.popleft()
        if self.more:
            try:
                with self.sending:
                    self.connection.send(ASK)
            except OSError:  # the parent is gone
                os._exit(1)
            config = self.given.get()
            self.more = config is not None
            return config
        return None

    def _listen(self) -> None:
        """The life of the thread that hears the parent."""
        while True:
            try:
                heard = self.connection.recv()
            except (EOFError, OSError):  # the parent is gone
                os._exit(1)
            if isinstance(heard, Stop):
                self.stopping.add(heard.name)
            else:
                self.given.put(heard)

    def _fits(self, config: RunConfig) -> bool:
        """Whether a run may begin beside the others: a process has one number of CPU threads, which decides numbers."""
        configs = (config, *(other for other, _, _ in self.running.values()))
        threads = {RunFolder(self.results, other).config.threads for other in configs}
        return len(threads) == 1 or self.device != "cpu"

    def _start(self, config: RunConfig) -> None:
        with contextlib.suppress(Exception), process:  # the run itself will say why; imports may parse
            find("benchmark", config.benchmark).load(), find("strategy", config.strategy).load()
        self.stopping.discard(config.name)
        slot = next(number for number in itertools.count() if number not in self.running)
        lane = Lane()
        thread = threading.Thread(target=self._work, args=(slot, config, lane), name=config.name, daemon=True)
        self.running[slot] = config, lane, thread
        self._count()
        thread.start()

    def _count(self) -> None:
        for _, lane, _ in self.running.values():
            lane.beside(len(self.running))

    def _work(self, slot: int, config: RunConfig, lane: Lane) -> None:
        """The life of one thread."""

        def tell(message: Message) -> None:
            if config.name in self.stopping:
                raise Stopped
            _send(self.connection, self.sending, config, message)

        how = {
            "runs_at_once": self.processes,
            "lanes": lane.most,
            "steps": functools.partial(self.throughput.add, slot),
        }
        outcome = Outcome("failed", self.results / config.name, "its thread ended")
        try:
            with self._stream(slot):
                outcome = attempt(config, self.results, tell, **how)
        finally:
            if _POISONED in (outcome.reason or "") and not outcome.out_of_memory and lane.ever > 1:
                os._exit(1)  # all runs of this process fail from now on: as after a crash, each goes on alone
            self.ended.put((slot, outcome))

    def _stream(self, slot: int) -> Any:
        """The lane's stream, kept for the next run: memory that PyTorch caches for a stream serves that one alone."""
        if not self.device.startswith("cuda"):
            return contextlib.nullcontext()
        import torch

        if slot not in self.streams:
            self.streams[slot] = torch.cuda.Stream(torch.device(self.device))
        return torch.cuda.stream(self.streams[slot])

    def _end(self, slot: int, outcome: Outcome) -> None:
        config, lane, thread = self.running.pop(slot)
        thread.join()
        self._count()
        self._release()
        if outcome.out_of_memory and lane.ever > 1:
            self.limit, self.settled = max(1, len(self.running)), True
            self.waiting.append(config)
            with contextlib.suppress(OSError):
                (outcome.folder / FAILURE).unlink(missing_ok=True)
            text = f"out of memory beside other runs: {self.limit} at once from here on, and it goes on later from its"
            outcome_or_note: Outcome | Note = Note(f"{text} last finished experience")
        else:
            outcome_or_note = outcome
        _send(self.connection, self.sending, config, outcome_or_note)

    def _release(self) -> None:
        """Gives back what an ended run held, for the others and for what `_free` sees."""
        if not self.device.startswith("cuda"):
            gc.collect()
            return
        import torch

        with turns.alone(), process, contextlib.suppress(RuntimeError):  # freed may be graphs; a device may be broken
            gc.collect()
            torch.cuda.empty_cache()

    def _free(self) -> float | None:
        if not self.device.startswith("cuda"):
            return None
        import torch

        return float(torch.cuda.mem_get_info(torch.device(self.device))[0]) if torch.cuda.is_available() else None

    def _adapt(self) -> None:
        rate = self.throughput.rate()
        if rate is None:
            return
        self.history.append(Seen(self.limit, rate, self._free()))
        lanes = decide(self.history)
        self.settled = lanes <= self.limit
        self.limit = lanes
        self.throughput.restart(range(lanes))
