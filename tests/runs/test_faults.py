"""What goes wrong around a run: losses that diverge, disks, signals, memory, clocks, two processes at once."""

import ctypes
import json
import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
from small_sweeps import (
    assert_same_numbers,
    finished_records,
    numbers,
    run_to_end,
    server,
    small_plan,
    small_words,
    start,
    wait_until,
)

from clhyper.errors import RunError
from clhyper.runs import load
from clhyper.runs.files import write
from clhyper.runs.run import run

# Losses


@pytest.mark.parametrize(
    "strategy", ["naive", pytest.param("latent-replay", marks=pytest.mark.slow), "partial-hypernetwork"]
)
def test_a_run_that_diverges_is_stopped_and_says_where_and_the_rest_goes_on(strategy, archive, tmp_path):
    words = small_words(archive, tmp_path / "r", [strategy], learning_rate=1e30)
    code, output = run_to_end(words, tmp_path / "log")
    assert code == 1
    assert "the loss was not finite in experience 1, epoch 1, step 2: training diverged" in output
    assert "Traceback" not in output
    (row,) = load(tmp_path / "r").itertuples()
    assert row.status == "failed"
    assert "learning rate below 1e+30" in row.reason
    assert not list(tmp_path.glob("r/*/checkpoint.pt"))


# Disks


def in_a_process(function, *arguments) -> tuple[int, str]:
    """Exit code and output of `function(*arguments)` in a process of its own; 77: it may not be tried here."""
    log = arguments[-1]
    process = server().Process(target=function, args=arguments)
    process.start()
    process.join(120)
    return process.exitcode, log.read_text() if log.exists() else ""


def _write_to(log: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _mount(target: Path, options: str, flags: int = 0) -> None:
    """A file system in memory, seen by this process alone; leaves with 77 where that isn't allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, private, recursive = 0x20000, 1 << 18, 1 << 14
    done = (
        libc.unshare(new_mounts) == 0
        and libc.mount(b"none", b"/", None, private | recursive, None) == 0
        and libc.mount(b"none", bytes(target), b"tmpfs", flags, options.encode()) == 0
    )
    if not done:
        os._exit(77)


def _run_on_a_small_disk(words: list[str], disk: Path, log: Path) -> None:
    from clhyper.cli.main import main

    _write_to(log)
    _mount(disk, "size=150k")
    print("code", main(words), flush=True)
    remount = 32
    ctypes.CDLL(None).mount(b"none", bytes(disk), b"tmpfs", remount, b"size=50m")
    print("code", main(words), flush=True)
    folder = next((disk / "r").iterdir())
    (disk.parent / "numbers.json").write_text(json.dumps(numbers(folder)["metrics"]))


def test_a_full_disk_fails_the_run_in_a_sentence_and_with_room_it_goes_on(archive, uninterrupted, tmp_path):
    (config,) = small_plan(archive, ["naive"])
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["run", *small_words(archive, disk / "r", ["naive"])[1:]]
    code, output = in_a_process(_run_on_a_small_disk, words, disk, tmp_path / "log")
    if code == 77:
        pytest.skip("this user may not mount a file system")
    assert code == 0, output
    assert "can't be written (no space left on device); the same command goes on, nothing finished is lost" in output
    assert [line for line in output.splitlines() if line.startswith("code")] == ["code 1", "code 0"]
    assert "Traceback" not in output
    assert json.loads((tmp_path / "numbers.json").read_text()) == uninterrupted[config.name]["metrics"]


def _run_with_small_files(words: list[str], log: Path) -> None:
    from clhyper.cli.main import main

    _write_to(log)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    os._exit(main(words))


def test_a_file_that_may_not_grow_fails_the_run_and_nothing_half_written_stays(archive, uninterrupted, tmp_path):
    words = ["run", *small_words(archive, tmp_path / "r", ["naive"])[1:]]
    code, output = in_a_process(_run_with_small_files, words, tmp_path / "log")
    assert code == 1, output
    assert "checkpoint.pt: can't be written (file too large)" in output
    assert not list(tmp_path.glob("r/*/.*"))
    assert run_to_end(words, tmp_path / "again")[0] == 0
    assert_same_numbers(tmp_path / "r", {k: v for k, v in uninterrupted.items() if k.split("_")[1] == "naive"})


def _run_on_a_read_only_disk(words: list[str], disk: Path, log: Path) -> None:
    from clhyper.cli.main import main

    _write_to(log)
    read_only = 1
    _mount(disk, "size=1m", read_only)
    os._exit(main(words))


@pytest.mark.parametrize("verb", ["run", "sweep"])
def test_a_folder_that_cannot_be_written_is_said_before_anything_is_trained(verb, archive, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    words = [verb, *small_words(archive, disk / "r", ["naive"])[1:]]
    code, output = in_a_process(_run_on_a_read_only_disk, words, disk, tmp_path / "log")
    if code == 77:
        pytest.skip("this user may not mount a file system")
    assert code == 2, output
    assert output.startswith("clhyper: results ")
    assert output.count("\n") == 1
    assert "can't be written" in output


# Signals


def _run_and_interrupt_itself(words: list[str], number: int, log: Path) -> None:
    from clhyper.cli.main import main

    _write_to(log)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server that forked this process may ignore it
    replace = os.replace

    def interrupted(source, target):
        if Path(target).name == "matrix.json":  # between the files of the first experience
            os.kill(os.getpid(), number)
            time.sleep(0.05)
        replace(source, target)

    os.replace = interrupted
    os._exit(main(words))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, -signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_ctrl_c_waits_until_an_experience_is_written(number, code, archive, uninterrupted, tmp_path):
    words = ["run", *small_words(archive, tmp_path / "r", ["naive"])[1:]]
    found, output = in_a_process(_run_and_interrupt_itself, words, number, tmp_path / "log")
    assert found == code
    assert ("the same command goes on from the last finished experiences" in output) == (number == signal.SIGINT)
    ((_, records),) = finished_records(tmp_path / "r").items()
    assert len(records) == 1, "the experience counts, since it was being written"
    assert run_to_end(words, tmp_path / "again")[0] == 0
    assert_same_numbers(tmp_path / "r", {k: v for k, v in uninterrupted.items() if k.split("_")[1] == "naive"})


# Clocks


def test_a_clock_that_jumps_changes_no_number_and_no_duration(archive, uninterrupted, tmp_path, monkeypatch):
    (config,) = small_plan(archive, ["latent-replay"])
    hours, real = random.Random(0), time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * hours.uniform(-1000, 1000))
    begun = time.monotonic()
    assert run(config, tmp_path).status == "complete"
    elapsed = time.monotonic() - begun
    assert_same_numbers(tmp_path, {config.name: uninterrupted[config.name]})
    for record in finished_records(tmp_path)[config.name]:
        for name in ("train_seconds", "evaluation_seconds", "loading_seconds"):
            assert 0 <= record["cost"][name] <= elapsed


# Two at once


def test_of_two_processes_resuming_the_same_run_one_does_it_and_nothing_is_done_twice(archive, uninterrupted, tmp_path):
    words = ["run", *small_words(archive, tmp_path / "r", ["naive"])[1:]]
    first = start(words, tmp_path / "killed")
    wait_until(lambda: list(tmp_path.glob("r/*/checkpoint.pt")), "an experience is finished")
    first.kill()
    first.join()
    before = finished_records(tmp_path / "r")
    pair = [start(words, tmp_path / f"log-{number}") for number in range(2)]
    for process in pair:
        process.join(120)
    codes = sorted(process.exitcode for process in pair)
    assert codes in ([0, 0], [0, 2])  # the second waits some seconds for the first, and then finds the run complete
    said = (tmp_path / "log-0").read_text() + (tmp_path / "log-1").read_text()
    assert ("skipped, complete before" in said) == (codes == [0, 0])
    assert ("another process is at work on this run" in said) == (codes == [0, 2])
    assert_same_numbers(tmp_path / "r", {k: v for k, v in uninterrupted.items() if k.split("_")[1] == "naive"})
    for name, records in before.items():
        assert finished_records(tmp_path / "r")[name][: len(records)] == records


@pytest.mark.parametrize("kind", ["device", "folder"])
def test_nothing_but_an_ordinary_file_is_ever_replaced(kind, tmp_path):
    path = tmp_path / "there"
    if kind == "device":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(RunError, match="it is no ordinary file"):
        write(path, b"content")
    assert not path.is_file()


def test_a_link_stays_and_what_it_points_at_is_replaced(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
