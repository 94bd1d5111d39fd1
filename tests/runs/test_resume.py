"""Runs killed at any moment go on from the last finished experience and end with the same numbers."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from filelock import FileLock
from small_sweeps import (
    ADDITIVE,
    CHUNKED,
    STRATEGIES,
    all_numbers,
    assert_same_numbers,
    finished_records,
    folders,
    numbers,
    run_to_end,
    server,
    small_plan,
    small_words,
    start,
    wait_until,
    workers,
)

from clhyper.runs import load, make_config
from clhyper.runs.folder import RunFolder
from clhyper.runs.run import run

CLHYPER = Path(sys.executable).with_name("clhyper")
STOPPED = "clhyper: stopped; the same command goes on from the last finished experiences"


@pytest.mark.slow
def test_a_sweep_killed_at_several_moments_repeats_nothing_and_ends_with_the_same_numbers(
    archive, uninterrupted, tmp_path
):
    strategies = ["partial-hypernetwork", "latent-replay", "ewc", "naive"]
    results, delays = tmp_path / "r", random.Random(0)
    finished: dict = {}
    words = small_words(archive, results, strategies, jobs=2)
    for _ in range(3):
        sweep, begun = start(words, tmp_path / "log"), lines_written(results)
        wait_until(lambda: lines_written(results) > begun, "an experience is finished")  # noqa: B023
        time.sleep(delays.uniform(0, 0.2))
        assert sweep.is_alive(), "killed too late"
        sweep.kill()
        sweep.join()
        wait_until(lambda: not workers(), "the killed sweep's processes are gone", seconds=20)
        assert_nothing_lost(finished, finished_records(results))
        finished = finished_records(results)
        assert not list(results.glob("*/failure.json")), "a kill is no failure of a run"
    assert finished
    code, output = run_to_end(words, tmp_path / "last")
    assert code == 0, output
    assert_nothing_lost(finished, finished_records(results))
    assert_same_numbers(results, {k: v for k, v in uninterrupted.items() if k.split("_")[1] in strategies})
    for folder in folders(results):
        lines = [json.loads(line) for line in (folder / "experiences.jsonl").read_text().splitlines()]
        assert lines == finished_records(results)[folder.name]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_stopped_after_each_experience_ends_with_the_same_numbers(
    strategy, archive, uninterrupted, tmp_path
):
    (config,) = small_plan(archive, [strategy])
    finished: dict = {}
    for experience in (2, 3, 4):

        def stop(progress, next_one=experience):
            if progress.experience == next_one:
                raise KeyboardInterrupt

        if strategy != "joint":  # which trains once
            with pytest.raises(KeyboardInterrupt):
                run(config, tmp_path, stop)
            assert_nothing_lost(finished, finished_records(tmp_path))
            finished = finished_records(tmp_path)
            assert len(finished[config.name]) == experience - 1
    assert run(config, tmp_path).status == "complete"
    assert_nothing_lost(finished, finished_records(tmp_path))
    assert_same_numbers(tmp_path, {config.name: uninterrupted[config.name]})


@pytest.mark.slow
@pytest.mark.parametrize("options", [CHUNKED, ADDITIVE], ids=["chunked", "additive"])
def test_other_generators_stopped_after_an_experience_end_with_the_same_numbers(options, archive, tmp_path):
    (config,) = small_plan(archive, ["partial-hypernetwork"], options)
    assert run(config, tmp_path / "straight").status == "complete"

    def stop(progress):
        if progress.experience == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "stopped", stop)
    assert run(config, tmp_path / "stopped").status == "complete"
    assert_same_numbers(tmp_path / "stopped", all_numbers(tmp_path / "straight"))


def test_a_killed_worker_fails_its_run_alone_and_the_next_sweep_mends_it(archive, uninterrupted, tmp_path):
    strategies = ["partial-hypernetwork", "naive"]
    results, words = tmp_path / "r", small_words(archive, tmp_path / "r", strategies, jobs=1)
    sweep = start(words, tmp_path / "log")
    wait_until(lambda: list(results.glob("*partial*/checkpoint.pt")), "the first run has finished an experience")
    (worker,) = workers(but=sweep)
    worker.kill()
    sweep.join(60)
    finished = finished_records(results)
    assert sweep.exitcode == 1
    assert "ended by signal 9" in (tmp_path / "log").read_text()
    table = load(results).set_index("strategy")
    assert table.status.to_dict() == {"partial-hypernetwork": "failed", "naive": "complete"}
    assert "signal 9" in table.reason["partial-hypernetwork"]
    assert run_to_end(words, tmp_path / "again")[0] == 0
    assert_nothing_lost(finished, finished_records(results))
    assert_same_numbers(results, {k: v for k, v in uninterrupted.items() if k.split("_")[1] in strategies})
    assert not list(results.glob("*/failure.json"))


@pytest.mark.parametrize("moment", ["before", pytest.param("after", marks=pytest.mark.slow)])
def test_a_run_killed_at_every_write_of_a_file_loses_only_what_the_checkpoint_lacks(moment, archive, tmp_path):
    """One run is started again and again, and killed each time at the next of its writes."""
    (config,) = small_plan(archive, ["naive"], experiences=2)
    results, folder = tmp_path / "r", tmp_path / "r" / config.name
    run(config, tmp_path / "uninterrupted")
    finished: dict = {}
    killed_at = set()
    for replacement in range(1, 40):
        process = server().Process(target=_run_until_write, args=(config, results, replacement, moment, tmp_path))
        process.start()
        process.join(60)
        assert_nothing_lost(finished, finished_records(results))
        finished = finished_records(results)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        killed_at.add((tmp_path / "killed-at").read_text())
    assert killed_at == {"config.toml", "environment.json", "experiences.jsonl", "matrix.json", "checkpoint.pt"} | (
        {"result.json"} if moment == "before" else set()
    )
    assert numbers(folder) == numbers(tmp_path / "uninterrupted" / config.name)
    assert not list(folder.glob(".*")), "temporary files of killed writes are cleared away"


def _run_until_write(config, results: Path, replacement: int, moment: str, notes: Path) -> None:
    """Trains, and dies of SIGKILL at its `replacement`-th replacement of a file."""
    replace, count = os.replace, 0

    def replace_or_die(source, target):
        nonlocal count
        count += 1
        die = count == replacement
        if die:
            (notes / "killed-at").write_text(Path(target).name)
        if die and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
        if die:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace_or_die
    run(config, results)


def test_data_that_changed_since_the_run_began_are_said(tmp_path):
    from small_sweeps import write_archive

    archive = write_archive(tmp_path / "a.npz", classes=4)
    (config,) = small_plan(archive, ["naive"], experiences=2)

    def stop(progress):
        if progress.experience == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "r", stop)
    write_archive(archive, classes=4, images=21)
    outcome = run(config, tmp_path / "r")
    assert (outcome.status, outcome.misuse) == ("failed", True)
    assert "the data set has changed since this run began" in outcome.reason
    assert len(finished_records(tmp_path / "r")[config.name]) == 1


def test_a_run_held_by_another_process_is_left_to_it(archive, tmp_path, capsys):
    from clhyper.cli.main import main

    (config,) = small_plan(archive, ["naive"])
    words = small_words(archive, tmp_path, ["naive"])
    words[0] = "run"
    with FileLock(RunFolder(tmp_path, config).path / "lock"):
        assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("clhyper: ")
    assert error.count("\n") == 1
    assert "another process is at work on this run" in error
    assert [path.name for path in (tmp_path / config.name).iterdir()] == ["lock"]
    assert main([*words, "--quiet"]) == 0


def test_ctrl_c_ends_a_sweep_with_one_sentence_and_the_same_command_goes_on(archive, uninterrupted, tmp_path):
    strategies = ["partial-hypernetwork", "naive"]
    words = small_words(archive, tmp_path / "r", strategies, jobs=1)
    for name in ("random", "clhyper", "strategies"):  # files of the user's that only share a name with ours
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working folder')")
    sweep = start_command(words, tmp_path / "error", folder=tmp_path)
    wait_until(lambda: list(tmp_path.glob("r/*/checkpoint.pt")), "an experience is finished")
    os.killpg(sweep.pid, signal.SIGINT)
    assert sweep.wait(timeout=20) == 130
    assert (tmp_path / "error").read_text().strip() == STOPPED
    finished = finished_records(tmp_path / "r")
    code, output = run_to_end(words, tmp_path / "log")
    assert code == 0, output
    assert_nothing_lost(finished, finished_records(tmp_path / "r"))
    assert_same_numbers(tmp_path / "r", {k: v for k, v in uninterrupted.items() if k.split("_")[1] in strategies})


def test_ctrl_c_while_a_sweep_is_starting_gives_one_sentence_too(archive, tmp_path):
    sweep = start_command(small_words(archive, tmp_path / "r"), tmp_path / "error")
    wait_until(lambda: len(psutil.Process(sweep.pid).children(recursive=True)) >= 2, "its server is starting")
    time.sleep(1)
    os.killpg(sweep.pid, signal.SIGINT)
    assert sweep.wait(timeout=5) == 130
    assert (tmp_path / "error").read_text().strip() == STOPPED
    assert not list(tmp_path.glob("r/*/experiences.jsonl"))


def test_a_run_that_fails_keeps_its_finished_experiences_and_its_reason(archive, uninterrupted, tmp_path):
    (config,) = small_plan(archive, ["naive"])

    def fail(progress):
        if progress.experience == 3:
            raise RuntimeError("the disk is gone\nand more")

    outcome = run(config, tmp_path, fail)
    assert (outcome.status, outcome.misuse, outcome.reason) == ("failed", False, "RuntimeError: the disk is gone")
    failure = json.loads((tmp_path / config.name / "failure.json").read_text())
    assert "Traceback" in failure["details"]
    finished = finished_records(tmp_path)
    assert len(finished[config.name]) == 2
    assert run(config, tmp_path).status == "complete"
    assert_nothing_lost(finished, finished_records(tmp_path))
    assert numbers(tmp_path / config.name) == uninterrupted[config.name]


def test_a_run_leaves_no_state_behind_that_changes_the_next(archive, uninterrupted, tmp_path):
    configs = small_plan(archive, ["partial-hypernetwork", "naive"])
    torch.rand(7)
    for config in reversed(configs):
        run(config, tmp_path)
    for config in configs:
        assert numbers(tmp_path / config.name) == uninterrupted[config.name]


def test_another_number_of_threads_is_the_same_run(archive):
    (config,) = small_plan(archive, ["naive"])
    options = config.benchmark_options, config.strategy_options
    assert make_config("split-npz", "naive", *options, threads=5).name == config.name
    assert make_config("split-npz", "naive", *options, seed=1).name != config.name


def lines_written(results: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in results.glob("*/experiences.jsonl"))


def start_command(words: list[str], error: Path, folder: Path | None = None) -> subprocess.Popen:
    """The real command, in a process group of its own, as a shell starts it."""
    with error.open("w") as file:
        return subprocess.Popen(
            [CLHYPER, *words], start_new_session=True, stdout=subprocess.DEVNULL, stderr=file, cwd=folder
        )


def at_work(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != "zombie"
    except psutil.NoSuchProcess:
        return False


def assert_nothing_lost(before: dict, after: dict) -> None:
    """Records finished before, seconds included, are there unchanged: nothing was trained again."""
    for name, records in before.items():
        assert after[name][: len(records)] == records
