"""`clhyper pretrain` at the command line, and its file as a front."""

import pytest

from clhyper.backbones.tensor_file import from_bytes, to_bytes


@pytest.fixture
def words(tiny):
    return f"--data {tiny} --backbone small-convnet --epochs 1 --batch-size 8 --threads 1 --device cpu".split()


def test_a_front_is_trained_used_and_named_in_the_table(words, of_tiny, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, error = call("pretrain", "split-npz", "--classes", "2-3", "--output", "fronts/a.safetensors", *words)
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert "pretrain seed 0: complete" in lines[-3]
    assert lines[-2].startswith("accuracy ")
    assert lines[-2].endswith(" % on test images of 2 classes")
    assert lines[-1] == "fronts/a.safetensors"
    assert from_bytes((tmp_path / lines[-1]).read_bytes(), "front")[1]["classes"] == [2, 3]
    use = ["--freeze-depth", 2, "--front", lines[-1], "--device", "cpu", "--results", "r", "--quiet", *of_tiny]
    assert call("run", "split-npz", "naive", *use) == (0, "", "")
    code, out, _ = call("table", "r")
    assert code == 0
    assert "split-npz classes 2-3, 2 of them in this stream (fronts/a.safetensors)" in (
        (tmp_path / "r" / "table.csv").read_text()
    )


def test_a_front_that_fits_no_more_is_said_before_a_run_starts(words, of_tiny, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("pretrain", "split-npz", "--norm", "group", "--output", "a.safetensors", "--quiet", *words)[0] == 0
    use = ["--freeze-depth", 2, "--front", "a.safetensors", "--device", "cpu", "--results", "r", *of_tiny]
    code, _, error = call("run", "split-npz", "naive", *use)
    assert code == 2
    assert error == (
        "clhyper: front a.safetensors: was trained with group norm, and this front has batch norm;"
        " choose --front-norm group\n"
    )
    assert call("run", "split-npz", "naive", *use, "--front-norm", "group", "--quiet")[0] == 0
    tensors, notes = from_bytes((tmp_path / "a.safetensors").read_bytes(), "front")
    tensors["conv1.0.weight"][0] = float("nan")
    (tmp_path / "nan.safetensors").write_bytes(to_bytes(tensors, notes))
    use[3] = "nan.safetensors"
    code, _, error = call("run", "split-npz", "naive", *use, "--front-norm", "group")
    assert (code, error.count("\n")) == (2, 1)
    assert "nan.safetensors: tensor 'conv1.0.weight' has values that are not finite" in error
    use[3] = "a.safetensors"
    (tmp_path / "a.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:500])
    code, _, error = call("run", "split-npz", "naive", *use, "--front-norm", "group")
    assert (code, error) == (2, "clhyper: front a.safetensors: not a readable safetensors file, or damaged\n")


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("", ["missing stream", "clhyper pretrain BENCHMARK"]),
        ("split-npz naive --output a.safetensors", ["pretrain takes one stream", "'naive'"]),
        ("split-np --output a.safetensors", ["unknown benchmark 'split-np'", "did you mean 'split-npz'"]),
        ("split-npz", ["output missing: give --output FILE.safetensors"]),
        ("split-npz --output a.pt", ["output a.pt: give --output FILE.safetensors"]),
        ("split-npz --output a.safetensors --classes x", ["classes 'x'", "whole numbers"]),
        ("split-npz --output a.safetensors --classes 1", ["classes 1: at least two"]),
        ("split-npz --output a.safetensors --classes 1,9 --data DATA", ["classes: [9] is no class of split-npz"]),
        ("split-npz --output a.safetensors --experiences 2", ["--experiences"]),
        ("split-npz --output a.safetensors --freeze-depth 2", ["--freeze-depth"]),
        ("split-npz --output a.safetensors --epoch 2", ["did you mean --epochs?"]),
        ("split-npz --output a.safetensors --epochs 0", ["epochs 0: at least 1"]),
        ("split-npz --output a.safetensors --seed -1", ["seed -1: at least 0"]),
        ("split-npz --output a.safetensors --device gpu", ["device 'gpu'"]),
        ("split-npz --output a.safetensors --threads 0", ["threads 0: at least 1"]),
        ("split-npz --output a.safetensors --data no.npz", ["no.npz"]),
        ("split-npz --output file.txt/a.safetensors --data DATA", ["output file.txt", "is a file"]),
        (
            "split-npz --output /proc/a.safetensors --data DATA --backbone mlp",
            ["/proc/a.safetensors: can't be written"],
        ),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(line, pieces, tiny, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").write_text("a file")
    code, out, error = call("pretrain", *line.replace("DATA", str(tiny)).split())
    assert (code, out) == (2, "")
    assert error.startswith("clhyper: ")
    assert error.count("\n") == 1
    assert all(piece in error for piece in pieces), error
    assert [path.name for path in tmp_path.rglob("*")] == ["file.txt"]


def test_ctrl_c_says_that_nothing_was_written(words, call, tmp_path, monkeypatch):
    def interrupted(self, config, message):
        raise KeyboardInterrupt

    monkeypatch.setattr("clhyper.cli.display.Display.update", interrupted)
    code, _, error = call("pretrain", "split-npz", "--output", tmp_path / "a.safetensors", *words)
    assert (code, error) == (130, "\nclhyper: stopped; nothing was written\n")
    assert list(tmp_path.iterdir()) == []


def test_training_that_diverges_exits_with_1_and_one_sentence(words, call, tmp_path):
    diverging = ["--optimizer", "sgd", "--learning-rate", "1e30"]
    code, _, error = call("pretrain", "split-npz", "--output", tmp_path / "a.safetensors", *words, *diverging)
    assert code == 1
    assert error.startswith("clhyper: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
