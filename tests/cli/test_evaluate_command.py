"""`clhyper evaluate` at the command line."""

import json
import shutil

import numpy as np
import pytest


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    """Folders of a generated and an ordinary network's run."""
    from clhyper.cli.main import main

    results = tmp_path_factory.mktemp("results")
    words = f"--data {tiny} --experiences 2 --backbone small-convnet --epochs 1 --batch-size 8 --threads 1".split()
    for strategy in ("partial-hypernetwork", "naive"):
        flags = ["--freeze-depth", "1", "--device", "cpu", "--quiet", "--results", str(results)]
        assert main(["run", "split-npz", strategy, *words, *flags]) == 0
    return {folder.name.split("_")[1]: folder for folder in results.iterdir()}


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("strategy", ["partial-hypernetwork", "naive"])
def test_the_same_images_give_the_recorded_accuracies_and_the_run_stays_as_it_is(strategy, runs, call, tmp_path):
    before = contents(runs[strategy])
    code, out, error = call("evaluate", runs[strategy], "--device", "cpu", "--output", tmp_path / "out" / "e.json")
    assert (code, error) == (0, "")
    assert "equal to the recorded accuracies on the same test images" in out
    assert contents(runs[strategy]) == before
    said = json.loads((tmp_path / "out" / "e.json").read_text())
    recorded = json.loads((runs[strategy] / "matrix.json").read_text())[-1]
    assert said["accuracy"] == said["recorded"] == recorded
    assert said["mean"] == pytest.approx(np.mean(recorded))
    assert (said["equal"], said["classes"], said["images"]) == (True, [[0, 1], [2, 3]], [8, 8])
    use = json.loads((runs[strategy] / "result.json").read_text())["cost"]
    assert said["use"]["bytes_per_task"] == use["bytes_per_task"]
    assert said["use"]["batch_ms"] > 0
    assert (said["use"]["generation_ms"] is None) == (strategy == "naive")
    assert ("nothing is generated" in out) == (strategy == "naive")
    for number, value in enumerate(recorded):
        assert f"{number}" in out
        assert f"{100 * value:.2f}" in out


def test_other_images_are_evaluated_with_the_runs_own_normalisation(runs, tiny, call, tmp_path):
    """The same test images in an archive whose training images, all white, have another mean."""
    arrays = dict(np.load(tiny))
    np.savez(tmp_path / "other.npz", **{**arrays, "x_train": np.full_like(arrays["x_train"], 250)})
    flags = ["--data", tmp_path / "other.npz", "--device", "cpu", "--output", tmp_path / "e.json"]
    code, out, error = call("evaluate", runs["naive"], *flags)
    assert (code, error) == (0, "")
    assert "other images than the run was evaluated on" in out
    said = json.loads((tmp_path / "e.json").read_text())
    assert (said["same_data"], said["equal"]) == (False, None)
    assert said["accuracy"] == said["recorded"]


def test_accuracies_that_differ_are_printed_with_the_difference(runs, call, tmp_path):
    import torch

    folder = tmp_path / "run"
    shutil.copytree(runs["naive"], folder)
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    saved["matrix"][-1][1] -= 0.125
    torch.save(saved, folder / "checkpoint.pt")
    code, out, _ = call("evaluate", folder, "--device", "cpu")
    assert code == 0
    assert "differs from the recorded accuracies in experience 1 (+12.50 points), on the same test images" in out


def test_a_moved_folder_of_images_is_given_and_quiet_is_quiet(runs, tiny, call, tmp_path):
    shutil.copy(tiny, tmp_path / "moved.npz")
    assert call("evaluate", runs["naive"], "--data", tmp_path / "moved.npz", "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("", ["missing run", "clhyper evaluate RUN"]),
        ("RUN RUN", ["evaluate takes one run's folder", "is a second"]),
        ("no", ["run no: no such folder"]),
        (".", ["run .: no run's folder"]),
        ("file.txt", ["run file.txt: no run's folder"]),
        ("unlearned", ["run unlearned: no experience finished yet"]),
        ("RUN --data no.npz", ["no.npz"]),
        ("RUN --data swapped.npz", ["names differ at class 0: '0' in the run and '1' here"]),
        ("RUN --device gpu", ["device 'gpu'"]),
        ("RUN --output RUN/result.json", ["is inside the run's folder, which evaluate never changes"]),
        ("RUN --output .", ["output .: is a folder"]),
        ("RUN --output file.txt/x.json", ["file.txt is a file"]),
        ("RUN --outptu x.json", ["did you mean --output?"]),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(line, pieces, runs, tiny, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("a file")
    (tmp_path / "unlearned").mkdir()
    shutil.copy(runs["naive"] / "config.toml", tmp_path / "unlearned")
    np.savez(tmp_path / "swapped.npz", **np.load(tiny), class_names=["1", "0", "2", "3"])
    before = contents(tmp_path), contents(runs["naive"])
    code, out, error = call("evaluate", *line.replace("RUN", str(runs["naive"])).split())
    assert (code, out) == (2, "")
    assert error.startswith("clhyper: ")
    assert error.count("\n") == 1
    assert all(piece in error for piece in pieces), error
    assert (contents(tmp_path), contents(runs["naive"])) == before
