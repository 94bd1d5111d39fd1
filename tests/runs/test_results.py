"""Results on disk as data frames."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
from small_sweeps import small_plan
from written_runs import write_run

from clhyper.errors import UserError
from clhyper.measures import BITS
from clhyper.options import TrainingOptions, only_with
from clhyper.runs import load, load_experiences, load_matrix, variants
from clhyper.runs.columns import OF_CELLS, OF_EXPERIENCES, OF_RUNS
from clhyper.runs.results import COSTS, INFERRED, METRICS
from clhyper.runs.run import run


@pytest.fixture(scope="module")
def ran(archive, tmp_path_factory):
    """Two complete runs and one that was interrupted in its second experience."""
    results = tmp_path_factory.mktemp("ran")
    for config in small_plan(archive, ["naive", "partial-hypernetwork"], experiences=2):
        run(config, results)
    (config,) = small_plan(archive, ["separate"], experiences=2)

    def stop(progress):
        if progress.experience == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, results, stop)
    return results


def test_a_row_has_the_numbers_and_units_of_its_run(ran):
    runs = load(ran).set_index("strategy")
    row = runs.loc["partial-hypernetwork"]
    result = json.loads((ran / row.folder / "result.json").read_text())
    assert set(result["metrics"]) == set(METRICS) - set(BITS.metrics)
    for name in METRICS:
        assert row[name] == result["metrics"].get(name) or (math.isnan(row[name]) and not result["metrics"].get(name))
    for name in COSTS:
        assert row[name] == result["cost"][name] or (math.isnan(row[name]) and result["cost"][name] is None)
    assert 0 < row.acc <= 1
    assert 0 < row.train_seconds < 60
    assert row.peak_host_bytes > 50e6
    assert (row.family, row.freeze_depth, row.seed, row.experiences) == ("partial-hypernetwork", 1, 0, 2)
    assert (row.backbone, row.norm, row.front_norm, row.front) == (
        "small-convnet",
        "batch",
        "batch",
        "first experience",
    )
    assert (row.device, row.threads, row.evaluated_on, row.engine) == ("cpu", 1, "test", "eager")


def test_a_result_of_an_earlier_version_is_of_the_eager_engine_and_lacks_what_that_did_not_measure(tmp_path):
    config = write_run(tmp_path, "naive")
    path = tmp_path / config.name / "result.json"
    result = json.loads(path.read_text())
    del result["engine"], result["cost"]["compilation_seconds"], result["cost"]["back_macs"]
    path.write_text(json.dumps(result))
    runs = load(tmp_path)
    assert runs.attrs["unread"] == {}
    assert (runs.engine[0], runs.status[0]) == ("eager", "complete")
    assert math.isnan(runs.compilation_seconds[0])
    assert math.isnan(runs.back_macs[0])
    assert runs.train_macs[0] > 0


def test_what_could_not_be_measured_is_nan_never_zero(ran):
    row = load(ran).set_index("strategy").loc["naive"]
    result = json.loads((ran / row.folder / "result.json").read_text())
    assert result["cost"]["peak_device_bytes"] is None
    assert result["reasons"]["peak_device_bytes"]
    assert math.isnan(row.peak_device_bytes)
    assert math.isnan(row.generation_ms)
    assert math.isnan(row.fwt)
    assert "fwt" in result["reasons"]


def test_an_interrupted_run_is_marked_and_has_no_numbers(ran):
    runs = load(ran).set_index("strategy")
    assert runs.status.to_dict() == {
        "naive": "complete",
        "partial-hypernetwork": "complete",
        "separate": "interrupted",
    }
    assert runs.loc["separate", [*METRICS, *COSTS]].isna().all()


def test_a_run_without_a_finished_experience_says_so(ran, tmp_path):
    shutil.copytree(ran, tmp_path / "r")
    next((tmp_path / "r").glob("*separate*/checkpoint.pt")).unlink()
    row = load(tmp_path / "r").set_index("strategy").loc["separate"]
    assert (row.status, row.reason) == ("interrupted", "no experience finished yet")


def test_matrix_cells_are_those_of_the_file_and_nulls_are_nan(ran):
    cells = load_matrix(ran)
    for folder in ran.iterdir():
        matrix = json.loads((folder / "matrix.json").read_text())
        mine = cells[cells.folder == str(folder)]
        assert len(mine) == sum(len(row) for row in matrix)
        for cell in mine.itertuples():
            value = matrix[cell.after][cell.on]
            assert cell.accuracy == value or (value is None and math.isnan(cell.accuracy))
    assert cells.accuracy.isna().any()
    assert cells.accuracy.dtype == np.float64


def test_the_columns_are_those_that_are_documented(ran):
    assert list(load(ran)) == list(OF_RUNS)
    assert list(load_experiences(ran)) == list(OF_EXPERIENCES)
    assert list(load_matrix(ran)) == list(OF_CELLS)


def test_an_experience_has_the_accuracy_of_what_was_learned_and_the_costs_of_its_own_training(ran):
    rows = load_experiences(ran)
    runs = load(ran).set_index("folder")
    for folder, mine in rows.groupby("folder"):
        matrix = json.loads((ran / folder / "matrix.json").read_text())
        assert mine["experience"].tolist() == mine["training"].tolist() == list(range(len(matrix)))
        for row in mine.itertuples():
            assert row.accuracy == pytest.approx(np.mean(matrix[row.experience][: row.experience + 1]))
        if runs.status[folder] == "complete":
            assert mine["accuracy"].iloc[-1] == pytest.approx(runs.acc[folder])
            assert mine["train_macs"].sum() == runs.train_macs[folder]
            assert mine["bytes_kept"].iloc[-1] == runs.bytes_kept[folder]
        else:
            assert len(mine) == 1
    assert rows["folder"].nunique() == 3
    assert rows["peak_device_bytes"].isna().all()
    assert rows.attrs["unread"] == {}


def test_what_learns_everything_at_once_has_one_row_over_all_experiences(archive, tmp_path):
    (config,) = small_plan(archive, ["joint"], experiences=2)
    run(config, tmp_path)
    rows = load_experiences(tmp_path)
    assert rows[["training", "experience"]].to_numpy().tolist() == [[0, 1]]
    assert rows["accuracy"][0] == pytest.approx(load(tmp_path)["acc"][0])


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[]", "3", "null", '{"experience": 0}', "[" * 9000, "9" * 5000, '{"experience": "x"}'),
        *('{"experience": Infinity}', '{"experience": NaN}'),
    ],
)
def test_records_that_are_damaged_are_named_and_the_others_read(line, ran, tmp_path):
    shutil.copytree(ran, tmp_path / "r")
    (folder,) = (tmp_path / "r").glob("*naive*")
    (folder / "experiences.jsonl").write_text(line)
    rows = load_experiences(tmp_path / "r")
    assert rows["folder"].nunique() == 2
    assert rows.attrs["unread"] == {folder.name: "experiences.jsonl damaged"}


def test_what_is_none_of_ours_is_passed_over(ran, tmp_path):
    shutil.copytree(ran, tmp_path / "r")
    expected, expected_cells = len(load(tmp_path / "r")), len(load_matrix(tmp_path / "r"))
    results = tmp_path / "r"
    (results / "notes.txt").write_text("mine")
    (results / "empty").mkdir()
    for name, config in {
        "other-tool": "color = 'red'",
        "no-toml": "= =",
        "other-schema": "schema = 99\nbenchmark = 'split-digits'\nstrategy = 'naive'",
        "no-strategy": "benchmark = 'split-digits'",
    }.items():
        (results / name).mkdir()
        (results / name / "config.toml").write_text(config)
        (results / name / "matrix.json").write_text('{"rows": "abc"}')
    (results / "binary").mkdir()
    (results / "binary" / "config.toml").write_bytes(b"\xff\xfe\x00")
    assert len(load(results)) == expected
    assert len(load_matrix(results)) == expected_cells


def test_runs_of_what_is_no_longer_installed_are_still_shown(ran, tmp_path):
    shutil.copytree(ran, tmp_path / "r")
    (folder,) = (tmp_path / "r").glob("*naive*")
    text = (folder / "config.toml").read_text().replace('"naive"', '"of-a-plug-in"')
    (folder / "config.toml").write_text(text)
    row = load(tmp_path / "r").set_index("strategy").loc["of-a-plug-in"]
    assert (row.status, row.family) == ("complete", "of-a-plug-in")
    assert row.acc == load(ran).set_index("strategy").acc["naive"]
    assert str(folder) in set(load_matrix(tmp_path / "r").folder)


def test_damaged_result_and_matrix_leave_the_run_interrupted(ran, tmp_path):
    shutil.copytree(ran, tmp_path / "r")
    (folder,) = (tmp_path / "r").glob("*naive*")
    (folder / "result.json").write_text('{"schema": 1, "status": "comp')
    (folder / "matrix.json").write_text("[[0.5, ")
    assert load(tmp_path / "r").set_index("strategy").status["naive"] == "interrupted"
    assert str(folder) not in set(load_matrix(tmp_path / "r").folder)


def test_variants_name_the_options_in_which_runs_differ(archive, tmp_path):
    from clhyper.runs import make_config
    from clhyper.runs.folder import RunFolder

    for strategy, options in (
        ("partial-hypernetwork", {"beta": 0.01}),
        ("partial-hypernetwork", {"beta": 0.1, "norm": "group"}),
        ("partial-hypernetwork", {"freeze_depth": 1}),
        ("naive", {}),
    ):
        config = make_config("split-digits", strategy, {}, options)
        RunFolder(tmp_path, config).path.mkdir()
        RunFolder(tmp_path, config).start({})
    runs = load(tmp_path)
    found = {(row.strategy, row.freeze_depth): set() for row in runs.itertuples()}
    for row in runs.itertuples():
        found[row.strategy, row.freeze_depth].add(row.variant)
    assert found == {
        ("partial-hypernetwork", 2): {"beta=0.01 norm=instance", "beta=0.1 norm=group"},
        ("partial-hypernetwork", 1): {""},
        ("naive", 0): {""},
    }


def test_a_variant_says_nothing_of_options_that_are_another_generators_or_not_given(tmp_path):
    for seed, options in enumerate(
        ({}, {"rank": 32, "base_rank": 64}, {"generator": "additive"}, {"generator": "static"})
    ):
        write_run(tmp_path, "partial-hypernetwork", seed, options=options)
    assert load(tmp_path).set_index("seed")["variant"].to_dict() == {
        0: "generator=factored rank=56",
        1: "base_rank=64 generator=factored rank=32",
        2: "generator=additive",
        3: "generator=static",
    }


def test_metadata_of_a_third_party_s_option_say_nothing_of_what_it_belongs_to(monkeypatch, tmp_path):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Options(TrainingOptions):
        beta: float = dataclasses.field(default=0.1, metadata={"epochs": 3, "optimizer": "a remark", "generator": ()})
        rank: int = dataclasses.field(default=56, metadata={"unit": "rows"} | only_with(generator=("factored",)))

    for seed, generator in enumerate(("factored", "low-rank")):
        options = {"beta": 0.2 + seed, "rank": 32 + seed, "generator": generator}
        write_run(tmp_path, "partial-hypernetwork", seed, options=options)
    known = variants.options_class
    monkeypatch.setattr(
        variants, "options_class", lambda kind, name: Options if kind == "strategy" else known(kind, name)
    )
    assert load(tmp_path).set_index("seed")["variant"].to_dict() == {
        0: "beta=0.2 embedding_rate=5.0 generator=factored rank=32",
        1: "beta=1.2 embedding_rate=1.0 generator=low-rank",
    }


def test_a_missing_or_empty_folder_is_the_user_s_to_mend(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        load(tmp_path / "no")
    with pytest.raises(UserError, match="no runs in this folder"):
        load(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        load_matrix(tmp_path / "no")


def test_results_may_be_given_as_text(ran):
    assert load(str(ran)).folder.tolist() == load(ran).folder.tolist()
    assert load_matrix(str(ran)).folder.tolist() == load_matrix(ran).folder.tolist()


def test_a_stream_says_what_is_not_its_default_and_nothing_else(tmp_path):
    from written_runs import write_run

    write_run(tmp_path, "naive", 0)
    write_run(tmp_path, "naive", 1, {"order_seed": 3, "augmentation": "flip"})
    write_run(tmp_path, "naive", 2, {"variant": "rotated", "max_angle": 90.0, "image_size": 16, "validation": 0.1})
    write_run(tmp_path, "naive", 3, {"class_order": [3, 1], "experiences": 2})
    runs = load(tmp_path).set_index("seed")
    assert runs["stream"].to_dict() == {
        0: "", 1: "", 2: "image_size=16 max_angle=90.0 validation=0.1 variant=rotated", 3: "",
    }  # fmt: skip
    assert runs["order"].to_dict() == {0: "", 1: "order_seed=3", 2: "", 3: "class_order=3,1"}
    assert runs.loc[1, "variant"] == "augmentation=flip"


def test_results_of_versions_that_inferred_no_tasks_load_without_those_numbers(tmp_path):
    write_run(tmp_path, "naive")
    runs = load(tmp_path)
    assert runs.acc.tolist() == [0.8]
    assert runs[list(INFERRED)].isna().all(axis=None)
    assert runs.attrs["unread"] == {}
