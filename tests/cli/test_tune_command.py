"""`clhyper tune`: bad input, what it prints and writes, exit codes."""

import json
import shlex
import sys

import pytest

from clhyper.runs.config import make_config, read_toml

pytest.importorskip("optuna")
NAIVE = "tune split-digits naive --search"


@pytest.mark.parametrize(
    ("words", "pieces"),
    [
        ("tune", ["missing stream"]),
        ("tune split-digits", ["missing strategy"]),
        ("tune split-digits naive joint --search norm=batch,group", ["one strategy", "'joint'"]),
        ("tune split-digit naive --search norm=batch,group", ["'split-digit'", "'split-digits'"]),
        ("tune split-digits naive", ["give at least one option"]),
        (f"{NAIVE} lr=1..2", ["option of naive 'lr'"]),
        (f"{NAIVE} learning_rat=1..2", ["did you mean 'learning_rate'"]),
        (f"{NAIVE} learning_rate=0..1:log", ["begins above 0"]),
        (f"{NAIVE} epochs=0..5", ["epochs 0: at least 1"]),
        (f"{NAIVE} norm=batch,group --norm batch", ["both searched and fixed with --norm"]),
        (f"{NAIVE} norm=batch,group --objectives accuracy", ["unknown objective 'accuracy'", "'learning-accuracy'"]),
        (f"{NAIVE} norm=batch,group --objectives acc acc", ["acc occurs twice"]),
        (f"{NAIVE} norm=batch,group --objectives forgetting --first 1", ["at least 2 experiences"]),
        (f"{NAIVE} norm=batch,group --objectives acc train-macs --pruner median", ["accuracy alone"]),
        (f"{NAIVE} norm=batch,group --objectives forgetting --pruner halving", ["accuracy alone"]),
        (f"{NAIVE} norm=batch,group --protocol class-order --order-seed 4 --tuning-order-seed 4", ["reported order's"]),
        (f"{NAIVE} norm=batch,group --validation 0", ["validation 0"]),
        (f"{NAIVE} norm=batch,group --first 7", ["first 7: from 1 to 5"]),
        (f"{NAIVE} norm=batch,group --trials 0", ["trials 0: at least 1"]),
        (f"{NAIVE} norm=batch,group --jobs 0", ["jobs 0: at least 1"]),
        (f"{NAIVE} norm=batch,group --seeds 0", ["seeds 0"]),
        (f"{NAIVE} norm=batch,group --search-seed -1", ["search_seed -1: at least 0"]),
        (f"{NAIVE} norm=batch,group --sampler grid", ["sampler"]),
        (f"{NAIVE} norm=batch,group --epochs 0", ["epochs 0: at least 1"]),
        (f"{NAIVE} norm=batch,group --experiences 0", ["experiences 0: at least 1"]),
        ("tune split-digits partial-hypernetwork --search rank=4..8 --generator static", ["rank: has no effect"]),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(words, pieces, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, error = call(*shlex.split(words))
    assert (code, out) == (2, "")
    assert error.startswith("clhyper: ")
    assert len(error.splitlines()) == 1
    for piece in pieces:
        assert piece in error
    assert not list(tmp_path.iterdir())


def test_without_optuna_it_says_what_to_install(call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, error = call(*NAIVE.split(), "norm=batch,group", "--results", tmp_path / "tuning")
    assert (code, error) == (2, 'clhyper: clhyper tune needs optuna: pip install "clhyper[tune]"\n')


def test_a_dry_run_says_what_would_be_searched_and_makes_nothing(call, tmp_path):
    results = tmp_path / "tuning"
    code, out, error = call(*NAIVE.split(), "norm=batch,group", "--device", "cpu", "--dry-run", "--results", results)
    assert (code, error) == (0, "")
    for piece in ("norm=batch,group", "there are 2 settings", "maximize acc", "first 2 of 5 experiences"):
        assert piece in out
    assert not results.exists()


@pytest.mark.parametrize(
    ("words", "pieces"),
    [
        ("--search norm=batch,group --data nowhere.npz", ["nowhere.npz"]),
        ("--search freeze_depth=0..9", ["freeze_depth 9", "0 to 3"]),
    ],
)
def test_data_and_depths_are_looked_at_before_the_first_trial(words, pieces, call, of_tiny, tmp_path):
    results = tmp_path / "tuning"
    code, out, error = call("tune", "split-npz", "naive", *of_tiny, *words.split(), "--results", results)
    assert (code, out) == (2, "")
    for piece in pieces:
        assert piece in error
    assert not results.exists()


@pytest.fixture
def tune(call, of_tiny, tmp_path):
    """Searches on a tiny stream and gives the exit code, the output, the errors and the search's folder."""

    def tune(*words):
        fixed = [*of_tiny, "--validation", "0.3", "--device", "cpu", "--jobs", "1", "--results", tmp_path / "tuning"]
        code, out, error = call("tune", "split-npz", "naive", *fixed, "--search", *words)
        (folder,) = (tmp_path / "tuning").iterdir()
        return code, out, error, folder

    return tune


def test_a_search_ends_in_a_table_the_protocol_and_a_command_that_reports_the_best(tune, call):
    code, out, error, folder = tune("norm=batch,group", "learning_rate=0.01,0.02", "--trials", "3")
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert [line.split("]")[0] for line in lines[:3]] == ["[1/3", "[2/3", "[3/3"]
    assert all("trial" in line and "norm=" in line for line in lines[:3])
    assert any(line.split()[:2] == ["trial", "acc"] for line in lines)
    assert "Chosen on 30 % of the training images, held out, of all 2 experiences, in the reported order" in out
    following = next(line for line in lines if line.startswith("next: clhyper "))
    code, planned, error = call(*shlex.split(following.removeprefix("next: clhyper ")), "--dry-run")
    assert (code, error) == (0, "")
    names = planned.splitlines()[:5]
    assert [name.split("_")[3] for name in names] == [f"seed-{seed}" for seed in range(10, 15)]
    best = read_toml(folder / "best.toml")["strategy_options"]
    said = json.loads((folder / "tuning.json").read_text())["best"][0]["settings"]
    assert {name: best[name] for name in said} == said
    assert len(list((folder / "runs").iterdir())) == 3


@pytest.mark.slow
def test_a_search_without_a_complete_trial_exits_with_1_and_says_why(tune):
    code, out, _, folder = tune("learning_rate=1e30,1e31")
    assert code == 1
    assert "2 trials (2 failed), none of them complete: " in out
    assert "diverged" in out.splitlines()[-1]
    assert not (folder / "best.toml").exists()


def test_options_of_a_configuration_file_are_fixed_and_flags_and_the_search_override_them(call, tmp_path):
    file = tmp_path / "FILE.toml"
    file.write_text(
        'benchmark = "split-digits"\nstrategy = "naive"\n[strategy_options]\nepochs = 3\nnorm = "group"\n'
        "[benchmark_options]\nexperiences = 2\nvalidation = 0.5\n"
    )

    def planned(*words):
        code, out, error = call("tune", "--config", file, "--device", "cpu", "--dry-run", *words)
        return code, out or error

    code, first = planned("--search", "learning_rate=0.1..1")
    assert code == 0
    assert "on 10 % of the training images, held out, of all 2 experiences" in first
    assert planned("--search", "learning_rate=0.1..1", "--epochs", "3") == (0, first)
    assert planned("--search", "learning_rate=0.1..1", "--epochs", "4")[1] != first
    assert planned("--search", "norm=batch,group")[0] == 0
    code, error = planned("--search", "norm=batch,group", "--norm", "batch")
    assert code == 2
    assert "norm: is both searched and fixed" in error


def test_what_a_best_configuration_leaves_to_follow_from_other_options_still_follows(call, tmp_path):
    file = tmp_path / "FILE.toml"
    file.write_text(make_config("split-digits", "partial-hypernetwork", {}, {"rank": 8}).to_toml())
    words = ["tune", "--config", file, "--device", "cpu", "--dry-run", "--search", "generator=factored,low-rank"]
    assert call(*words)[0] == 0
    assert call(*words, "beta=0.1..1")[0] == 0
