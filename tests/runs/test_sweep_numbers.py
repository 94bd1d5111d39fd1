"""The same runs give the same numbers, however they are executed."""

import dataclasses

import pytest
from small_sweeps import (
    STRATEGIES,
    all_numbers,
    assert_same_numbers,
    run_to_end,
    small_plan,
    small_words,
    start,
    workers,
)

from clhyper.runs import load
from clhyper.runs.run import run


@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_sweep_gives_the_numbers_of_its_runs_in_one_process(jobs, archive, uninterrupted, tmp_path):
    strategies = ["latent-replay", "joint", "partial-hypernetwork"]
    code, output = run_to_end(small_words(archive, tmp_path / "r", strategies, jobs=jobs), tmp_path / "log")
    assert code == 0, output
    assert_same_numbers(tmp_path / "r", {k: v for k, v in uninterrupted.items() if k.split("_")[1] in strategies})
    assert set(load(tmp_path / "r").runs_at_once) == {jobs}, "seconds of runs side by side are marked as such"


def test_every_strategy_is_in_the_comparison(uninterrupted):
    assert len(uninterrupted) == len(STRATEGIES)
    assert {name.split("_")[1] for name in uninterrupted} == set(STRATEGIES)
    assert len({str(one["strategy"]["model"]) for one in uninterrupted.values()}) == len(STRATEGIES)


def test_two_sweeps_at_once_in_one_folder_end_as_one_sweep_would(archive, uninterrupted, tmp_path):
    strategies = ["naive", "partial-hypernetwork"]
    words = small_words(archive, tmp_path / "r", strategies, jobs=1)
    sweeps = [start(words, tmp_path / f"log-{number}") for number in range(2)]
    for sweep in sweeps:
        sweep.join(120)
    logs = [(tmp_path / f"log-{number}").read_text() for number in range(2)]
    assert [sweep.exitcode for sweep in sweeps] == [0, 0], logs
    assert_same_numbers(tmp_path / "r", {k: v for k, v in uninterrupted.items() if k.split("_")[1] in strategies})
    trained = sum(log.count(": complete") for log in logs)
    assert trained == len(strategies), f"each run is trained once: {logs}"
    assert not workers()


def test_a_second_sweep_skips_what_is_finished_and_touches_no_file(archive, tmp_path):
    words = small_words(archive, tmp_path / "r", ["naive", "joint"], jobs=2)
    assert run_to_end(words, tmp_path / "first")[0] == 0
    other = tmp_path / "r" / "notes.txt"
    other.write_text("mine")
    (tmp_path / "r" / "a folder of mine").mkdir()
    (tmp_path / "r" / "a folder of mine" / "config.toml").write_text("color = 'red'")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files(tmp_path / "r")}
    code, output = run_to_end(words, tmp_path / "second")
    assert code == 0
    assert output.count(": skipped") == 2
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files(tmp_path / "r")} == before


def test_another_seed_or_class_order_gives_other_numbers(archive, tmp_path):
    for order in (None, 1):
        (config,) = small_plan(archive, ["naive"], order_seed=order)
        for seed in (0, 1):
            run(dataclasses.replace(config, seed=seed), tmp_path / "r")
    found = list(all_numbers(tmp_path / "r").values())
    assert len({str(numbers["strategy"]) for numbers in found}) == 4


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
