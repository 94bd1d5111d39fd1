import io
import math
from pathlib import Path

import pandas as pd
import pytest
from frames import COST, frame, run, study
from rich.console import Console

from clhyper.figures.summary import MEASURES, family_order, mean_and_interval, settings
from clhyper.figures.table import show, summarise, to_csv, to_markdown
from clhyper.measures import BITS


def printed(runs: pd.DataFrame, width: int = 200) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    show(summarise(runs), console)
    return console.export_text()


def test_the_interval_is_students_over_seeds() -> None:
    # 0.80, 0.82, 0.87: mean 0.83, sum of squares 0.0026, so s = sqrt(0.0013); t(0.975, 2) = 4.302653.
    row = summarise(frame(*(run("naive", 1, seed, acc=acc) for seed, acc in enumerate((0.80, 0.82, 0.87))))).iloc[0]
    assert row["acc"] == pytest.approx(0.83)
    assert row["acc_interval"] == pytest.approx(4.302653 * math.sqrt(0.0013) / math.sqrt(3), rel=1e-6)
    assert row["seeds"] == 3


def test_values_that_are_missing_are_left_out_of_mean_and_interval() -> None:
    assert mean_and_interval([1.0, math.nan, 3.0]) == pytest.approx((2.0, 12.706205), rel=1e-6)
    assert all(math.isnan(value) for value in mean_and_interval([math.nan]))


def test_a_single_seed_has_no_interval_and_shows_no_plus_minus() -> None:
    runs = frame(run("naive", 1, 0, acc=0.915))
    assert math.isnan(summarise(runs)["acc_interval"].iloc[0])
    assert "91.5" in printed(runs)
    assert "±" not in printed(runs)


def test_a_seed_that_was_run_twice_counts_once() -> None:
    twice = [run("naive", 1, 0, acc=acc, folder=folder) for acc, folder in ((0.8, "a"), (0.9, "b"))]
    row = summarise(frame(*twice, run("naive", 1, 1, acc=0.75))).iloc[0]
    assert (row["seeds"], row["acc"]) == (2, pytest.approx(0.8))


def test_runs_with_different_hyperparameters_norms_or_engines_are_never_averaged() -> None:
    changes = ({}, {"variant": "beta=1"}, {"norm": "group"}, {"engine": "captured"}, {"evaluated_on": "validation"})
    assert len(summarise(frame(*(run("naive", 1, 0, **change) for change in changes)))) == len(changes)


def test_rows_on_several_engines_name_theirs_and_the_table_says_that_their_seconds_are_not_comparable() -> None:
    several = frame(run("naive", 1, 0), run("joint", None, 0, engine="compiled, captured"))
    for width in (300, 60):
        text = " ".join(printed(several, width).split())
        assert "seconds can be compared within one engine only" in text
        assert "compiled, captured" in text
    one = " ".join(printed(frame(run("naive", 1, 0), run("joint", None, 0)), 300).split())
    assert "within one engine" not in one
    assert "engine eager" in one


def test_failed_and_interrupted_runs_stay_in_the_table_with_their_reason() -> None:
    lost = dict.fromkeys((*MEASURES,), math.nan)
    runs = frame(
        run("naive", 1, 0),
        run("naive", 1, 1, **lost | {"status": "failed", "reason": "CUDA [out of memory]\n" + 200 * "x"}),
        run("naive", 2, 0, **lost | {"status": "interrupted"}),
    )
    summary = summarise(runs)
    assert summary["seeds"].tolist() == [1, 0]
    assert summary["failed"].tolist() == [1, 0]
    assert summary["interrupted"].tolist() == [0, 1]
    note = summary["note"].iloc[0]
    assert note.startswith("failed (seed 1): CUDA [out of memory] xxx")
    assert len(note) == 160
    for width in (200, 60):
        text = printed(runs, width)
        assert "CUDA" in text
        assert "[out of" in text
        assert "interrupted (seed 0)" in text
        assert "1 failed, 1 interrupted" in " ".join(text.split())


def test_an_unfinished_run_that_does_not_know_its_device_joins_the_runs_of_its_configuration() -> None:
    unfinished = run("naive", 1, 1, status="failed", reason="no space", device=None, engine=None, experiences=None)
    summary = summarise(frame(run("naive", 1, 0), unfinished))
    assert (len(summary), summary["failed"].iloc[0]) == (1, 1)


def test_methods_come_by_name_and_then_the_bounds_they_lie_between() -> None:
    assert family_order(["joint", "zeta", "naive", "alpha", "separate"]) == [
        "alpha",
        "zeta",
        "naive",
        "separate",
        "joint",
    ]
    summary = summarise(study())
    assert summary["strategy"].tolist() == [
        *("full-hypernetwork", "partial-hypernetwork", "somebodys-method", "naive", "naive", "naive", "joint")
    ]
    assert summary["freeze_depth"].fillna(-1).tolist() == [0, 1, -1, 0, 1, 2, -1]


def test_a_csv_read_back_has_every_number_exactly_under_a_header_with_its_unit(tmp_path: Path) -> None:
    summary = summarise(study())
    to_csv(summary, tmp_path / "new" / "table.csv")
    back = pd.read_csv(tmp_path / "new" / "table.csv")
    assert {f"{name} [" for name in MEASURES if name not in BITS.metrics} == {
        header[: header.index("[") + 1] for header in back if "[" in header and "interval" not in header
    }
    for header, name in (
        ("acc [fraction]", "acc"),
        ("acc_interval [fraction]", "acc_interval"),
        ("train_macs [MAC]", "train_macs"),
        ("bytes_kept [bytes]", "bytes_kept"),
        ("generation_ms [ms]", "generation_ms"),
        ("generated_parameters [count]", "generated_parameters"),
    ):
        pd.testing.assert_series_equal(back[header], summary[name], check_names=False, rtol=1e-12)
    assert back["note"].dropna().tolist() == ["failed (seed 0): out of memory"]


def test_markdown_is_one_table_a_benchmark_and_no_cell_breaks_it(tmp_path: Path) -> None:
    runs = frame(
        run("naive", 1, 0, acc=0.5),
        run("naive", 1, 1, status="failed", reason="a | b\nc"),
        run("naive", 1, 0, benchmark="split-other", evaluated_on="validation"),
    )
    to_markdown(summarise(runs), tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert text.count("### ") == 2
    assert "### split-other, 3 experiences, mlp, validation images" in text
    assert "a \\| b c" in text
    first = [line.replace("\\|", "") for line in text.split("###")[1].splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in first}) == 1
    assert "| naive | 1 | 1 | 50.0 |" in text


def test_the_screen_shows_human_units_and_what_images_were_used() -> None:
    text = printed(frame(run("naive", 1, 0, train_macs=1.234e9, train_seconds=615, evaluated_on="validation")))
    for words in ("1.23 G", "8.20 MB", "10.2 min", "validation images"):
        assert words in text


def test_a_narrow_terminal_keeps_whole_numbers_and_says_what_it_left_out() -> None:
    text = printed(study(), width=72)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 72
    assert "no room for:" in text
    assert "78.5 ± 6.4" in text
    assert "naive k=2: failed (seed 0): out of memory" in text


def test_columns_nobody_measured_are_not_shown_but_are_in_the_csv(tmp_path: Path) -> None:
    runs = frame(run("naive", 1, 0, **dict.fromkeys(COST, math.nan)))
    assert "bytes" not in printed(runs)
    to_csv(summarise(runs), tmp_path / "table.csv")
    assert "bytes_kept [bytes]" in pd.read_csv(tmp_path / "table.csv")


def test_streams_that_ask_for_something_else_have_a_table_each() -> None:
    runs = frame(run("naive", 1, 0), run("joint", None, 0, stream="task_labels=False"))
    assert [part.prefix for part in settings(runs)] == ["", "task_labels-False-"]
    text = printed(runs)
    assert "split-digits, 3 experiences, mlp, test images, task_labels=False" in text
    assert text.count("strategy") == 2


def test_class_orders_are_repetitions_as_seeds_are_and_the_table_says_so() -> None:
    runs = [run("naive", 1, 0, acc=acc, order=order) for acc, order in ((0.7, "order_seed=1"), (0.9, "order_seed=2"))]
    row = summarise(frame(*runs)).iloc[0]
    assert (row["seeds"], row["acc"], row["orders"]) == (2, pytest.approx(0.8), "order_seed=1 and order_seed=2")
    text = " ".join(printed(frame(*runs)).split())
    assert "class order order_seed=1 and order_seed=2" in text
    assert "interval over pairs of seed and class order (Student t)" in text
    other = run("joint", None, 0)
    assert "by number" in printed(frame(*runs, other))
    assert "by number" not in printed(frame(other))


def test_on_eighty_columns_fronts_that_differ_and_the_number_of_seeds_behind_an_interval_stay() -> None:
    rows = [run("naive", 1, seed, acc=0.8 + seed / 100, forgetting=0.1 * seed) for seed in range(2)]
    text = printed(frame(*rows, run("naive", 1, 0, front="none")), width=80)
    header = text[: text.index("naive")]
    assert "front" in header
    assert "seeds" in header
    hidden = text[text.index("no room for:") :]
    assert "learning accuracy" in hidden
    assert "front" not in hidden


def test_a_front_or_norm_that_finds_no_room_as_a_column_is_said_in_words() -> None:
    variant = {"variant": "generator=additive beta=0.001 something=else and=more"}
    rows = [run("naive", 1, 0, **variant, front="none"), run("naive", 2, 0, **variant), run("joint", None, 0)]
    text = " ".join(printed(frame(*rows), width=80).split())
    assert "front none: naive k=1; front pretrained: naive k=2, joint" in text


def test_accuracies_without_a_told_task_have_columns_where_they_were_measured(tmp_path: Path) -> None:
    measured = {
        "class_incremental_accuracy_by_entropy": 0.412,
        "class_incremental_accuracy_by_features": 0.633,
        "task_inference_accuracy_by_entropy": 0.523,
    }
    runs = frame(run("naive", 1, 0, **measured), run("joint", None, 0))
    to_markdown(summarise(runs), tmp_path / "table.md")
    header, _, bound, naive = [line for line in (tmp_path / "table.md").read_text().splitlines() if line[:1] == "|"][:4]
    if "joint" in naive:
        bound, naive = naive, bound
    cells = dict(zip(header.split(" | "), naive.split(" | "), strict=True))
    assert cells["class incremental by entropy %"] == "41.2"
    assert cells["class incremental by features %"] == "63.3"
    assert cells["task by entropy %"] == "52.3"
    assert "task by features" not in header
    assert "incremental" not in printed(study())
