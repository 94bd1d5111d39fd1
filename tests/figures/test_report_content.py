"""What the report's page holds is what the result files hold."""

import base64
import json

import numpy as np
import pytest
from report_runs import matrix_of, write_run, write_study

from clhyper.cli import run as run_command
from clhyper.cli.main import main
from clhyper.figures.report.command import command
from clhyper.figures.report.compact import over_stream, packed, within
from clhyper.figures.report.content import content
from clhyper.figures.report.page import as_json, page
from clhyper.figures.report.source import read_or_wait, read_source
from clhyper.figures.summary import summarise
from clhyper.runs.config import make_config
from clhyper.runs.results import load


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "runs"
    write_study(folder)
    return folder


@pytest.fixture(scope="module")
def shown(study):
    return json.loads(as_json(content(read_source(study))))


def test_means_and_intervals_are_those_of_the_table(study, shown):
    summary = summarise(load(study))
    names = [one["name"] for one in shown["measures"]]
    assert {"acc", "forgetting", "train_macs"} <= set(names)
    assert len(summary) == len(shown["configurations"])
    for (_, row), one in zip(summary.iterrows(), shown["configurations"], strict=True):
        known = [np.nan if value is None else value for value in one["means"]]
        np.testing.assert_array_equal(known, row[names].to_numpy(dtype=float))
        spread = [np.nan if value is None else value for value in one["intervals"]]
        np.testing.assert_array_equal(spread, row[[f"{name}_interval" for name in names]].to_numpy(dtype=float))


def test_each_run_has_the_numbers_of_its_result_file(study, shown):
    runs = shown["runs"]
    for place, name in enumerate(runs["name"]):
        if runs["status"][place] != "complete":
            assert all(values[place] is None for values in runs["values"].values())
            continue
        result = json.loads((study / name / "result.json").read_text())
        for measure, values in runs["values"].items():
            assert values[place] == (result["metrics"] | result["cost"])[measure]


def test_a_matrix_is_unpacked_to_a_hundredth_of_a_percent(study, shown):
    place = shown["runs"]["status"].index("complete")
    stored = json.loads((study / shown["runs"]["name"][place] / "matrix.json").read_text())
    kept = shown["runs"]["matrix"][place]
    cells = np.frombuffer(base64.b64decode(kept["cells"]), dtype="<u2").reshape(kept["rows"], kept["columns"])
    for i, row in enumerate(stored):
        for j, value in enumerate(row):
            assert cells[i, j] == 65535 if value is None else abs(cells[i, j] / 10_000 - value) <= 5e-5


def test_what_failed_goes_on_or_cannot_be_read_is_told(shown):
    status = dict(zip(shown["runs"]["name"], shown["runs"]["status"], strict=True))
    assert sorted(set(status.values())) == ["complete", "failed", "interrupted"]
    failed = shown["runs"]["status"].index("failed")
    assert shown["runs"]["reason"][failed] == "out of memory"
    assert shown["runs"]["learned"][failed] == 1
    [[name, why]] = shown["unread"]
    assert "ewc" in name
    assert why == "result.json damaged"


def test_a_line_over_depth_has_the_full_hypernetwork_at_its_beginning(shown):
    labels = [one["label"] for one in shown["configurations"]]
    lines = {shown["series"][line["series"]]["label"]: line["configurations"] for line in shown["settings"][0]["lines"]}
    on = [labels[place] for place in lines["partial-hypernetwork"]]
    assert on == ["full-hypernetwork k=0", "partial-hypernetwork k=1", "partial-hypernetwork k=2"]


def test_a_configuration_keeps_its_colour_in_every_chart(shown):
    for line in shown["settings"][0]["lines"]:
        assert {shown["configurations"][place]["series"] for place in line["configurations"]} == {line["series"]}


def test_labels_say_what_differs_and_nothing_twice(tmp_path):
    for rate in (0.001, 0.01):
        write_run(tmp_path, "naive", options={"freeze_depth": 1, "learning_rate": rate, "norm": "group"})
    shown = content(read_source(tmp_path))
    assert [one["label"] for one in shown["configurations"]] == [
        "naive k=1, learning_rate=0.001",
        "naive k=1, learning_rate=0.01",
    ]


@pytest.mark.parametrize(
    ("strategy", "stream", "options"),
    [
        ("naive", {}, {}),
        (
            "partial-hypernetwork",
            {"class_order": [3, 1, 2, 0], "experiences": 2},
            {"freeze_depth": 1, "generator": "additive", "hidden": [8, 4]},
        ),
        ("naive", {"task_labels": False, "order_seed": 3}, {"norm": "group", "learning_rate": 0.0001}),
        ("full-hypernetwork", {"validation": 0.1}, {"generator": "chunked", "beta": 0.01, "epochs": 7}),
    ],
)
def test_the_command_of_a_run_repeats_its_configuration(strategy, stream, options, monkeypatch):
    config = make_config("split-digits", strategy, stream, options, seed=5, threads=2, engine="eager")
    taken = []
    monkeypatch.setattr(run_command, "_train", lambda config, values: taken.append(config) or 0)
    words = command(config.as_dict()).split()
    assert main([*words[1:], "--seed", "5"]) == 0
    assert taken[0].as_dict() == config.as_dict()


def test_a_configuration_without_names_has_no_command():
    assert command({"strategy_options": {"epochs": 3}}) == ""


def test_of_a_run_that_learns_all_at_once_the_course_has_its_end_alone():
    assert over_stream([[0.5, 0.7]], complete=True) == [None, 0.6]
    assert over_stream([[0.5, 0.7]], complete=False) == [0.5]


def test_the_course_is_the_mean_over_what_was_learned():
    assert over_stream(matrix_of(0.9), complete=True) == pytest.approx([0.9, (0.9 + 0.8877) / 2, 0.8877], abs=1e-6)


def test_a_matrix_of_nothing_takes_no_room():
    assert packed([]) is None
    assert packed([[]]) is None


def test_room_is_for_the_first_repetitions():
    assert within([4, 4, 4, 4], [1, 0, 2, 0], budget=9) == [False, True, False, True]
    assert within([4, 4], [0, 0], budget=8) == [True, True]


def test_what_has_no_room_is_told(study, monkeypatch):
    monkeypatch.setattr("clhyper.figures.report.content.MATRIX_BYTES", 300)
    shown = content(read_source(study))
    assert 0 < sum(one is not None for one in shown["runs"]["matrix"]) < 6
    assert len(shown["left_out"]) == 1
    assert "accuracy matrix" in shown["left_out"][0]


def test_losses_by_epoch_are_there_if_records_have_them(tmp_path):
    write_run(tmp_path, "naive", losses=[1.23456, None])
    assert content(read_source(tmp_path))["runs"]["loss"] == [[[1.235, None]] * 3]


def test_published_archives_make_a_page_too():
    from pathlib import Path

    shown = content(read_source(Path(__file__).parents[2] / "results" / "tuning"))
    assert shown["title"] == "tuning"
    assert len(shown["runs"]["name"]) == 22
    assert any(shown["runs"]["matrix"])
    assert shown["runs"]["commands"][0].startswith("clhyper run ")


def test_a_folder_that_is_not_there_is_waited_for(tmp_path):
    shown = content(read_or_wait(tmp_path / "later"))
    assert "no such folder" in shown["waiting"]
    assert shown["configurations"] == []


def test_no_text_of_results_ends_the_script_that_it_is_in(tmp_path):
    write_run(tmp_path, "naive", learned=1, reason="</script><script>alert(1)</script><!-- <script>")
    text = page(as_json(content(read_source(tmp_path))))
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert text.count("</script>") == 3
    assert "<!--" not in text.partition("<script>")[0]


def test_a_thousand_runs_stay_under_ten_megabytes(study):
    from dataclasses import replace

    import pandas as pd

    source = read_source(study)
    complete = source.runs[source.runs["status"] == "complete"]
    [first] = complete["folder"].head(1)
    record = replace(source.records[first], matrix=matrix_of(0.87, experiences=20))
    copies = [complete.assign(folder=complete["folder"] + f"-{n}", seed=complete["seed"] + 3 * n) for n in range(60)]
    runs = pd.concat(copies, ignore_index=True).head(1000)
    random = np.random.default_rng(0)
    for name in ("acc", "forgetting", "train_seconds", "batch_ms", "learning_accuracy", "bwt"):
        runs[name] = random.random(len(runs))
    shown = content(replace(source, runs=runs, records=dict.fromkeys(runs["folder"], record)))
    assert shown["left_out"] == []
    assert all(shown["runs"]["matrix"])
    assert len(page(as_json(shown)).encode()) < 10e6
