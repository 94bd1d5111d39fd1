"""Whatever lies in a results folder, intact runs are read as they are and nothing else is raised than `UserError`."""

import io
import json
import math
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some
from rich.console import Console

from clhyper.errors import UserError
from clhyper.figures.latex import to_latex
from clhyper.figures.matrices import mean_matrices
from clhyper.figures.stream import accuracy_so_far
from clhyper.figures.style import series_of, styles_of
from clhyper.figures.summary import summarise
from clhyper.figures.table import show, to_csv, to_markdown
from clhyper.runs import load, load_matrix
from clhyper.runs.compare import compare
from clhyper.runs.config import config_from_dict, read_toml
from clhyper.runs.folder import CHECKPOINT, CONFIG, ENVIRONMENT, EXPERIENCES, FAILURE, MATRIX, RESULT, RunFolder
from clhyper.runs.results import METRICS, unread_note

FILES = (CONFIG, ENVIRONMENT, EXPERIENCES, MATRIX, RESULT, FAILURE, CHECKPOINT)
PUBLISHED = Path(__file__).parents[2] / "results" / "split-cifar10" / "runs"
VICTIM, *OTHERS = (
    min(PUBLISHED.glob(f"*_{strategy}_depth-2_seed-0_*")).name
    for strategy in ("naive", "partial-hypernetwork", "latent-replay")
)
ALIKE = settings(
    derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)

SCALARS = some.none() | some.booleans() | some.integers(-(10**30), 10**30) | some.floats() | some.text(max_size=6)
JSON = some.recursive(
    SCALARS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
RESULTS = some.fixed_dictionaries(
    {"status": some.just("complete")},
    optional={
        "metrics": some.dictionaries(some.sampled_from(METRICS), SCALARS | JSON) | JSON,
        "cost": some.dictionaries(some.sampled_from(["train_macs", "bytes_kept"]), SCALARS | JSON) | JSON,
        **dict.fromkeys(("front", "engine", "data", "runs_at_once", "family", "freeze_depth"), JSON),
    },
)
MATRICES = some.lists(some.lists(some.none() | some.floats(0, 1) | JSON, max_size=4) | JSON, max_size=4)
CONTENTS = (
    some.binary(max_size=60)
    | (JSON | RESULTS | MATRICES | some.fixed_dictionaries({"reason": JSON})).map(
        lambda value: json.dumps(value).encode()
    )
    | some.sampled_from([b"", b"{", b"[[" * 4000, b"\xff\xfe", b"9" * 5000, b"[1e999]", b'{"status": "complete"}'])
)


@pytest.fixture(scope="module")
def intact(tmp_path_factory) -> Path:
    """Three of the published runs of split CIFAR-10."""
    results = tmp_path_factory.mktemp("published")
    for name in (VICTIM, *OTHERS):
        shutil.copytree(PUBLISHED / name, results / name)
    return results


@pytest.fixture(scope="module")
def others(intact) -> pd.DataFrame:
    """What `load` says of the runs that no test damages."""
    return without(load(intact), VICTIM)


def read_all(results: Path, folder: Path) -> pd.DataFrame:
    """Everything that reads results: frames, tables, what figures draw."""
    runs, cells = load(results), load_matrix(results)
    summary = summarise(runs)
    show(summary, Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), width=200))
    for to_file in (to_csv, to_markdown, to_latex):
        to_file(summary, folder / "table")
    series_of(summary, styles_of(summary))
    accuracy_so_far(runs, cells)
    mean_matrices(runs, cells)
    unread_note(runs.attrs["unread"]).encode()
    compare(runs, "partial-hypernetwork@2", "latent-replay@2", "forgetting")
    return runs


def without(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    return runs[~runs["folder"].str.endswith(name)].reset_index(drop=True)


def assert_same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Equal, whatever pandas makes of a column in which nothing is known."""
    plain = (frame.astype(object).where(frame.notna(), None) for frame in (one, other))
    pd.testing.assert_frame_equal(*plain)


@settings(ALIKE, max_examples=12)
@given(name=some.sampled_from(FILES), content=CONTENTS)
def test_any_content_of_any_file_of_a_run_leaves_the_other_runs_as_they_are(
    name, content, intact, others, tmp_path_factory
):
    file = intact / VICTIM / name
    before = file.read_bytes() if file.exists() else None
    try:
        file.write_bytes(content)
        runs = load(intact)
        load_matrix(intact)
        to_latex(summarise(runs), tmp_path_factory.getbasetemp() / "table.tex")
        assert_same(without(runs, VICTIM), others)
        assert (VICTIM in runs.attrs["unread"]) or runs["folder"].str.endswith(VICTIM).sum() == 1
        numbers = runs.loc[runs["folder"].str.endswith(VICTIM), list(METRICS)].to_numpy(dtype=float)
        assert all(math.isnan(value) or -1 <= value <= 1 for value in numbers.ravel())
    finally:
        file.unlink() if before is None else file.write_bytes(before)


@settings(ALIKE, max_examples=10)
@given(
    options=some.dictionaries(
        some.sampled_from(["freeze_depth", "norm", "front_norm", "epochs", "front", "beta"]),
        some.sampled_from(
            ["2", "-1", "99999", "9223372036854775808", "1.5", "nan", '"x"', '"\\u001b[31m"', "[1]", "{a = 1}", "true"]
        ),
    ),
    strategy=some.sampled_from(["naive", "of-a-plug-in", "\\u001b]0;", "a b|&%"]),
)
def test_a_configuration_of_impossible_values_is_shown_or_named_as_unread(
    options, strategy, intact, others, tmp_path_factory
):
    file = intact / VICTIM / CONFIG
    before = file.read_bytes()
    lines = [f'benchmark = "split-parquet"\nstrategy = "{strategy}"\n[strategy_options]']
    try:
        file.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in options.items())]))
        runs = read_all(intact, tmp_path_factory.getbasetemp())
        assert_same(*(frame.drop(columns=["stream"]) for frame in (without(runs, VICTIM), others)))
        assert (VICTIM in runs.attrs["unread"]) != bool(runs["folder"].str.endswith(VICTIM).sum())
        assert "\x1b" not in "".join(runs["strategy"])
    finally:
        file.write_bytes(before)


def test_foreign_folders_links_and_pipes_are_passed_over_or_named(intact, tmp_path):
    results = Path(shutil.copytree(intact, tmp_path / "r"))
    (results / "notes.txt").write_text("mine")
    (results / "figures").mkdir()
    (results / "loop").symlink_to(results / "loop")
    (results / "dangling").symlink_to(tmp_path / "nowhere")
    (results / "again").symlink_to(results / VICTIM)
    (results / "inside").symlink_to(results)
    for name in ("piped", "linked", "lost", "folders"):
        (results / name).mkdir()
    os.mkfifo(results / "piped" / CONFIG)
    os.mkfifo(results / VICTIM / FAILURE)
    (results / "linked" / CONFIG).symlink_to("/dev/zero")
    (results / "lost" / RESULT).write_text("{}")
    for name in FILES:
        (results / "folders" / name).mkdir()
    (results / os.fsdecode(b"\xff\xfe")).mkdir()
    (results / os.fsdecode(b"\xff\xfe") / CONFIG).write_text("= =")
    runs = load(results)
    names = [Path(folder).name for folder in runs["folder"]]
    assert sorted(names) == sorted([*(folder.name for folder in intact.iterdir()), "again"])
    assert set(runs.attrs["unread"]) == {"lost", "  ", VICTIM, "again"}
    assert runs.attrs["unread"]["lost"] == "no config.toml"
    assert runs.attrs["unread"][VICTIM] == "failure.json damaged"
    note = unread_note(runs.attrs["unread"])
    assert note.startswith("4 folders could not be read in full: ")
    assert note.endswith("1 more")
    load_matrix(results)


def test_a_number_that_is_none_is_left_out_and_named(intact, tmp_path):
    results = Path(shutil.copytree(intact, tmp_path / "r"))
    file = results / VICTIM / RESULT
    content = json.loads(file.read_text())
    content["metrics"]["acc"] = "0.99"
    content["cost"]["train_macs"] = 1e400
    file.write_text(json.dumps(content))
    (results / VICTIM / MATRIX).write_text("[[0.5, 3]]")
    runs = load(results)
    row = runs[runs["folder"].str.endswith(VICTIM)].iloc[0]
    assert math.isnan(row["acc"])
    assert math.isnan(row["train_macs"])
    assert row["forgetting"] == content["metrics"]["forgetting"]
    why = "matrix.json damaged, result.json: acc '0.99', result.json: train_macs 'inf'"
    assert runs.attrs["unread"] == {VICTIM: why}
    assert VICTIM not in "".join(load_matrix(results)["folder"])


@pytest.mark.parametrize(
    "content", ["", "[]", "3", '"complete"', "null", '["complete"]', '{"status": "complete"}', 9000 * "[", 5000 * "9"]
)
def test_a_run_whose_result_is_damaged_is_not_complete_for_a_sweep_nor_for_the_table(content, intact, tmp_path):
    config = config_from_dict(read_toml(intact / VICTIM / CONFIG))
    folder = RunFolder(tmp_path, config)
    shutil.copytree(intact / VICTIM, folder.path)
    assert folder.complete
    (folder.path / RESULT).write_text(content)
    assert not folder.complete
    runs = load(tmp_path)
    assert runs["status"].tolist() == ["interrupted"]
    assert runs.attrs["unread"] == {config.name: "result.json damaged"}


def test_where_no_run_can_be_read_the_reason_is_said(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / CONFIG).write_text("= =")
    with pytest.raises(UserError, match=r"no runs in this folder that can be read \(1 folder .*one \(not TOML"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "file/below", "file"])
def test_a_place_that_can_be_no_results_folder_is_refused(name, tmp_path):
    (tmp_path / "file").write_text("")
    for reader in (load, load_matrix):
        with pytest.raises(UserError, match=r"^results "):
            reader(tmp_path / name)
