"""Several runs in threads of one process: the numbers of runs alone, and what goes wrong in one costs that one."""

import dataclasses
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from small_sweeps import (
    STRATEGIES,
    all_numbers,
    assert_same_numbers,
    finished_records,
    numbers,
    run_to_end,
    server,
    small_plan,
    small_words,
    start,
    wait_until,
    workers,
)
from small_sweeps import _command as command

from clhyper.errors import UserError
from clhyper.runs import RunConfig, execute, load, make_config
from clhyper.runs import lanes as lanes_module
from clhyper.runs.outcome import Note, Outcome
from clhyper.runs.worker import _SideBySide

SPOILT = '''"""Is spoilt: fails in its second experience, in a way to be chosen."""

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from clhyper.options import TrainingOptions
from strategies.naive import Naive

__all__ = ["Spoilt"]


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Hyperparameters of what is spoilt."""

    by: str = "nothing"
    """what it fails by"""
    times: int = 1
    """how often"""
    notes: str = "."
    """folder with a file for each time"""


class Spoilt(Naive):
    Options = Options

    def prepare_experience(self):
        done = len(list(Path(self.options.notes).glob(f"{self.seed}-*")))
        if self.experiences_learned != 1 or done >= self.options.times:
            return
        (Path(self.options.notes) / f"{self.seed}-{done}").touch()
        if self.options.by == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7.00 GiB.")
        if self.options.by == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.options.by == "exit":
            sys.exit("enough")
        raise ZeroDivisionError("no way")
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with an installed package, as pip leaves one."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "spoilt_party").mkdir()
    (folder / "spoilt_party" / "__init__.py").write_text("")
    (folder / "spoilt_party" / "spoilt.py").write_text(SPOILT)
    (folder / "spoilt_party-1.0.dist-info").mkdir()
    (folder / "spoilt_party-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: spoilt_party\n")
    (folder / "spoilt_party-1.0.dist-info" / "entry_points.txt").write_text(
        "[strategies]\nspoilt = spoilt_party.spoilt\n"
    )
    return folder


@pytest.fixture
def spoilt(site, archive, tmp_path, monkeypatch):
    """The configuration of a run that fails so many times in some way."""
    monkeypatch.syspath_prepend(site)
    (tmp_path / "notes").mkdir()

    def make(by: str, times: int = 1, seed: int = 0) -> RunConfig:
        (naive,) = small_plan(archive, ["naive"])
        options = {"epochs": 1, "batch_size": 8, "by": by, "times": times, "notes": str(tmp_path / "notes")}
        return make_config("split-npz", "spoilt", naive.benchmark_options, options, seed=seed)

    return make


class Told:
    """What a sweep told, by the run's name."""

    def __init__(self) -> None:
        self.notes: Counter[str] = Counter()
        self.texts: list[str] = []

    def __call__(self, config, message) -> None:
        if isinstance(message, Note):
            self.notes[config.name] += 1
            self.texts.append(message.text)


def reasons(results: Path) -> dict[str, str]:
    return json.loads(next(results.glob("*/result.json")).read_text())["reasons"]


# The same numbers


def test_runs_side_by_side_give_the_numbers_of_runs_alone(archive, uninterrupted, tmp_path):
    outcomes = execute(small_plan(archive), tmp_path, runs_per_device=4)
    assert {outcome.status for outcome in outcomes.values()} == {"complete"}
    assert len(outcomes) == len(STRATEGIES)
    assert_same_numbers(tmp_path, uninterrupted)


def test_what_runs_side_by_side_cost_is_marked_and_what_can_not_be_told_apart_is_left_out(archive, tmp_path):
    execute(small_plan(archive, ["joint", "naive", "ewc"]), tmp_path, runs_per_device=3)
    table = load(tmp_path)
    assert set(table.runs_at_once) == {3}
    assert table.train_seconds.notna().all()
    assert table[["peak_host_bytes", "peak_device_bytes", "train_joules"]].isna().all(axis=None)
    assert "runs shared the process, and what each took can't be told apart" in reasons(tmp_path)["peak_host_bytes"]


def test_a_run_that_has_a_process_for_itself_is_marked_alone(archive, tmp_path):
    execute(small_plan(archive, ["naive"]), tmp_path, runs_per_device="auto")
    (row,) = load(tmp_path).itertuples()
    assert (row.runs_at_once, row.peak_host_bytes > 0) == (1, True)


@pytest.mark.slow
def test_a_finished_sweep_is_skipped_and_an_unfinished_one_goes_on_side_by_side(archive, uninterrupted, tmp_path):
    configs = small_plan(archive, ["naive", "ewc", "latent-replay"])
    execute(configs[:1], tmp_path, runs_per_device=2)
    outcomes = execute(configs, tmp_path, runs_per_device=2)
    assert [outcomes[config.name].status for config in configs] == ["skipped", "complete", "complete"]
    assert_same_numbers(tmp_path, {config.name: uninterrupted[config.name] for config in configs})


class Parent:
    """In place of the sweep's end of the connection: hands out runs and keeps what it is told."""

    def __init__(self, configs: list[RunConfig]) -> None:
        self.configs: list[RunConfig] = configs
        self.outcomes: dict[str, Outcome] = {}

    def send(self, message) -> None:
        if message is not None and isinstance(message[1], Outcome):
            self.outcomes[message[0].name] = message[1]

    def recv(self) -> RunConfig | None:
        return self.configs.pop(0) if self.configs else None


@pytest.mark.slow
def test_auto_adds_runs_while_together_they_get_faster(archive, uninterrupted, tmp_path, monkeypatch):
    monkeypatch.setattr(lanes_module, "SECONDS", 0.0)
    monkeypatch.setattr(lanes_module, "RISE", 0.0)  # whatever this machine's cores make of it
    monkeypatch.setattr("clhyper.runs.worker._LOOKS", 0.001)
    first, *rest = small_plan(archive)
    parent = Parent(rest)
    worker = _SideBySide(first, tmp_path, parent, 1, None)
    worker.serve()
    assert [seen.lanes for seen in worker.history][:3] == [0, 1, 2]
    assert worker.limit >= 4
    assert {outcome.status for outcome in parent.outcomes.values()} == {"complete"}
    assert_same_numbers(tmp_path, uninterrupted)


@pytest.mark.slow
def test_auto_keeps_one_run_where_two_are_not_faster(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(lanes_module, "SECONDS", 0.0)
    monkeypatch.setattr(lanes_module, "RISE", 1e9)
    monkeypatch.setattr("clhyper.runs.worker._LOOKS", 0.001)
    first, *rest = small_plan(archive, ["naive", "ewc", "lwf", "separate"])
    worker = _SideBySide(first, tmp_path, Parent(rest), 1, None)
    worker.serve()
    assert [seen.lanes for seen in worker.history] == [0, 1, 2]
    assert (worker.limit, worker.settled) == (1, True)
    assert set(load(tmp_path).status) == {"complete"}


# Memory


def test_out_of_memory_in_one_run_makes_less_room_and_it_goes_on_later(spoilt, archive, uninterrupted, tmp_path):
    others = small_plan(archive, ["naive", "ewc", "latent-replay", "separate"])
    configs, told = [spoilt("memory"), *others], Told()
    outcomes = execute(configs, tmp_path / "r", report=told, runs_per_device=3)
    assert {outcome.status for outcome in outcomes.values()} == {"complete"}
    assert told.texts == [
        "out of memory beside other runs: 2 at once from here on, and it goes on later from its last finished"
        " experience"
    ]
    assert told.notes[configs[0].name] == 1
    assert not list(tmp_path.glob("r/*/failure.json"))
    found = {name: numbers for name, numbers in all_numbers(tmp_path / "r").items() if "spoilt" not in name}
    assert found == {config.name: uninterrupted[config.name] for config in others}


@pytest.mark.slow
def test_a_run_without_memory_beside_others_gives_the_numbers_that_it_gives_with_it(spoilt, archive, tmp_path):
    configs = [spoilt("memory"), *small_plan(archive, ["naive"])]
    execute(configs, tmp_path / "r", runs_per_device=2)
    (tmp_path / "notes" / "0-1").touch()
    execute(configs[:1], tmp_path / "again")
    expected, found = all_numbers(tmp_path / "again"), all_numbers(tmp_path / "r")
    assert found[configs[0].name] == expected[configs[0].name]


def test_a_run_that_is_out_of_memory_alone_too_is_failed_and_the_others_complete(spoilt, archive, tmp_path):
    configs = [*small_plan(archive, ["naive", "ewc"]), spoilt("memory", times=99)]
    outcomes = execute(configs, tmp_path / "r", runs_per_device=3)
    assert [outcomes[config.name].status for config in configs] == ["complete", "complete", "failed"]
    assert outcomes[configs[2].name].reason == (
        "out of memory (OutOfMemoryError: CUDA out of memory. Tried to allocate 7.00 GiB.); a smaller batch size or"
        " fewer runs at once take less"
    )
    assert len(list((tmp_path / "notes").iterdir())) <= 3, "beside others, and alone"


# Other errors


@pytest.mark.parametrize(("by", "reason"), [("error", "ZeroDivisionError: no way"), ("exit", "SystemExit: enough")])
def test_an_error_in_one_run_fails_that_run_only(by, reason, spoilt, archive, uninterrupted, tmp_path):
    others = small_plan(archive, ["naive", "ewc"])
    outcomes = execute([spoilt(by), *others], tmp_path / "r", runs_per_device=3)
    (failed,) = [outcome for outcome in outcomes.values() if outcome.status == "failed"]
    assert failed.reason == reason
    assert set(load(tmp_path / "r").set_index("strategy").reason.dropna()) == {reason}
    found = all_numbers_of(tmp_path / "r", others)
    assert found == {config.name: uninterrupted[config.name] for config in others}


def all_numbers_of(results: Path, configs: list[RunConfig]) -> dict:
    return {config.name: numbers(results / config.name) for config in configs}


# Crashes


@pytest.mark.slow
def test_what_a_crash_stopped_goes_on_alone_and_what_crashes_again_is_failed(spoilt, archive, uninterrupted, tmp_path):
    others = small_plan(archive, ["naive", "ewc", "latent-replay", "separate"])
    culprit, told = spoilt("kill", times=99), Told()
    outcomes = execute([culprit, *others], tmp_path / "r", report=told, runs_per_device=3)
    assert {config.name: outcomes[config.name].status for config in others} == {c.name: "complete" for c in others}
    assert outcomes[culprit.name].status == "failed"
    assert "its process ended by signal 9" in outcomes[culprit.name].reason
    assert len(list((tmp_path / "notes").iterdir())) == 2
    assert told.notes[culprit.name] == 1
    assert all("it goes on alone from its last finished experience" in text for text in told.texts)
    assert len(finished_records(tmp_path / "r")[culprit.name]) == 1, "what it had finished is kept"
    found = all_numbers_of(tmp_path / "r", others)
    assert found == {config.name: uninterrupted[config.name] for config in others}


def test_a_killed_process_costs_at_most_the_experiences_under_way(archive, uninterrupted, tmp_path):
    strategies = ["partial-hypernetwork", "naive", "ewc", "latent-replay"]
    results = tmp_path / "r"
    words = small_words(archive, results, strategies, runs_per_device=4, jobs=1)
    sweep = start(words, tmp_path / "log")
    wait_until(lambda: list(results.glob("*partial*/checkpoint.pt")), "a run has finished an experience")
    (worker,) = workers(but=sweep)
    worker.kill()
    finished = finished_records(results)
    sweep.join(120)
    output = (tmp_path / "log").read_text()
    assert sweep.exitcode == 0, output
    assert "its process ended by signal 9" in output
    for name, records in finished.items():
        assert finished_records(results)[name][: len(records)] == records
    assert_same_numbers(results, {k: v for k, v in uninterrupted.items() if k.split("_")[1] in strategies})
    assert not workers()


def _hears_ctrl_c(words: list[str], log: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server that forked this process may ignore it
    command(words, log)


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_a_stopped_sweep_takes_its_threads_along_and_goes_on(number, archive, uninterrupted, tmp_path):
    strategies = ["partial-hypernetwork", "naive", "ewc", "latent-replay"]
    results = tmp_path / "r"
    words = small_words(archive, results, strategies, runs_per_device=4, jobs=1)
    sweep = server().Process(target=_hears_ctrl_c, args=(words, tmp_path / "log"))
    sweep.start()
    wait_until(lambda: list(results.glob("*/checkpoint.pt")), "an experience is finished")
    os.kill(sweep.pid, number)
    sweep.join(30)
    assert sweep.exitcode == (130 if number == signal.SIGINT else -signal.SIGKILL), (tmp_path / "log").read_text()
    wait_until(lambda: not workers(), "the sweep's processes are gone", seconds=20)
    finished = finished_records(results)
    assert not list(results.glob("*/failure.json"))
    assert not list(results.glob("*/.*")) or number == signal.SIGKILL
    time.sleep(0.05)
    code, output = run_to_end(words, tmp_path / "again")
    assert code == 0, output
    for name, records in finished.items():
        assert finished_records(results)[name][: len(records)] == records
    assert_same_numbers(results, {k: v for k, v in uninterrupted.items() if k.split("_")[1] in strategies})


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "many"])
def test_a_bad_number_of_runs_is_said_before_anything_starts(value, archive, tmp_path):
    with pytest.raises(UserError, match="runs_per_device"):
        execute(small_plan(archive, ["naive"]), tmp_path, runs_per_device=value)


# On a GPU


def on_gpu(archive: Path, strategies) -> list[RunConfig]:
    return [dataclasses.replace(config, device="cuda") for config in small_plan(archive, strategies)]


@pytest.mark.gpu
@pytest.mark.parametrize("lanes", [4, "auto"])
def test_on_a_gpu_runs_side_by_side_give_the_numbers_of_runs_alone(lanes, archive, tmp_path):
    assert torch.cuda.is_available()
    configs = on_gpu(archive, STRATEGIES)
    alone = execute(configs, tmp_path / "alone")
    beside = execute(configs, tmp_path / "beside", runs_per_device=lanes)
    assert {(outcome.status, outcome.reason) for outcome in (*alone.values(), *beside.values())} == {("complete", None)}
    for config in configs:
        ours, theirs = beside[config.name].metrics["acc"], alone[config.name].metrics["acc"]
        assert ours == pytest.approx(theirs, abs=0.05), config.name  # kernels with atomic sums don't repeat bit for bit


@pytest.mark.gpu
def test_on_a_gpu_a_run_for_which_memory_runs_out_goes_on_with_fewer_beside_it(spoilt, archive, tmp_path):
    configs = [dataclasses.replace(spoilt("memory"), device="cuda"), *on_gpu(archive, ["naive", "ewc"])]
    told = Told()
    outcomes = execute(configs, tmp_path / "r", report=told, runs_per_device=3)
    assert {outcome.status for outcome in outcomes.values()} == {"complete"}
    assert sum(told.notes.values()) == 1
