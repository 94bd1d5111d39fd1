"""A sweep on Ray: gives runs to Ray, hears of them, gives those whose worker died to it once more."""

import contextlib
import dataclasses
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clhyper.errors import RunError, UserError, require
from clhyper.runs.checks import distinct
from clhyper.runs.config import RunConfig
from clhyper.runs.files import read_object
from clhyper.runs.folder import RESULT, BusyError, RunFolder
from clhyper.runs.fronts import located
from clhyper.runs.outcome import Note, Outcome, Progress, Report
from clhyper.runs.ray_cluster import room
from clhyper.runs.ray_leftovers import SWEEP, clear_away, prefix
from clhyper.runs.ray_task import Ended, Job, Place, Post, Told, look, work
from clhyper.runs.travelling import Files, read_files, write_files
from clhyper.runs.waiting import Waiting

if TYPE_CHECKING:
    from clhyper.runs.ray_executor import RayExecutor

_SECONDS_TO_STOP = 5.0
_SECONDS_TO_END = 20.0
_MOST_STILLBORN = 3


@dataclass
class _Flight:
    """A run that was given to Ray. `held`: its lock, where nodes don't see the results. `stillborn`: tasks that ended
    before they began."""

    config: RunConfig
    attempt: int = 0
    node: str | None = None
    stillborn: int = 0
    stopping: bool = False
    failed: bool = False
    held: contextlib.ExitStack | None = None


@dataclass
class Sweep:
    """Runs that a `RayExecutor` gives to the cluster to which this process is connected."""

    executor: "RayExecutor"
    configs: Iterable[RunConfig]
    results: Path
    report: Report
    flights: dict[Any, _Flight] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def run(self) -> dict[str, Outcome]:
        import ray

        self.collecting = self.executor.collect == "always"
        self.fronts: dict[Path, Any] = {}
        listed = self.configs if isinstance(self.configs, list) else []
        self.slack = 2 if listed else 1  # so that a node needn't wait for the next run, where it is known
        self.waiting = Waiting(self.configs)
        token = f"{prefix(SWEEP)}{uuid.uuid4().hex}"
        self.place = Place(self.results.absolute(), Path.cwd(), token, named=self.executor.address is not None)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        lasting = {"max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
        self.post = ray.remote(Post).options(num_cpus=0, **lasting).remote()
        self.heard: str | None = None
        self._check(listed)
        self._make_token()
        self.news = self._next_news()
        try:
            while self._fill():
                ray.wait([self.news, *self.flights], fetch_local=False)
                landed, _ = ray.wait(list(self.flights), num_returns=len(self.flights), timeout=0, fetch_local=False)
                self._hear()  # a task tells of all before it ends
                for reference in landed:
                    self._land(reference)
        finally:
            self._withdraw()
        return self.outcomes

    def _check(self, configs: list[RunConfig]) -> None:
        """Looks at the input from one of the nodes."""
        import ray

        if not configs:
            return
        try:
            problem = ray.get(self._remote(look, configs[0]).remote(distinct(configs), self.place))
        except ray.exceptions.RayError:
            problem = None  # the runs will say why
        if problem is not None:
            raise UserError(problem)

    def _make_token(self) -> None:
        try:
            self.results.mkdir(parents=True, exist_ok=True)
            clear_away(self.results, SWEEP)
            (self.results / self.place.token).touch()
        except OSError as error:
            reason = (error.strerror or "unwritable").lower()
            raise UserError(f"results {self.results}: can't be written ({reason})") from None

    def _remote(self, function: Any, config: RunConfig) -> Any:
        """A function as a task with what a run needs. Ray doesn't repeat it: what it goes on from may have changed."""
        import ray

        threads, gpus = RunFolder(self.results, config).config.threads, self.executor.gpus(config)
        self.room = room(threads, gpus)
        if not max(self.room, default=0):
            needs = f"{threads} CPU{'s' if threads > 1 else ''}{f' and {gpus:g} GPU' if gpus else ''}"
            require(
                self.executor.address is not None,
                f"a run needs {needs}, which this machine doesn't have; fewer --threads or --gpus-per-run, or the"
                " --address of a cluster that has",
            )
            self.report(config, Note(f"waits for a node that has {needs}"))
        return ray.remote(function).options(num_cpus=threads, num_gpus=gpus, max_retries=0)

    def _fill(self) -> bool:
        """Gives Ray as many runs as the cluster can hold; whether any are under way."""
        while not self.flights or len(self.flights) < self.slack * max(1, sum(self.room)):
            config = self.waiting.take(lambda device: True)
            if config is None:
                break
            self._launch(_Flight(config))
        return bool(self.flights)

    def _launch(self, flight: _Flight) -> None:
        files = None
        if self.collecting:
            folder = RunFolder(self.results, flight.config)
            if flight.held is None:
                flight.held = contextlib.ExitStack()
                try:
                    flight.held.enter_context(folder.held())
                except BusyError:
                    self._end(flight, Outcome("busy", folder.path, "another process is at work on it"))
                    return
            files = read_files(folder.path)
        task = self._remote(work, flight.config)
        at_once = max(1, min(max(self.room), len(self.configs) if isinstance(self.configs, list) else max(self.room)))
        job = Job(flight.config, flight.attempt, self.place, at_once, files)
        self.flights[task.remote(job, self._front(flight.config), self.post)] = flight

    def _front(self, config: RunConfig) -> Any:
        """The content of a study's front, which Ray keeps once for all runs that take it."""
        import ray

        placed = located(config, self.results)
        if placed is config or not self.collecting:
            return None
        path = placed.strategy_options["front"]
        if path not in self.fronts:
            self.fronts[path] = ray.put(path.read_bytes())
        return self.fronts[path]

    def _next_news(self) -> Any:
        """Ready once something is there, or the actor is dead; of one that Ray would repeat it speaks on stderr."""
        return self.post.wait.options(max_task_retries=0).remote()

    def _hear(self) -> None:
        import ray

        name, all_told = ray.get(self.post.take.remote())
        if self.heard not in (None, name):  # a new one, which knows of none that is to stop
            for stopping in [flight for flight in self.flights.values() if flight.stopping]:
                self._stop(stopping)
        self.heard = name
        for told in all_told:
            flight = next((one for one in self.flights.values() if one.config.name == told.name), None)
            if flight is not None and flight.attempt == told.attempt:
                self._take(flight, told)
        if ray.wait([self.news], timeout=0)[0]:
            self.news = self._next_news()

    def _take(self, flight: _Flight, told: Told) -> None:
        flight.node = told.node
        self._write(flight, told.files)
        if flight.stopping or told.message is None:
            return
        answer = self.report(flight.config, told.message)
        if answer and isinstance(told.message, Progress):
            self._stop(flight)

    def _stop(self, flight: _Flight) -> None:
        flight.stopping = True
        self.post.stop.remote(flight.config.name, flight.attempt)

    def _write(self, flight: _Flight, files: Files) -> None:
        try:
            write_files(self.results / flight.config.name, files)
        except RunError as error:
            reason = f"{error}; the same command goes on, nothing finished is lost"
            self._end(flight, Outcome("failed", self.results / flight.config.name, reason))
            flight.failed = True
            self._stop(flight)

    def _land(self, reference: Any) -> None:
        """A task has ended, whatever way."""
        import ray

        flight = self.flights.pop(reference)
        path = self.results / flight.config.name
        try:
            ended: Ended = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            text = f"{type(error.cause).__name__}: {error.cause}".partition("\n")[0]
            self._fail(flight, f"its worker{self._where(flight)} could not run it: {text}")
        except ray.exceptions.RayError as error:
            self._lost(flight, error)
        else:
            if ended.outcome is None:
                self.collecting = True
                self._launch(flight)
                return
            self._write(flight, ended.files)
            self._end(flight, dataclasses.replace(ended.outcome, folder=path))

    def _lost(self, flight: _Flight, error: Exception) -> None:
        """A worker or its node has died."""
        folder = RunFolder(self.results, flight.config)
        node_died = "Node" in type(error).__name__ or "Raylet" in type(error).__name__
        ended = f"its {'node' if node_died else 'worker'}{self._where(flight)} died"
        if "OutOfMemory" in type(error).__name__:
            ended = f"its node{self._where(flight)} ran out of memory"
        if folder.complete:
            metrics = read_object(folder.path / RESULT)["metrics"]
            self._end(flight, Outcome("complete", folder.path, metrics=metrics))
        elif flight.stopping:
            self._end(flight, Outcome("stopped", folder.path))
        elif flight.node is None and flight.stillborn < _MOST_STILLBORN:  # Ray gave it to a worker that was dead
            flight.stillborn += 1
            self._launch(flight)
        elif flight.attempt < self.executor.retries:
            flight.attempt, flight.node, flight.stillborn = flight.attempt + 1, None, 0
            count = f"retry {flight.attempt} of {self.executor.retries}"
            self.report(flight.config, Note(f"{ended}; it goes on from its last finished experience ({count})"))
            self._launch(flight)
        else:
            times = f" after {flight.attempt} retries" if flight.attempt else ""
            self._fail(flight, f"{ended}{times}; started again, it goes on from its last finished experience")

    def _where(self, flight: _Flight) -> str:
        return f" on {flight.node}" if flight.node and self.place.named else ""

    def _fail(self, flight: _Flight, reason: str) -> None:
        folder = RunFolder(self.results, flight.config)
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.fail(reason)
        self._end(flight, Outcome("failed", folder.path, reason))

    def _end(self, flight: _Flight, outcome: Outcome) -> None:
        if flight.held is not None:
            flight.held.close()
        if flight.failed:  # its files can't be written, whatever its node says
            return
        self.outcomes[flight.config.name] = outcome
        self.report(flight.config, outcome)

    def _withdraw(self) -> None:
        """Ends all that is under way; what it finished is kept, whatever Ray says."""
        import ray

        try:
            with contextlib.suppress(ray.exceptions.RayError):
                self._end_tasks()
        finally:
            for flight in self.flights.values():
                if flight.held is not None:
                    flight.held.close()
            (self.results / self.place.token).unlink(missing_ok=True)

    def _end_tasks(self) -> None:
        import ray

        for reference, flight in self.flights.items():
            self._stop(flight)
            if flight.node is None:
                ray.cancel(reference)
        end = time.monotonic() + _SECONDS_TO_STOP
        left = list(self.flights)
        while left and time.monotonic() < end:
            _, left = ray.wait(left, num_returns=len(left), timeout=0.5, fetch_local=False)
            self._hear()
        for reference in left:
            ray.cancel(reference, force=True)
        if left:
            ray.wait(left, num_returns=len(left), timeout=_SECONDS_TO_END, fetch_local=False)
        ray.kill(self.post)
