"""Bad input: one sentence on standard error, exit code 2, and nothing written."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PUBLISHED = Path(__file__).parents[2] / "results" / "split-cifar10" / "runs"

# (command, pieces of the sentence)
MISUSES = [
    ("xyzzy", ["unknown command 'xyzzy'", "sweep"]),
    ("swep", ["did you mean 'sweep'"]),
    ("--frob", ["unknown command '--frob'"]),
    ("list all", ["list takes no arguments", "'all'"]),
    ("demo now", ["now"]),
    ("demo --jobs 0", ["jobs 0: at least 1"]),
    ("run", ["missing stream", "clhyper list"]),
    ("run split-digits", ["missing strategy"]),
    ("run split-digit naive", ["unknown benchmark 'split-digit'", "did you mean 'split-digits'"]),
    ("run split-digits naiv", ["unknown strategy 'naiv'", "did you mean 'naive'"]),
    ("run split-digits naive joint", ["'joint' is too much", "sweep takes several"]),
    ("run split-digits naive --backbone small-convne", ["unknown backbone", "did you mean 'small-convnet'"]),
    ("run split-digits naive --epoch 3", ["--epoch", "did you mean --epochs?"]),
    ("run split-digits naive --frozen-depth 3", ["--frozen-depth", "did you mean --freeze-depth?"]),
    ("run split-digits naive --epochs", ["--epochs", "issing"]),
    ("run split-digits naive --epochs ten", ["--epochs", "'ten'"]),
    ("run split-digits naive --epochs 0", ["epochs 0: at least 1"]),
    ("run split-digits naive --batch-size 0", ["batch_size 0: at least 1"]),
    ("run split-digits naive --learning-rate -1", ["learning_rate -1.0: more than 0"]),
    ("run split-digits naive --learning-rate nan", ["learning_rate nan: more than 0"]),
    ("run split-digits naive --seed -1", ["seed -1: at least 0"]),
    ("run split-digits naive --seed 1.5", ["--seed", "'1.5'"]),
    ("run split-digits naive --norm btch", ["--norm", "'btch'", "batch"]),
    ("run split-digits naive --loggers tensorbord", ["--loggers", "tensorboard"]),
    ("run split-digits naive --threads 0", ["threads 0: at least 1"]),
    ("run split-digits naive --device gpu", ["device 'gpu'", "cpu, cuda, cuda:N or auto"]),
    ("run split-digits naive --device cuda:x", ["device 'cuda:x'"]),
    ("run split-digits naive --device cuda:²", ["device 'cuda:²'"]),
    ("run split-digits naive --device cpu:1", ["device 'cpu:1'"]),
    ("run split-digits naive --validation 1.5", ["validation 1.5"]),
    ("run split-digits naive --validation -0.1", ["validation -0.1"]),
    ("run split-digits naive --experiences 0", ["experiences 0: at least 1"]),
    ("run split-digits naive --experiences 11 --device cpu", ["experiences 11", "10 classes"]),
    ("run split-digits naive --freeze-depth 4 --device cpu", ["freeze_depth 4", "depths 0 to 3"]),
    ("run split-digits naive --freeze-depth -1", ["freeze_depth -1: at least 0"]),
    ("run split-digits naive --class-order 1 2 --order-seed 3", ["class_order and order_seed contradict"]),
    ("run split-digits naive --class-order 1 1 --device cpu", ["class 1 occurs twice"]),
    ("run split-digits naive --class-order 1 12 --device cpu", ["12", "0 to 9"]),
    ("run split-digits naive --image-size 0", ["image_size 0"]),
    ("run split-digits naive --image-size 2 --device cpu", ["2 pixels", "4 or more"]),
    ("run split-digits naive --front x.pt --freeze-depth 0", ["front and freeze_depth 0 contradict"]),
    ("run split-digits naive --front no.pt --freeze-depth 1 --device cpu", ["front no.pt: no such file"]),
    ("run split-digits partial-hypernetwork --front x.pt --freeze-depth 0", ["front and freeze_depth 0 contradict"]),
    ("run split-digits partial-hypernetwork --no-task-labels", ["needs task labels", "--no-task-labels"]),
    ("run split-digits full-hypernetwork --no-task-labels", ["needs task labels"]),
    ("run split-digits separate --no-task-labels", ["needs task labels"]),
    ("run split-digits partial-hypernetwork --beta -1", ["beta -1.0: at least 0"]),
    ("run split-digits partial-hypernetwork --beta inf", ["beta inf: at least 0, and finite"]),
    ("run split-digits partial-hypernetwork --beta 0 --drift-scale relative", ["drift_scale relative", "with beta 0"]),
    ("run split-digits partial-hypernetwork --distillation-tasks 2", ["distillation_tasks 2", "with distillation 0"]),
    ("run split-digits partial-hypernetwork --hidden 8", ["--hidden"]),
    ("run split-digits latent-replay --buffer-size -1", ["buffer_size -1: at least 0"]),
    ("run split-npz naive", ["needs --data FILE.npz"]),
    ("run split-npz naive --data no.npz --device cpu", ["no.npz"]),
    ("run split-npz naive --data half.npz --device cpu", ["half.npz", "damaged"]),
    ("run split-npz naive --data flat.npz --device cpu", ["flat.npz", "x_train has shape (8, 9)"]),
    ("run split-npz naive --data short.npz --device cpu", ["short.npz", "no array y_test"]),
    ("run split-npz naive --data text.npz --device cpu", ["text.npz", "no .npz file"]),
    ("run split-parquet naive", ["needs --data DIR"]),
    ("run split-parquet naive --data no --device cpu", ["no: no such folder"]),
    ("run split-parquet naive --data half --device cpu", ["train.parquet"]),
    ("run split-parquet naive --data pictureless --device cpu", ["pictureless"]),
    ("run split-cifar10 naive --data no --device cpu", ["no"]),
    ("run split-digits naive --config no.toml", ["config no.toml", "no such file"]),
    ("run split-digits naive --config .", ["config ."]),
    ("run --config broken.toml", ["config broken.toml", "not TOML"]),
    ("run --config schema.toml", ["schema 7", "reads schema 1"]),
    ("run --config unknown-option.toml", ["'epoch'", "did you mean 'epochs'"]),
    ("run --config unknown-stream-option.toml", ["'experience'", "did you mean 'experiences'"]),
    ("run --config unknown-entry.toml", ["unknown entry 'sed'", "seed"]),
    ("run --config text-for-number.toml", ["epochs 'ten'", "integer"]),
    ("run --config table-for-number.toml", ["epochs", "integer"]),
    ("run --config number-for-stream.toml", ["benchmark 5", "a string"]),
    ("run --config list-for-strategy.toml", ["strategy ['naive']", "a string"]),
    ("run --config text-for-seed.toml", ["seed 'three'", "a whole number"]),
    ("run --config value-for-table.toml", ["strategy_options must be a table"]),
    ("run --config no-stream.toml", ["missing"]),
    ("run split-digits naive --results file.txt --epochs 1 --experiences 1 --device cpu", ["results file.txt"]),
    ("run split-digits naive --results file.txt/x --epochs 1 --experiences 1 --device cpu", ["results file.txt/x"]),
    ("run split-digits naive --results /proc/x --epochs 1 --experiences 1 --device cpu", ["results /proc/x"]),
    ("sweep", ["missing stream or strategies"]),
    ("sweep split-digits", ["missing stream or strategies"]),
    ("sweep split-digits naiv", ["did you mean 'naive'"]),
    ("sweep split-digits naive --sedes 3", ["--sedes", "did you mean --seeds?"]),
    ("sweep split-digits naive --seeds 0", ["seeds 0: at least 1"]),
    ("sweep split-digits naive --seeds x", ["seeds 'x'", "whole numbers"]),
    ("sweep split-digits naive --seeds ²", ["seeds '²'", "whole numbers"]),
    ("sweep split-digits naive --seeds 1,,2", ["seeds '1,,2'"]),
    ("sweep split-digits naive --freeze-depth 4-2", ["freeze_depth '4-2'", "0-4"]),
    ("sweep split-digits joint --freeze-depth 1", ["none of joint has a freeze depth"]),
    ("sweep split-digits naive --jobs 0", ["jobs 0: at least 1"]),
    ("sweep split-digits naive --threads 0", ["threads 0: at least 1"]),
    ("sweep split-digits naive --beta 1", ["--beta"]),
    ("sweep split-digits naive separate --no-task-labels", ["separate needs task labels"]),
    ("sweep split-digits naive --results file.txt", ["results file.txt"]),
    ("sweep split-digits naive --results file.txt/x", ["results file.txt/x"]),
    ("sweep --config unknown-option.toml", ["'epoch'", "did you mean 'epochs'"]),
    ("sweep --config unknown-stream-option.toml", ["'experience'", "did you mean 'experiences'"]),
    ("table no", ["results no: no such folder"]),
    ("table .", ["no runs in this folder"]),
    ("table a b", ["'b' is a second"]),
    ("plot no", ["results no: no such folder"]),
    ("plot . --cost train-mac", ["--cost", "train-macs"]),
    ("run --config deep.toml", ["config deep.toml", "not TOML"]),
    ("run --config long-number.toml", ["config long-number.toml", "not TOML"]),
    ("run --config latin.toml", ["config latin.toml", "not TOML"]),
    ("sweep split-digit naive", ["unknown benchmark 'split-digit'", "did you mean 'split-digits'"]),
    ("sweep split-digits naive joit", ["did you mean 'joint'"]),
    ("sweep split-digits naive --seeds 10001", ["seeds 10001: at most 10000 seeds"]),
    ("sweep split-digits naive --seeds 0-99999999999", ["seeds '0-99999999999': at most 10000 numbers"]),
    ("sweep split-digits naive --freeze-depth 0-99999999999", ["freeze_depth", "at most 10000 numbers"]),
    (f"sweep split-digits naive --seeds 1,{5000 * '9'}", ["seeds: a number of 5000 characters"]),
    ("sweep split-digits naive --device gpu", ["device 'gpu'"]),
    ("sweep split-digits naive --epochs ten", ["--epochs", "'ten'"]),
    ("sweep split-digits naive --validation 2", ["validation 2.0"]),
    ("sweep split-digits naive --config no.toml", ["config no.toml", "no such file"]),
    ("sweep --config deep.toml", ["config deep.toml", "not TOML"]),
    ("sweep --config text-for-seed.toml", ["seed 'three'"]),
    ("sweep split-digits naive --dry-run --jobs two", ["--jobs", "'two'"]),
    ("table file.txt", ["results file.txt: not a folder"]),
    ("table file.txt/x", ["results file.txt/x: no such folder"]),
    (f"table {300 * 'a'}", ["file name too long"]),
    (
        "table damaged",
        ["no runs in this folder that can be read", "2 folders", "one (not TOML", "two (no config.toml)"],
    ),
    ("table done --output file.txt", ["output file.txt", "is a file"]),
    ("table done --output file.txt/x", ["output file.txt/x", "is a file"]),
    ("table done --frob", ["--frob"]),
    ("table done --output", ["--output", "issing"]),
    ("plot file.txt", ["results file.txt: not a folder"]),
    ("plot damaged", ["no runs in this folder that can be read"]),
    ("plot unfinished", ["no complete run to draw"]),
    ("plot a b", ["'b' is a second"]),
    ("plot done --cost generation-ms", ["generation_ms", "no complete run measured it"]),
    ("plot done --output file.txt", ["output file.txt", "is a file"]),
    ("plot done --output file.txt/x", ["output file.txt/x", "is a file"]),
    ("compare done", ["compare takes [DIR] A B", "1 words"]),
    ("compare no naive joint", ["results no: no such folder"]),
    ("compare file.txt naive joint", ["results file.txt: not a folder"]),
    ("compare damaged naive joint", ["no runs in this folder that can be read"]),
    ("compare unfinished naive joint", ["naive has no complete run yet"]),
    ("compare done naive joint", ["unknown strategy 'joint'", "naive"]),
    ("compare done naive naive@2", ["the same runs"]),
    ("compare done naive@9 naive", ["no run of naive@9", "there are naive@2"]),
]

CONFIGS = {
    "broken": "benchmark = = 3",
    "schema": 'schema = 7\nbenchmark = "split-digits"\nstrategy = "naive"',
    "unknown-option": 'benchmark = "split-digits"\nstrategy = "naive"\n[strategy_options]\nepoch = 3',
    "unknown-stream-option": 'benchmark = "split-digits"\nstrategy = "naive"\n[benchmark_options]\nexperience = 3',
    "unknown-entry": 'benchmark = "split-digits"\nstrategy = "naive"\nsed = 3',
    "text-for-number": 'benchmark = "split-digits"\nstrategy = "naive"\n[strategy_options]\nepochs = "ten"',
    "table-for-number": 'benchmark = "split-digits"\nstrategy = "naive"\n[strategy_options.epochs]\nten = 10',
    "number-for-stream": 'benchmark = 5\nstrategy = "naive"',
    "list-for-strategy": 'benchmark = "split-digits"\nstrategy = ["naive"]',
    "text-for-seed": 'benchmark = "split-digits"\nstrategy = "naive"\nseed = "three"',
    "value-for-table": 'benchmark = "split-digits"\nstrategy = "naive"\nstrategy_options = 3',
    "no-stream": 'strategy = "naive"',
    "deep": f"seed = {3000 * '['}",
    "long-number": f"seed = {5000 * '9'}",
}


@pytest.fixture(scope="module")
def broken_inputs(tmp_path_factory) -> Path:
    """A working folder with files that are no good."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "file.txt").write_text("a file")
    for name, text in CONFIGS.items():
        (folder / f"{name}.toml").write_text(text)
    (folder / "latin.toml").write_bytes("strategy = 'naïve'".encode("latin-1"))
    for run in ("one", "two"):
        (folder / "damaged" / run).mkdir(parents=True)
    (folder / "damaged" / "one" / "config.toml").write_text("= =")
    (folder / "damaged" / "two" / "result.json").write_text("{}")
    (folder / "unfinished" / "run").mkdir(parents=True)
    (folder / "unfinished" / "run" / "config.toml").write_text('benchmark = "split-digits"\nstrategy = "naive"')
    (published,) = PUBLISHED.glob("*naive*")
    shutil.copytree(published, folder / "done" / published.name)
    images, labels = np.zeros((8, 8, 8), np.uint8), np.arange(8)
    good = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    np.savez(folder / "whole.npz", **good)
    content = (folder / "whole.npz").read_bytes()
    (folder / "half.npz").write_bytes(content[: len(content) // 2])
    np.savez(folder / "flat.npz", **{**good, "x_train": np.zeros((8, 9), np.uint8)})
    np.savez(folder / "short.npz", **{name: good[name] for name in ("x_train", "y_train", "x_test")})
    (folder / "text.npz").write_text("not an archive")
    for name in ("half", "pictureless"):
        (folder / name).mkdir()
        for split in ("train", "test"):
            pq.write_table(pa.table({"label": list(range(100))}), folder / name / f"{split}.parquet")
    whole = (folder / "half" / "train.parquet").read_bytes()
    (folder / "half" / "train.parquet").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize(("words", "pieces"), MISUSES, ids=[words[:80] for words, _ in MISUSES])
def test_bad_input_is_said_in_one_sentence_and_nothing_is_written(words, pieces, broken_inputs, call, monkeypatch):
    monkeypatch.chdir(broken_inputs)
    before = sorted(broken_inputs.rglob("*"))
    code, _, error = call(*words.split())
    assert code == 2, error
    assert error.startswith("clhyper: ")
    assert error.count("\n") == 1
    assert error.endswith("\n")
    assert len(error) < 400, "a sentence, not a page"
    for piece in pieces:
        assert piece in error
    assert not any(mark in error for mark in ("Traceback", "╭", "│", "---", "unexpected"))
    assert sorted(broken_inputs.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        ("sweep split-digits naive --freeze-depth 0-9 --jobs 1 --device cpu", "freeze_depth 4"),
        ("sweep split-digits naive joint --experiences 11 --device cpu", "experiences 11"),
        ("sweep split-npz naive --data half.npz --device cpu", "half.npz"),
        ("sweep split-digits naive --front no.pt --freeze-depth 1 --device cpu", "front no.pt"),
    ],
)
def test_a_sweep_finds_bad_input_before_its_first_run_starts(words, piece, broken_inputs, call, monkeypatch):
    monkeypatch.chdir(broken_inputs)
    before = sorted(broken_inputs.rglob("*"))
    code, out, error = call(*words.split())
    assert (code, out.strip()) == (2, "")
    assert error.startswith("clhyper: ")
    assert error.count("\n") == 1
    assert piece in error
    assert sorted(broken_inputs.rglob("*")) == before


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    ("words", "piece"),
    [
        ("run split-digits naive --epoch 3", "did you mean --epochs?"),
        ("run split-digits naiv", "did you mean 'naive'?"),
    ],
)
def test_the_real_command_says_it_the_same_way_in_every_encoding(words, piece, encoding, command, tmp_path):
    answer = subprocess.run(
        [command, *words.split()],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONIOENCODING": encoding, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=False,
    )
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("clhyper: ")
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.strip().endswith(piece)
    assert list(tmp_path.iterdir()) == []


def test_a_defect_of_ours_is_one_sentence_too_unless_one_wants_to_see_it(call, tmp_path, monkeypatch):
    """The results are a folder that can't be read: what no one foresaw."""
    monkeypatch.setattr(Path, "is_dir", lambda self: 1 / 0)
    code, _, error = call("table", tmp_path)
    assert code == 1
    assert error == "clhyper: unexpected ZeroDivisionError: division by zero (CLHYPER_DEBUG=1 shows where)\n"
    monkeypatch.setenv("CLHYPER_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        call("table", tmp_path)
