"""What the live page shows: what has changed is read anew, the rest is not, and nothing is written."""

import itertools
import json
import os
import shutil
import time

import pytest
from report_runs import write_run, write_study

from clhyper.errors import UserError
from clhyper.figures.report import records, source
from clhyper.figures.report.live import Results, fingerprint


def names(results):
    return json.loads(results.now()[0])["runs"]["name"]


def still():
    """A clock by which nothing takes any time."""
    return 0.0


def test_only_runs_that_changed_are_read_again(tmp_path, monkeypatch):
    write_study(tmp_path)
    long_ago = time.time() - 1000
    for file in tmp_path.rglob("*"):
        os.utime(file, (long_ago, long_ago))
    read = []
    monkeypatch.setattr(source, "read_record", lambda folder: read.append(folder) or records.read_record(folder))
    results = Results(tmp_path, clock=still)
    before = names(results)
    assert len(read) == len(before) > 10
    read.clear()
    new = write_run(tmp_path, "naive", seed=9).name
    assert set(names(results)) == {*before, new}
    assert [folder.name for folder in read] == [new]


def test_a_record_that_changes_alone_is_noticed(tmp_path):
    run = tmp_path / write_run(tmp_path, "naive", losses=[1.0]).name
    for file in run.iterdir():
        os.utime(file, (1e9, 1e9))
    results = Results(tmp_path, clock=still)
    results.now()
    text = (run / "experiences.jsonl").read_text()
    (run / "experiences.jsonl").write_text(text.replace("1.0", "2.0"))
    assert json.loads(results.now()[0])["runs"]["loss"] == [[[2.0]] * 3]


def test_nothing_is_written_where_results_are(tmp_path):
    write_run(tmp_path, "naive")
    run = next(tmp_path.iterdir())
    for copy in range(60):
        shutil.copytree(run, tmp_path / f"copy-{copy}")
    for file in tmp_path.rglob("*"):
        os.utime(file, (1e9, 1e9))
    before = sorted(tmp_path.rglob("*"))
    assert len(names(Results(tmp_path))) == 61
    assert sorted(tmp_path.rglob("*")) == before


def test_after_a_look_that_took_long_there_is_a_longer_rest(tmp_path):
    seconds = itertools.count()
    write_run(tmp_path, "naive")
    results = Results(tmp_path, rest=3, clock=lambda: float(next(seconds)))
    assert len(names(results)) == 1  # the look takes from 1 to 2, so that the next begins after 5
    write_run(tmp_path, "naive", seed=1)
    assert [len(names(results)) for _ in range(4)] == [1, 1, 2, 2]


def test_an_archive_two_folders_below_is_watched(tmp_path):
    archive = tmp_path / "studies" / "one" / "runs.jsonl"
    archive.parent.mkdir(parents=True)
    archive.write_text("{}\n")
    before = fingerprint(tmp_path)
    archive.write_text("{}\n{}\n")
    assert fingerprint(tmp_path) != before


@pytest.mark.parametrize("target", ["nowhere", "a-link"])
def test_a_link_that_leads_nowhere_hides_no_change(tmp_path, target):
    run = tmp_path / write_run(tmp_path, "naive").name
    (run / "a-link").symlink_to(target)
    (tmp_path / "a-link").symlink_to(target)
    before = fingerprint(tmp_path)
    (run / "result.json").unlink()
    assert fingerprint(tmp_path) != before


def test_a_folder_that_becomes_a_file_is_told_as_often_as_asked(tmp_path):
    folder = tmp_path / "runs"
    for appears in (False, True):
        if appears:
            write_run(folder, "naive")
        results = Results(folder, clock=still)
        results.now()
        shutil.rmtree(folder, ignore_errors=True)
        folder.write_text("")
        for _ in range(2):
            with pytest.raises(UserError, match="not a folder"):
                results.now()
        folder.unlink()
        assert "no such folder" in json.loads(results.now()[0])["waiting"]
