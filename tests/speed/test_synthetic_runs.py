"""Synthetic runs are read as real ones are, and what reads them is timed."""

import shutil

import pandas as pd
import pytest

from benchmarks.speed import results as reading
from benchmarks.speed.synthetic_runs import real_run, synthetic_runs
from clhyper.evaluation.metrics import final_accuracy
from clhyper.runs import load, load_experiences, load_matrix
from clhyper.runs.columns import COSTS, METRICS
from clhyper.runs.folder import RunFolder


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    return real_run(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def written(template, tmp_path_factory):
    results = tmp_path_factory.mktemp("synthetic")
    return results, synthetic_runs(results, 130, 5, template=template)


def test_each_has_a_row_under_its_own_name_and_all_that_a_real_run_measures(written, template):
    results, configs = written
    runs = load(results)
    assert len(runs) == len(configs) == 130
    assert runs.attrs["unread"] == {}
    assert {RunFolder(results, config).path.is_dir() for config in configs} == {True}
    assert set(runs["status"]) == {"complete", "failed", "interrupted"}
    shutil.copytree(template, results.with_name("one") / template.name, dirs_exist_ok=True)
    real = load(results.with_name("one")).iloc[0]
    complete = runs[runs["status"] == "complete"].iloc[0]
    assert [complete[name] for name in COSTS if pd.isna(real[name])] == pytest.approx(
        [real[name] for name in COSTS if pd.isna(real[name])], nan_ok=True
    )
    assert all(pd.notna(complete[name]) for name in (*METRICS, *COSTS) if pd.notna(real[name]))


def test_their_parts_agree_with_each_other(written):
    results, _ = written
    runs = load(results).set_index("folder")
    matrices, experiences = load_matrix(results), load_experiences(results)
    for folder, row in runs[runs["status"] == "complete"].head(20).iterrows():
        cells = matrices[matrices["folder"] == folder].pivot(index="after", columns="on", values="accuracy")
        assert row["acc"] == pytest.approx(final_accuracy(cells.to_numpy().tolist())[0])
        mine = experiences[experiences["folder"] == folder]
        assert mine["accuracy"].iloc[-1] == pytest.approx(row["acc"])
        assert mine["train_macs"].sum() == row["train_macs"]


def test_the_same_arguments_write_the_same_numbers(written, template, tmp_path):
    synthetic_runs(tmp_path, 130, 5, template=template)
    first, second = load(written[0]), load(tmp_path)
    pd.testing.assert_frame_equal(first.drop(columns="folder"), second.drop(columns="folder"))


@pytest.mark.slow
def test_every_reader_is_timed_and_its_memory_measured(written, capsys):
    reading.main(reading.Options(results=written[0]))
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == [
        "load, no index",
        "load, index",
        "load_matrix",
        "load_experiences",
        "clhyper table",
        "clhyper report (bytes of its page)",
    ]
    assert [int(rows[0][1]), int(rows[1][1])] == [130, 130]
    assert all(float(row[2]) > 0 and float(row[4]) > 50 for row in rows)


@pytest.mark.slow
def test_ten_thousand_runs_are_read_tabulated_and_reported_within_a_gigabyte(template, tmp_path):
    synthetic_runs(tmp_path, 10_000, 10, template=template)
    runs, *_, memory_of_load = reading.in_own_process(reading.load, tmp_path)
    lines, *_, memory_of_table = reading.in_own_process(reading.table, tmp_path)
    page, *_, memory_of_report = reading.in_own_process(reading.report, tmp_path)
    assert runs == 10_000
    assert lines > 1000
    assert 4e6 < page < 10e6  # of which Plotly is a megabyte and a half
    assert all(50 < megabytes < 1000 for megabytes in (memory_of_load, memory_of_table, memory_of_report))
