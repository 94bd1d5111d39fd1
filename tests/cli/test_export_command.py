"""`clhyper export` at the command line."""

import importlib.util
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

LOADS = """
import sys, numpy, torch, clhyper
network = clhyper.load_exported(sys.argv[1])
x = torch.from_numpy(numpy.load(sys.argv[2])["x_test"][:, None]).float() / 255
print(network(x).argmax(1).tolist())
print("avalanche" in sys.modules)
"""


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    from clhyper.cli.main import main

    results = tmp_path_factory.mktemp("results")
    words = f"--data {tiny} --experiences 2 --backbone small-convnet --epochs 1 --batch-size 8 --threads 1".split()
    flags = ["--freeze-depth", "1", "--device", "cpu", "--quiet", "--results", str(results)]
    assert main(["run", "split-npz", "partial-hypernetwork", *words, *flags]) == 0
    return next(results.iterdir())


@pytest.mark.slow
def test_both_formats_are_written_checked_and_agree_without_the_run_or_avalanche(run, tiny, call, tmp_path):
    code, out, error = call("export", run, "--task", 1, "--output", tmp_path / "out")
    assert (code, error) == (0, "")
    first, second = out.splitlines()
    assert first.startswith(f"{tmp_path}/out/task-1.safetensors  ")
    for line in (first, second):
        assert line.endswith(" of the model's logits") or line.endswith("equal bit for bit")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "task-1.json", "task-1.onnx", "task-1.safetensors",
    ]  # fmt: skip
    import onnxruntime

    answer = subprocess.run(
        [sys.executable, "-c", LOADS, tmp_path / "out" / "task-1.safetensors", tiny],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    x = np.load(tiny)["x_test"][:, None].astype(np.float32) / np.float32(255)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "task-1.onnx")
    assert answer.stdout.splitlines() == [str(session.run(None, {"images": x})[0].argmax(1).tolist()), "False"]


def test_one_format_goes_to_the_runs_folder_by_default(run, call, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    assert call("export", folder, "--task", 0, "--format", "safetensors", "--quiet") == (0, "", "")
    assert sorted(path.name for path in (folder / "export").iterdir()) == ["task-0.json", "task-0.safetensors"]
    assert json.loads((folder / "export" / "task-0.json").read_text())["classes"] == [0, 1]


def test_without_the_packages_of_onnx_it_says_how_to_install_them(run, call, tmp_path, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if "onnx" in name else real(name, *rest))
    code, _, error = call("export", run, "--task", 0, "--output", tmp_path / "out")
    assert code == 2
    assert error == (
        "clhyper: ONNX needs onnx, onnxruntime, onnxscript, which is not installed: pip install 'clhyper[onnx]', or"
        " export --format safetensors\n"
    )
    assert call("export", run, "--task", 0, "--output", tmp_path, "--format", "safetensors", "--quiet")[0] == 0


def test_a_file_that_is_not_equal_exits_with_1(run, call, tmp_path, monkeypatch):
    monkeypatch.setattr("clhyper.runs.export.TOLERANCE", -1.0)
    code, out, error = call("export", run, "--task", 0, "--output", tmp_path, "--format", "safetensors")
    assert (code, out) == (1, "")
    assert error.startswith("clhyper: task 0: the safetensors file gives logits that differ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("", ["missing run", "clhyper export RUN"]),
        ("no --task 0", ["run no: no such folder"]),
        (". --task 0", ["run .: no run's folder"]),
        ("unlearned --task 0", ["run unlearned: no experience finished yet"]),
        ("RUN", ["missing task: give --task T"]),
        ("RUN --task 2", ["task 2: not learned by this model, whose tasks are: 0, 1"]),
        ("RUN --task -1", ["task -1: not learned"]),
        ("RUN --task one", ["--task", "'one'"]),
        ("RUN --task 0 --format pt", ["--format", "'pt'"]),
        ("RUN --task 0 --taks 1", ["did you mean --task?"]),
        ("RUN --task 0 --output file.txt", ["file.txt is a file"]),
        ("RUN --task 0 --output /proc/x", ["output /proc/x: can't be made"]),
        ("RUN --task 0 --data other.npz", ["needs the images that the run was trained on"]),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(line, pieces, run, tiny, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("a file")
    (tmp_path / "unlearned").mkdir()
    shutil.copy(run / "config.toml", tmp_path / "unlearned")
    arrays = dict(np.load(tiny))
    np.savez(tmp_path / "other.npz", **{**arrays, "x_train": 255 - arrays["x_train"]})
    before = sorted(tmp_path.rglob("*")), sorted(run.rglob("*"))
    flags = [] if "--format" in line or not line.strip() else ["--format", "safetensors"]
    code, out, error = call("export", *line.replace("RUN", str(run)).split(), *flags)
    assert (code, out) == (2, "")
    assert error.startswith("clhyper: ")
    assert error.count("\n") == 1
    assert all(piece in error for piece in pieces), error
    assert (sorted(tmp_path.rglob("*")), sorted(run.rglob("*"))) == before
