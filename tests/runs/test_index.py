"""The index of a results folder spares reading, and is never believed where files say otherwise."""

import hashlib
import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some
from written_runs import write_run

from clhyper.runs import load, load_matrix
from clhyper.runs.folder import RESULT
from clhyper.runs.index import INDEX, Indexed, read_index

RUNS = 60
LONG_AGO = 1_700_000_000
ALIKE = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Runs of two strategies in three variants, long ago, one of them unfinished and one with a damaged number."""
    results = tmp_path_factory.mktemp("written") / "runs"
    for number in range(RUNS):
        strategy, rate = ("naive", "latent-replay")[number % 2], 1e-3 * (1 + number % 3)
        options = {"learning_rate": rate}
        config = write_run(results, strategy, number, options=options, finished=number != 7, acc=number / 100)
        if number == 9:
            change(results / config.name, acc="0.99")
    for file in results.rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    return results


@pytest.fixture
def results(written, tmp_path) -> Path:
    """A copy that has an index."""
    shutil.copytree(written, tmp_path / "runs")
    load(tmp_path / "runs")
    return tmp_path / "runs"


def change(folder: Path, **metrics) -> None:
    """Other numbers in a run's result, which is as old as before."""
    content = json.loads((folder / RESULT).read_text())
    content["metrics"] |= metrics
    (folder / RESULT).write_text(json.dumps(content))
    os.utime(folder / RESULT, (LONG_AGO, LONG_AGO))


def read(results: Path) -> pd.DataFrame:
    """`load` without the folder's name in it, which differs between copies."""
    runs = load(results)
    runs["folder"] = [Path(folder).name for folder in runs["folder"]]
    return runs


def without_index(results: Path) -> pd.DataFrame:
    """What is read of a folder whose index has just been thrown away."""
    if (results / INDEX).is_dir():
        (results / INDEX).rmdir()
    (results / INDEX).unlink(missing_ok=True)
    return read(results)


def assert_true(results: Path) -> None:
    """What is read with the index there, twice, is what is read without."""
    once, twice = read(results), read(results)
    expected = without_index(results)
    for found in (once, twice):
        pd.testing.assert_frame_equal(found, expected)
        assert found.attrs == expected.attrs


def forge(results: Path) -> None:
    """Another accuracy in an intact index than in the files."""
    head, _, body = (results / INDEX).read_bytes().partition(b"\n")
    content = json.loads(body)
    at = content["columns"].index("acc")
    for run in content["runs"].values():
        run[2][at] = 0.123
    body = json.dumps(content).encode()
    head = json.dumps(json.loads(head) | {"sha256": hashlib.sha256(body).hexdigest()}).encode()
    (results / INDEX).write_bytes(head + b"\n" + body)


def test_what_the_index_knows_is_not_read_again(results):
    forge(results)
    assert set(read(results)["acc"]) == {0.123}


def test_with_the_index_everything_is_as_without(results):
    assert len(read(results).attrs["unread"]) == 1
    assert_true(results)


def test_a_run_that_changed_appeared_or_vanished_is_read_as_it_is(results):
    forge(results)
    one, other, *_ = sorted(results.glob("*naive*"))
    change(one, acc=0.5)
    shutil.rmtree(other)
    write_run(results, "ewc", 1, acc=0.25)
    found = read(results).set_index("folder")["acc"]
    assert found[one.name] == 0.5
    assert other.name not in found
    assert found[found.index.str.contains("ewc")].tolist() == [0.25]
    assert (found == 0.123).sum() == RUNS - 2


def test_a_file_replaced_by_one_of_the_same_size_and_age_is_noticed(results):
    folder = next(results.glob("*naive*seed-4_*"))
    other = (folder / RESULT).read_text().replace("0.04", "0.44")
    (folder / "new").write_text(other)
    os.utime(folder / "new", (LONG_AGO, LONG_AGO))
    os.replace(folder / "new", folder / RESULT)
    assert read(results).set_index("folder")["acc"][folder.name] == 0.44


def test_a_run_written_just_now_is_not_believed_to_stay_so(tmp_path):
    for number in range(RUNS):
        write_run(tmp_path, "naive", number)
    while_read = time.time() + 1000  # as young as files get, however long reading takes
    for file in tmp_path.rglob("*"):
        os.utime(file, (while_read, while_read))
    load(tmp_path)
    assert not (tmp_path / INDEX).exists()


def test_few_runs_need_no_index(written, tmp_path):
    for folder in sorted(written.iterdir())[:10]:
        shutil.copytree(folder, tmp_path / folder.name)
    load(tmp_path)
    assert not (tmp_path / INDEX).exists()


def test_an_index_of_other_code_is_made_anew(results):
    forge(results)
    head, _, body = (results / INDEX).read_bytes().partition(b"\n")
    (results / INDEX).write_bytes(json.dumps(json.loads(head) | {"read by": "0"}).encode() + b"\n" + body)
    assert_true(results)


def test_a_strategy_of_a_plug_in_that_appears_makes_the_index_anew(results, tmp_path, monkeypatch):
    forge(results)
    site = tmp_path / "site"
    (site / "plug_in-1.dist-info").mkdir(parents=True)
    (site / "plug_in-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plug-in\nVersion: 1\n")
    (site / "plug_in-1.dist-info" / "entry_points.txt").write_text("[strategies]\nmine = plug_in\n")
    (site / "plug_in.py").write_text('"""Mine."""\n\n__all__ = ["Mine"]\n\n\nclass Mine:\n    """Mine."""\n')
    monkeypatch.syspath_prepend(str(site))
    assert (read(results)["acc"] == 0.123).sum() == 0


@settings(ALIKE, max_examples=100)
@given(cut=some.floats(0, 1), content=some.none() | some.binary(max_size=40), flipped=some.none() | some.integers(0, 7))
def test_an_index_damaged_anywhere_counts_as_none(cut, content, flipped, intact):
    folder, whole, known = intact
    at = int(cut * (len(whole) - 1))
    if flipped is not None:
        content = bytes([whole[at] ^ (1 << flipped)])
    rest = whole[at + len(content) :] if content is not None else b""
    (folder / INDEX).write_bytes(changed := whole[:at] + (content or b"") + rest)
    assert read_index(folder) == (known if changed == whole else {})


@pytest.fixture(scope="module")
def intact(written, tmp_path_factory) -> tuple[Path, bytes, Indexed]:
    folder = tmp_path_factory.mktemp("intact") / "runs"
    shutil.copytree(written, folder)
    load(folder)
    known = read_index(folder)
    assert len(known) == RUNS
    return folder, (folder / INDEX).read_bytes(), known


@pytest.mark.parametrize(
    "body", ["null", "[]", "{}", "[" * 5000, '{"facts": 3}', '{"facts": [], "runs": [1]}', "9e999"]
)
@pytest.mark.parametrize("signed", [True, False])
def test_an_index_that_holds_something_else_counts_as_none(body, signed, results):
    head = json.loads((results / INDEX).read_bytes().partition(b"\n")[0])
    head["sha256"] = hashlib.sha256(body.encode()).hexdigest() if signed else "0"
    (results / INDEX).write_text(f"{json.dumps(head)}\n{body}")
    assert_true(results)


@pytest.mark.parametrize("kind", ["folder", "pipe", "dangling link", "link to itself", "endless device"])
def test_where_no_index_can_be_written_runs_are_read_without(kind, results):
    path = results / INDEX
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        target = {"dangling link": results / "no" / "where", "link to itself": path, "endless device": "/dev/zero"}
        path.symlink_to(target[kind])
    assert_true(results)


def test_the_index_is_no_run_and_nothing_unread(results):
    assert (results / INDEX).exists()
    assert INDEX not in " ".join(read(results)["folder"])
    assert INDEX not in read(results).attrs["unread"]
    assert len(load_matrix(results)["folder"].unique()) == RUNS


def test_several_at_once_read_and_write_the_same(written, tmp_path):
    results = Path(shutil.copytree(written, tmp_path / "runs"))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: read(results), range(8)))
    for one in found[1:]:
        pd.testing.assert_frame_equal(one, found[0])
    assert_true(results)
    assert sorted(path.name for path in results.glob(".*")) == [INDEX]


def test_a_run_whose_files_come_and_go_while_it_is_read_is_never_half_of_one(tmp_path):
    config = write_run(tmp_path, "naive")
    folder = tmp_path / config.name
    result = (folder / RESULT).read_bytes()
    ended = threading.Event()

    def write():
        while not ended.is_set():
            (folder / RESULT).unlink()
            time.sleep(0.003)
            (folder / ".new").write_bytes(result)
            os.replace(folder / ".new", folder / RESULT)
            time.sleep(0.003)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [load(tmp_path) for _ in range(50)]
    finally:
        ended.set()
        writer.join()
    assert not any(runs.attrs["unread"] for runs in found)
    assert {(runs["status"][0], runs["acc"].notna()[0]) for runs in found} <= {
        ("complete", True),
        ("interrupted", False),
    }
