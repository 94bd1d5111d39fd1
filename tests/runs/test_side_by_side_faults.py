"""Runs in threads of one process: what goes wrong in one costs that one, and the others' numbers stay."""

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
from installed_package import install
from small_sweeps import (
    all_numbers,
    finished_records,
    numbers,
    small_plan,
)

from clhyper.runs import RunConfig, execute, load, make_config
from clhyper.runs.outcome import Note

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
    """A folder with a package whose strategy fails."""
    entry_points = "[strategies]\nspoilt = spoilt_party.spoilt\n"
    return install(tmp_path_factory.mktemp("site"), "spoilt_party", {"spoilt": SPOILT}, entry_points)


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


# Memory


def test_out_of_memory_in_one_run_makes_less_room_and_it_goes_on_later(spoilt, archive, uninterrupted, tmp_path):
    others = small_plan(archive, ["naive", "ewc", "latent-replay"])
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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        ("error", "ZeroDivisionError: no way"),
        pytest.param("exit", "SystemExit: enough", marks=pytest.mark.slow),
    ],
)
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


# On a GPU


@pytest.mark.gpu
def test_on_a_gpu_a_run_for_which_memory_runs_out_goes_on_with_fewer_beside_it(spoilt, archive, tmp_path):
    configs = [spoilt("memory"), *small_plan(archive, ["naive", "ewc"])]
    configs = [dataclasses.replace(config, device="cuda") for config in configs]
    told = Told()
    outcomes = execute(configs, tmp_path / "r", report=told, runs_per_device=3)
    assert {outcome.status for outcome in outcomes.values()} == {"complete"}
    assert sum(told.notes.values()) == 1
