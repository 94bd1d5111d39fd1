"""Several runs in threads of one process give the numbers of runs alone, and go on when the process has ended."""

import dataclasses
import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from small_sweeps import (
    STRATEGIES,
    assert_same_numbers,
    finished_records,
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
from clhyper.runs import RunConfig, execute, load
from clhyper.runs import lanes as lanes_module
from clhyper.runs.outcome import Outcome
from clhyper.runs.worker import _SideBySide


def reasons(results: Path) -> dict[str, str]:
    return json.loads(next(results.glob("*/result.json")).read_text())["reasons"]


# The same numbers


@pytest.mark.parametrize(
    "strategies",
    [
        pytest.param(["ewc", "der", "latent-replay", "joint", "partial-hypernetwork"], id="five"),
        pytest.param(STRATEGIES, id="all", marks=pytest.mark.slow),
    ],
)
def test_runs_side_by_side_give_the_numbers_of_runs_alone(strategies, archive, uninterrupted, tmp_path):
    outcomes = execute(small_plan(archive, strategies), tmp_path, runs_per_device=4)
    assert {outcome.status for outcome in outcomes.values()} == {"complete"}
    assert len(outcomes) == len(strategies)
    assert_same_numbers(tmp_path, {k: v for k, v in uninterrupted.items() if k.split("_")[1] in strategies})


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


# Processes that end


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
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
