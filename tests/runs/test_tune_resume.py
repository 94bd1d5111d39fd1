"""A search that was stopped goes on: no trial counts twice, none is lost, and the numbers are as if nothing was."""

import json
import os
import signal
import sqlite3

import pytest
from small_searches import Here, repeatable, search, small_tuning, table
from small_sweeps import folders, run_to_end, start, wait_until, workers, write_archive

from clhyper.runs.executors import executor
from clhyper.runs.outcome import Outcome, Progress
from clhyper.tune.search import Search

pytest.importorskip("optuna")


class StopAt:
    """Raises `KeyboardInterrupt` in a run's second experience, or as its outcome is reported."""

    def __init__(self, run: int, outcome: bool) -> None:
        self.run, self.outcome, self.begun = run, outcome, []

    def __call__(self, config, message):
        if config.name not in self.begun:
            self.begun.append(config.name)
        if len(self.begun) > self.run and isinstance(message, Progress) and message.experience == 2:
            raise KeyboardInterrupt

    def execute(self, configs, results, report):
        def stop(config, message):
            if self.outcome and isinstance(message, Outcome) and len(self.begun) > self.run:
                raise KeyboardInterrupt
            return report(config, message)

        return Here(lambda c, m: None if self.outcome and c.name in self.begun else self(c, m)).execute(
            configs, results, stop
        )


def tuning(archive, **how):
    return small_tuning(archive, "learning_rate=1e-3..1e-1:log", "norm=batch,group", pruner="halving", **how)


@pytest.fixture(scope="module")
def undisturbed(archive, tmp_path_factory):
    """Trials of a search that nobody stopped."""
    return repeatable(search(tuning(archive), tmp_path_factory.mktemp("undisturbed"), 4).folder)


@pytest.mark.parametrize(
    ("run", "outcome"),
    [
        pytest.param(2, False, id="in a run"),
        pytest.param(0, False, id="in the first run", marks=pytest.mark.slow),
        pytest.param(2, True, id="before an outcome is written down", marks=pytest.mark.slow),
        pytest.param(0, True, id="before the first outcome is written down", marks=pytest.mark.slow),
    ],
)
def test_a_search_that_is_stopped_and_goes_on_ends_as_one_that_was_not(run, outcome, archive, undisturbed, tmp_path):
    made = Search(tuning(archive), tmp_path, 4)
    with pytest.raises(KeyboardInterrupt):
        made.run(StopAt(run, outcome))
    counts = json.loads((made.folder / "tuning.json").read_text())["trials"]
    assert (counts["under way"], sum(counts.values())) == (1, run + 1)
    assert repeatable(search(tuning(archive), tmp_path, 4).folder) == undisturbed


def test_a_trial_whose_settings_were_half_drawn_when_the_search_was_killed_is_drawn_to_its_end(archive, tmp_path):
    made = Search(tuning(archive), tmp_path, 1)
    with pytest.raises(KeyboardInterrupt):
        made.run(StopAt(0, outcome=False))
    with sqlite3.connect(made.folder / "trials.db") as database:
        database.execute("DELETE FROM trial_user_attributes")
        database.execute("DELETE FROM trial_params WHERE param_name = 'norm'")
    (row,) = table(search(tuning(archive), tmp_path, 1).folder)
    assert row["state"] == "complete"
    assert row["norm"] in ("batch", "group")


def words(archive, results, **flags):
    options = {
        **{"data": archive, "results": results, "threads": 1, "experiences": 4, "backbone": "small-convnet"},
        **{"epochs": 2, "batch-size": 8, "validation": 0.4, "trials": 4, "jobs": 2, "device": "cpu"},
        **flags,
    }
    given = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    return ["tune", "split-npz", "naive", *given, "--search", "learning_rate=1e-3..1e-1:log", "norm=batch,group"]


class Killing:
    """The local executor, whose process is killed in the second experience of the run with a learning rate."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def execute(self, configs, results, report):
        def kill(config, message):
            rate = config.strategy_options["learning_rate"]
            if rate == self.rate and isinstance(message, Progress) and message.experience == 2:
                for process in workers():
                    process.kill()
            return report(config, message)

        return executor("local").execute(configs, results, kill)


@pytest.mark.slow
def test_a_trial_whose_process_is_killed_goes_on_with_the_same_settings_and_fails_after_three_starts(archive, tmp_path):
    killed = small_tuning(archive, "learning_rate=0.01,0.02")
    for start_number in range(1, 4):
        made = search(killed, tmp_path, 2, Killing(0.01))
        states = {float(row["learning_rate"]): row for row in table(made.folder)}
        assert states[0.02]["state"] == "complete"
        assert states[0.01]["state"] == ("under way" if start_number < 3 else "failed")
        assert "its process ended by signal 9" in states[0.01]["reason"]
    assert states[0.01]["reason"].endswith(", at the last of 3 starts")
    again = Here()
    search(killed, tmp_path, 2, again)
    assert again.executed == []


def test_a_trial_whose_process_was_killed_once_ends_as_one_that_was_not(archive, tmp_path):
    pair = small_tuning(archive, "learning_rate=0.01,0.02")
    made = search(pair, tmp_path / "killed", 2, Killing(0.01))
    counts = json.loads((made.folder / "tuning.json").read_text())["trials"]
    assert (counts["complete"], counts["under way"], counts["failed"]) == (1, 1, 0)
    made = search(pair, tmp_path / "killed", 2)
    assert repeatable(made.folder) == repeatable(search(pair, tmp_path / "undisturbed", 2).folder)
    assert [row["reason"] for row in table(made.folder)] == ["", ""]


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_is_killed_or_interrupted_goes_on_with_the_same_command(sent, tmp_path):
    archive = write_archive(tmp_path / "small.npz")
    command = words(archive, tmp_path / "tuning", sampler="random", pruner="none")
    process = start(command, tmp_path / "first.log")
    runs = lambda: [run for found in folders(tmp_path / "tuning") for run in folders(found / "runs")]  # noqa: E731
    wait_until(lambda: any((run / "checkpoint.pt").exists() for run in runs()), "a run has finished an experience")
    os.kill(process.pid, sent)
    process.join(60)
    assert process.exitcode == (-signal.SIGKILL if sent == signal.SIGKILL else 130)
    if sent == signal.SIGINT:
        assert "stopped; the same command goes on" in (tmp_path / "first.log").read_text()
    wait_until(lambda: not workers(), "all processes have ended")
    (folder,) = folders(tmp_path / "tuning")
    begun = {run.name for run in folders(folder / "runs")}
    code, said = run_to_end(command, tmp_path / "second.log")
    assert code == 0, said
    rows = table(folder)
    assert [(row["trial"], row["state"]) for row in rows] == [(str(number), "complete") for number in range(4)]
    assert begun <= {row["runs"] for row in rows} == {run.name for run in folders(folder / "runs")}
    whole = tmp_path / "whole"
    assert run_to_end(words(archive, whole, sampler="random", pruner="none"), tmp_path / "third.log")[0] == 0
    assert repeatable(folders(whole)[0]) == repeatable(folder)


@pytest.mark.cluster
@pytest.mark.timeout(240)
def test_a_search_on_ray_tries_the_same_settings_with_the_same_numbers_and_stops_hopeless_ones(archive, tmp_path):
    pytest.importorskip("ray")
    rates = "learning_rate=0.01,0.02,1e-9"
    how = {"given": {"epochs": 3}, "protocol": {"first": 3}, "sampler": "random", "pruner": "halving"}
    here = search(small_tuning(archive, rates, **how), tmp_path / "here", 3)
    there = search(small_tuning(archive, rates, **how), tmp_path / "there", 3, executor("ray", collect="always"))
    rows = table(there.folder)
    assert [row["learning_rate"] for row in rows] == ["0.01", "0.02", "1e-09"]
    assert rows[2]["state"] == "pruned"
    assert int(rows[2]["experiences"]) < 3
    expected = {row["learning_rate"]: row["acc"] for row in table(here.folder) if row["state"] == "complete"}
    found = {row["learning_rate"]: row["acc"] for row in rows if row["state"] == "complete"}
    assert found == {rate: expected[rate] for rate in found}
    assert found
