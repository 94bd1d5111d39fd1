"""The interface of executors, with processes of this machine behind it."""

import dataclasses
import itertools

import pytest
from small_sweeps import assert_same_numbers, finished_records, folders, small_plan

from clhyper.errors import UserError
from clhyper.runs.config import read_toml
from clhyper.runs.executors import LocalExecutor, executor
from clhyper.runs.outcome import Outcome, Progress
from clhyper.runs.waiting import Waiting

STRATEGIES = ["naive", "latent-replay", "ewc"]


def named(runs: dict, strategies: list[str]) -> dict:
    return {name: numbers for name, numbers in runs.items() if name.split("_")[1] in strategies}


class Watch:
    """Notes what is reported, and stops runs of `stopped` in their third experience."""

    def __init__(self, stopped: tuple[str, ...] = ()) -> None:
        self.stopped, self.ended, self.after_stop = stopped, [], []

    def __call__(self, config, message):
        if isinstance(message, Outcome):
            self.ended.append((config.strategy, message.status))
            return None
        if not isinstance(message, Progress) or config.strategy not in self.stopped:
            return None
        if (config.strategy, "asked") in self.after_stop:
            self.after_stop.append((config.strategy, "progress"))
        if message.experience < 3:
            return None
        self.after_stop.append((config.strategy, "asked"))
        return True


def test_an_iterator_is_drawn_from_only_when_there_is_room_and_after_what_ended_was_reported(
    archive, uninterrupted, tmp_path
):
    watch, seen_when_drawn = Watch(), []

    def draw():
        for config in small_plan(archive, STRATEGIES):
            seen_when_drawn.append(len(watch.ended))
            yield config

    outcomes = LocalExecutor().execute(draw(), tmp_path, watch)
    assert seen_when_drawn == [0, 1, 2]
    assert [outcome.status for outcome in outcomes.values()] == ["complete"] * 3
    assert_same_numbers(tmp_path, named(uninterrupted, STRATEGIES))


@pytest.mark.parametrize("lanes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_run_is_stopped_where_it_is_when_its_report_says_so_and_goes_on_later(
    lanes, archive, uninterrupted, tmp_path
):
    configs, watch = small_plan(archive, STRATEGIES), Watch(("naive",))
    outcomes = LocalExecutor(runs_per_device=lanes).execute(configs, tmp_path, watch)
    assert dict(watch.ended) == {"naive": "stopped", "latent-replay": "complete", "ewc": "complete"}
    assert watch.after_stop == [("naive", "asked")]
    stopped = next(name for name, outcome in outcomes.items() if outcome.status == "stopped")
    finished = finished_records(tmp_path)[stopped]
    assert 2 <= len(finished) < 4
    assert not (tmp_path / stopped / "failure.json").exists()
    again = LocalExecutor().execute(configs, tmp_path, Watch())
    assert sorted(outcome.status for outcome in again.values()) == ["complete", "skipped", "skipped"]
    assert finished_records(tmp_path)[stopped][: len(finished)] == finished
    assert_same_numbers(tmp_path, named(uninterrupted, STRATEGIES))


def test_bad_input_in_a_list_is_found_before_a_run_starts_and_in_an_iterator_by_the_run(archive, tmp_path):
    good, bad = small_plan(archive, ["naive"]), small_plan(tmp_path / "none.npz", ["naive"])
    with pytest.raises(UserError, match=r"none\.npz"):
        LocalExecutor().execute([*good, *bad], tmp_path / "r", Watch())
    assert not (tmp_path / "r").exists()
    outcomes = LocalExecutor().execute(iter(bad), tmp_path / "r", Watch())
    (outcome,) = outcomes.values()
    assert (outcome.status, outcome.misuse) == ("failed", True)
    assert "none.npz" in outcome.reason


def test_executors_are_found_by_name_and_what_they_do_not_know_is_said():
    assert executor("local", jobs=2, runs_per_device="auto") == LocalExecutor(2, "auto")
    with pytest.raises(UserError, match="unknown executor 'locla': did you mean 'local'"):
        executor("locla")
    with pytest.raises(UserError, match="unknown option of executor local 'job': did you mean 'jobs'"):
        executor("local", job=3)


def test_of_a_list_runs_of_other_devices_overtake_those_whose_device_is_full(archive):
    first, second = small_plan(archive, ["naive", "ewc"])
    other = dataclasses.replace(second, device="cuda:1")
    waiting = Waiting([first, second, other])
    assert waiting.take(lambda device: device == "cuda:1") is other
    assert [waiting.take(lambda device: True) for _ in range(3)] == [first, second, None]


def test_an_iterator_is_left_alone_while_the_device_of_its_last_run_is_full(archive):
    drawn = []
    source = (drawn.append(config) or config for config in itertools.cycle(small_plan(archive, ["naive", "ewc"])))
    waiting = Waiting(source)
    assert waiting.take(lambda device: True) is drawn[0]
    assert waiting.take(lambda device: False) is None
    assert len(drawn) == 1
    assert waiting.take(lambda device: device == "cpu") is drawn[1]


@pytest.mark.parametrize("lanes", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_runs_are_spread_over_several_devices_with_the_numbers_of_one(lanes, archive, uninterrupted, tmp_path):
    devices = ("cpu", "cpu:0")  # one device by two names
    outcomes = LocalExecutor(1, lanes, devices).execute(small_plan(archive, STRATEGIES), tmp_path, Watch())
    assert [outcome.status for outcome in outcomes.values()] == ["complete"] * 3
    assert_same_numbers(tmp_path, named(uninterrupted, STRATEGIES))
    assert {read_toml(folder / "config.toml")["device"] for folder in folders(tmp_path)} == set(devices)
