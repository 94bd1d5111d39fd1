"""A search: what it sees, what it tries, what it stops, and what it leaves behind."""

import json
import tomllib

import pytest
from filelock import FileLock
from small_searches import Here, repeatable, search, small_tuning, table, two_archives
from small_sweeps import numbers

from clhyper.errors import UserError
from clhyper.runs.config import config_from_dict, read_toml
from clhyper.runs.outcome import Outcome
from clhyper.runs.run import run

optuna = pytest.importorskip("optuna")
RATES = "learning_rate=1e-3..1e-1:log"


def summary(made):
    return json.loads((made.folder / "tuning.json").read_text())


# What it sees


@pytest.mark.parametrize(
    ("protocol", "stream"),
    [
        ({"name": "first-experiences", "first": 2}, {"test_images_each": 6}),
        ({"name": "class-order"}, {"order_seed": 1, "experiences": 2}),
    ],
)
def test_a_search_is_the_same_whatever_the_reported_stream_s_test_images_and_labels_are(protocol, stream, tmp_path):
    measures = ("acc", "forgetting", "class_incremental_accuracy_by_features", "train-macs")
    made, trials = [], []
    for archive in two_archives(tmp_path):
        tuning = small_tuning(
            archive,
            *("beta=0.01..1:log", "rank=2..8"),
            strategy="partial-hypernetwork",
            objectives=measures,
            given={"freeze_depth": 1},
            stream=stream,
            protocol=protocol,
        )
        made.append(search(tuning, tmp_path / archive.stem, 2))
        folders = [made[-1].folder / "runs" / row["runs"] for row in table(made[-1].folder)]
        alike = [json.loads((folder / "result.json").read_text())["similarity"] for folder in folders]
        trials.append([*map(numbers, folders), *alike])
    assert len(trials[0]) == 4
    assert trials[0] == trials[1]
    assert repeatable(made[0].folder) == repeatable(made[1].folder)
    best = [tomllib.loads((one.folder / "best.toml").read_text()) for one in made]
    assert best[0].pop("benchmark_options").pop("data") != best[1].pop("benchmark_options").pop("data")
    assert best[0] == best[1]


def test_reported_runs_do_see_the_test_images(tmp_path):
    found = []
    for archive in two_archives(tmp_path):
        config = small_tuning(archive, RATES).reported({"learning_rate": 0.01})
        found.append(numbers(run(config, tmp_path / archive.stem).folder)["matrix"])
    assert found[0] != found[1]


# What it tries


def test_the_best_trial_s_configuration_is_of_the_whole_stream_on_test_images_with_a_seed_of_its_own(archive, tmp_path):
    made = search(small_tuning(archive, RATES, "norm=batch,group"), tmp_path, 3)
    rows = table(made.folder)
    assert [row["state"] for row in rows] == ["complete"] * 3
    best = max(rows, key=lambda row: float(row["acc"]))
    said = (made.folder / "best.toml").read_text()
    assert made.tuning.protocol.sentence() in said
    config = config_from_dict(read_toml(made.folder / "best.toml"))
    assert config.strategy_options["learning_rate"] == float(best["learning_rate"])
    assert config.strategy_options["norm"] == best["norm"]
    assert config == made.tuning.reported({"learning_rate": float(best["learning_rate"]), "norm": best["norm"]})
    assert (config.benchmark_options["validation"], config.benchmark_options["first"], config.seed) == (0, None, 10)
    result = json.loads((run(config, tmp_path / "reported").folder / "result.json").read_text())
    assert result["evaluated_on"] == "test"
    tuned = config_from_dict(read_toml(made.folder / "runs" / best["runs"] / "config.toml"))
    assert (tuned.benchmark_options["validation"], tuned.benchmark_options["first"], tuned.seed) == (0.4, 2, 0)


def test_what_was_searched_at_what_effort_is_written_down(archive, tmp_path):
    made = search(small_tuning(archive, RATES), tmp_path, 2)
    said, rows = summary(made), table(made.folder)
    assert said["protocol"]["sentence"] == made.tuning.protocol.sentence()
    assert said["search"] == ["learning_rate=0.001..0.1:log"]
    assert said["objectives"] == {"acc": "maximize"}
    assert said["trials"] == {"complete": 2, "pruned": 0, "failed": 0, "under way": 0}
    assert said["effort"]["experiences"] == 4
    assert said["effort"]["train_macs"] == sum(int(row["train_macs"]) for row in rows) > 0
    assert said["effort"]["train_seconds"] > 0
    (best,) = said["best"]
    assert best["values"]["acc"] == max(float(row["acc"]) for row in rows)
    assert rows[best["trial"]]["learning_rate"] == str(best["settings"]["learning_rate"])


def test_a_finite_space_is_tried_once_each_and_then_there_is_nothing_more(archive, tmp_path):
    tuning = small_tuning(archive, "norm=batch,group", "optimizer=adam,sgd", sampler="random")
    made = search(tuning, tmp_path, 30)
    tried = [(row["norm"], row["optimizer"]) for row in table(made.folder)]
    assert sorted(tried) == sorted({(norm, name) for norm in ("batch", "group") for name in ("adam", "sgd")})
    again = Here()
    search(tuning, tmp_path, 40, again)
    assert again.executed == []


def test_settings_that_contradict_each_other_are_drawn_anew_and_do_not_count(archive, tmp_path):
    tuning = small_tuning(
        archive,
        *("beta=0,0.5", "drift_scale=absolute,relative"),
        strategy="partial-hypernetwork",
        given={"freeze_depth": 1, "rank": 2},
        protocol={"first": 1},
    )
    made = search(tuning, tmp_path, 10)
    tried = {(row["beta"], row["drift_scale"]) for row in table(made.folder)}
    assert tried == {("0.0", "absolute"), ("0.5", "absolute"), ("0.5", "relative")}
    assert summary(made)["trials"]["complete"] == 3


def test_more_trials_go_on_after_those_that_there_are(archive, tmp_path):
    tuning = small_tuning(archive, RATES, protocol={"first": 1})
    first = table(search(tuning, tmp_path, 2).folder)
    executor = Here()
    made = search(tuning, tmp_path, 4, executor)
    assert table(made.folder)[:2] == first
    assert len(table(made.folder)) == 4
    assert len(executor.executed) == 2
    assert len({row["learning_rate"] for row in table(made.folder)}) == 4


def test_a_trial_of_several_seeds_is_the_mean_of_its_runs(archive, tmp_path):
    made = search(small_tuning(archive, RATES, seeds=(0, 4)), tmp_path, 1)
    (row,) = table(made.folder)
    folders = [made.folder / "runs" / name for name in row["runs"].split()]
    accuracies = [numbers(folder)["metrics"]["acc"] for folder in folders]
    assert len(accuracies) == 2
    assert float(row["acc"]) == pytest.approx(sum(accuracies) / 2)
    assert [config_from_dict(read_toml(folder / "config.toml")).seed for folder in folders] == [0, 4]
    assert made.tuning.reported_seeds == [10, 11, 12, 13, 14]


def test_several_objectives_give_those_trials_that_no_other_beats(archive, tmp_path):
    tuning = small_tuning(
        archive,
        *("buffer_size=4..64", RATES),
        strategy="latent-replay",
        objectives=("acc", "bytes-kept"),
        given={"freeze_depth": 1, "replay_batch_size": 8},
    )
    made = search(tuning, tmp_path, 4)
    measured = {int(row["trial"]): (float(row["acc"]), -float(row["bytes_kept"])) for row in table(made.folder)}
    front = {
        trial
        for trial, mine in measured.items()
        if not any(
            their != mine and all(a >= b for a, b in zip(their, mine, strict=True)) for their in measured.values()
        )
    }
    best = summary(made)["best"]
    assert {one["trial"] for one in best} == front
    assert best[0]["config"] == "best.toml"
    for one in best:
        config = config_from_dict(read_toml(made.folder / one["config"]))
        assert config.strategy_options["buffer_size"] == one["settings"]["buffer_size"]
    assert len(list(made.folder.glob("trial-*.toml"))) == len(front) - 1


def test_an_objective_that_is_not_measured_fails_the_trial_with_its_reason(archive, tmp_path):
    made = search(small_tuning(archive, RATES, objectives=("fwt",)), tmp_path, 1)
    (row,) = table(made.folder)
    assert row["state"] == "failed"
    assert row["reason"].startswith("fwt was not measured: ")
    assert not (made.folder / "best.toml").exists()


# What it stops


@pytest.mark.parametrize(
    ("pruner", "rates"),
    [
        ("halving", ("0.005", "0.01", "1e-9", "2e-9")),
        pytest.param("median", (*(f"0.00{digit}" for digit in range(3, 9)), "1e-9", "2e-9"), marks=pytest.mark.slow),
    ],
)
def test_a_hopeless_setting_is_stopped_after_an_experience_and_is_never_the_best(pruner, rates, archive, tmp_path):
    tuning = small_tuning(
        archive,
        f"learning_rate={','.join(rates)}",
        given={"epochs": 4},
        pruner=pruner,
        sampler="random",
        search_seed=3,
    )
    made = search(tuning, tmp_path, len(rates))
    rows = table(made.folder)
    pruned = [row for row in rows if row["state"] == "pruned"]
    assert any(float(row["learning_rate"]) < 1e-8 for row in pruned)
    for row in pruned:
        assert int(row["experiences"]) == 1
        assert row["acc"] == ""
        assert row["reason"].startswith("pruned at ")
        assert not (made.folder / "runs" / row["runs"] / "result.json").exists()
    assert float(summary(made)["best"][0]["settings"]["learning_rate"]) > 1e-8
    assert summary(made)["trials"]["pruned"] == len(pruned)


def test_accuracies_after_each_experience_are_what_a_trial_is_pruned_by(archive, tmp_path):
    made = search(small_tuning(archive, RATES, pruner="halving", protocol={"first": 3}), tmp_path, 1)
    (trial,) = made.trials.counted()
    matrix = numbers(made.folder / "runs" / table(made.folder)[0]["runs"])["matrix"]
    expected = {step: sum(matrix[step - 1][:step]) / step for step in (1, 2)}
    assert trial.intermediate_values == pytest.approx(expected)


def test_a_run_that_fails_is_a_failed_trial_and_the_search_goes_on(archive, tmp_path):
    made = search(small_tuning(archive, "learning_rate=0.01,1e30", "norm=batch,instance"), tmp_path, 4)
    rows = table(made.folder)
    failed = [row for row in rows if row["state"] == "failed"]
    assert len(rows) == 4
    assert {float(row["learning_rate"]) for row in failed} == {1e30}
    assert all("diverged" in row["reason"] for row in failed)
    assert float(summary(made)["best"][0]["settings"]["learning_rate"]) == 0.01
    executor = Here()
    search(made.tuning, tmp_path, 4, executor)
    assert executor.executed == []


# What is refused


def test_bad_input_that_the_first_run_finds_ends_the_search_and_costs_no_trial(archive, tmp_path):
    moved = tmp_path / "moved.npz"
    tuning = small_tuning(moved, "norm=batch,group", protocol={"first": 1})

    class Failing(Here):
        def execute(self, configs, results, report):
            for config in configs:
                report(config, Outcome("failed", results / config.name, "moved.npz: no such file", misuse=True))
            return {}

    with pytest.raises(UserError, match=r"moved\.npz: no such file"):
        search(tuning, tmp_path, 5, Failing())
    moved.write_bytes(archive.read_bytes())
    made = search(tuning, tmp_path, 5)
    assert sorted(row["norm"] for row in table(made.folder)) == ["batch", "group"]
    assert [row["state"] for row in table(made.folder)] == ["complete"] * 2


def test_a_search_that_another_process_is_at_work_on_is_left_alone(archive, tmp_path):
    tuning = small_tuning(archive, RATES)
    (tmp_path / tuning.name).mkdir()
    with FileLock(tmp_path / tuning.name / "lock"), pytest.raises(UserError, match="another process is at work"):
        search(tuning, tmp_path, 2)


def test_a_damaged_file_of_trials_is_named(archive, tmp_path):
    tuning = small_tuning(archive, RATES)
    (tmp_path / tuning.name).mkdir()
    (tmp_path / tuning.name / "trials.db").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"trials\.db: can't be read .*move it away to search anew"):
        search(tuning, tmp_path, 2)


def test_several_objectives_are_not_pruned(archive):
    with pytest.raises(UserError, match="pruner median: stops trials by their accuracy alone"):
        small_tuning(archive, RATES, objectives=("acc", "train-macs"), pruner="median")


def test_a_search_s_name_tells_searches_apart_and_not_their_number_of_threads(archive):
    base = small_tuning(archive, RATES).name
    others = [
        small_tuning(archive, RATES, "norm=batch,group"),
        small_tuning(archive, "learning_rate=1e-3..1e-2:log"),
        small_tuning(archive, "learning_rate=1e-3..0.1000001:log"),
        small_tuning(archive, RATES, objectives=("forgetting",)),
        small_tuning(archive, RATES, protocol={"first": 3}),
        small_tuning(archive, RATES, protocol={"name": "class-order"}),
        small_tuning(archive, RATES, seeds=(0, 1)),
        small_tuning(archive, RATES, search_seed=1),
        small_tuning(archive, RATES, sampler="random"),
        small_tuning(archive, RATES, pruner="median"),
        small_tuning(archive, RATES, given={"norm": "group"}),
        small_tuning(archive, RATES, stream={"order_seed": 3}),
    ]
    assert len({base, *(other.name for other in others)}) == len(others) + 1
    same = small_tuning(archive, RATES)
    same.run["threads"] = 2
    assert same.name == base
