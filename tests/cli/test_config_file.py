"""Options from a TOML file: a run repeats from its own file, and flags override it."""

import tomllib
from pathlib import Path

import pytest

from clhyper.runs import make_config


def dry(call, *words) -> list[str]:
    """Names of the runs that a sweep would start."""
    code, out, error = call("sweep", *words, "--dry-run", "--device", "cpu", "--threads", "1")
    assert code == 0, error
    return out.splitlines()[:-1]


def run_folder(out: str) -> Path:
    return Path(out.splitlines()[-1])


def test_a_run_repeats_from_its_own_file(call, of_tiny, tmp_path):
    words = [
        "run",
        "split-npz",
        "partial-hypernetwork",
        *of_tiny,
        "--freeze-depth",
        1,
        "--generator",
        "additive",
        "--hidden",
        6,
        7,
        "--beta",
        0.25,
    ]
    code, out, error = call(*words, "--seed", 3, "--results", tmp_path / "r")
    assert code == 0, error
    folder = run_folder(out)
    code, out, _ = call("run", "--config", folder / "config.toml", "--results", tmp_path / "r")
    assert code == 0
    assert ": skipped" in out
    assert run_folder(out) == folder
    code, out, _ = call("run", "--config", folder / "config.toml", "--results", tmp_path / "again")
    assert code == 0
    assert run_folder(out).name == folder.name
    for name in ("config.toml", "matrix.json"):
        assert (run_folder(out) / name).read_bytes() == (folder / name).read_bytes()


def test_flags_override_the_file_and_the_file_overrides_defaults(call, of_tiny, tmp_path):
    file = tmp_path / "some.toml"
    file.write_text(
        'strategy = "naive"\nbenchmark = "split-npz"\nseed = 5\n'
        "[strategy_options]\nlearning_rate = 0.5\nepochs = 9\n[benchmark_options]\nvalidation = 0.25\n"
    )
    code, out, error = call("run", "--config", file, *of_tiny, "--seed", 6, "--results", tmp_path / "r")
    assert code == 0, error
    content = tomllib.loads((run_folder(out) / "config.toml").read_text())
    assert content["seed"] == 6
    assert content["strategy_options"]["epochs"] == 1
    assert content["strategy_options"]["learning_rate"] == 0.5
    assert content["benchmark_options"]["validation"] == 0.25
    assert content["strategy_options"]["optimizer"] == "adam"


def test_a_file_says_nothing_of_a_strategy_other_than_its_own(call, tmp_path):
    file = tmp_path / "some.toml"
    file.write_text(
        'strategy = "latent-replay"\nbenchmark = "split-digits"\n[strategy_options]\nepochs = 9\nbuffer_size = 7\n'
        "[benchmark_options]\nexperiences = 2\n"
    )
    of_file = make_config("split-digits", "latent-replay", {"experiences": 2}, {"epochs": 9, "buffer_size": 7})
    assert dry(call, "--config", file) == [of_file.name]
    assert dry(call, "split-digits", "naive", "--config", file) == [
        make_config("split-digits", "naive", {"experiences": 2}, {}).name
    ]
    assert dry(call, "split-cifar10", "latent-replay", "--config", file) == [
        make_config("split-cifar10", "latent-replay", {}, {"epochs": 9, "buffer_size": 7}).name
    ]


def test_a_sweep_takes_depth_and_seed_of_a_file_unless_told_otherwise(call, tmp_path):
    config = make_config("split-digits", "latent-replay", {}, {"freeze_depth": 1}, seed=4)
    file = tmp_path / "config.toml"
    file.write_text(config.to_toml())
    assert dry(call, "--config", file) == [config.name]
    assert [name.split("_")[2:4] for name in dry(call, "--config", file, "--freeze-depth", "2,3", "--seeds", "2")] == [
        ["depth-2", "seed-0"],
        ["depth-3", "seed-0"],
        ["depth-2", "seed-1"],
        ["depth-3", "seed-1"],
    ]


@pytest.mark.parametrize("form", [["--config", "FILE"], ["--config=FILE"]])
def test_the_file_may_be_given_in_both_forms(form, call, tmp_path):
    config = make_config("split-digits", "naive", {}, {"epochs": 3})
    (tmp_path / "c.toml").write_text(config.to_toml())
    assert dry(call, *(word.replace("FILE", str(tmp_path / "c.toml")) for word in form)) == [config.name]
