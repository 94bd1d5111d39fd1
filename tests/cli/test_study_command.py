"""clhyper study, as a user types it."""

import json
from pathlib import Path

import pytest

STUDY = """
title = "Does replay forget less than fine-tuning?"
question = "On random pictures."
seeds = 2

[data]
pictures = "an .npz file"

[options]
epochs = 1
batch_size = 8
replay_batch_size = 8

[streams.pictures]
benchmark = "split-npz"
data = "{pictures}"
experiences = 2
backbone = "mlp"

[[runs]]
strategies = ["naive", "latent-replay"]
depths = "1"

[[show]]
kind = "table"

[[show]]
kind = "over-stream"

[[show]]
kind = "compare"
reference = "naive@1"
measures = ["forgetting", "train_macs"]
"""


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    """A folder in which a study was run: the words of the command, and what the page's files were."""
    from clhyper.cli.main import main

    folder = tmp_path_factory.mktemp("study")
    (folder / "pictures.toml").write_text(STUDY)
    words = ["study", folder / "pictures.toml", "--data", f"pictures={tiny}", "--device", "cpu", "--jobs", "1"]
    words += ["--threads", "1", "--results", folder / "runs", "--output", folder / "page"]
    words = [str(word) for word in words]
    assert main([*words, "--quiet"]) == 0
    return folder, words, {file.name: file.read_bytes() for file in (folder / "page").iterdir()}


def test_a_study_ends_in_page_table_figure_and_results(made, tiny):
    folder, _, files = made
    assert set(files) == {"README.md", "table.csv", "pictures-over-stream.png", "runs.jsonl"}
    text = files["README.md"].decode()
    for piece in (
        "# Does replay forget less than fine-tuning?\n\nOn random pictures.",
        "4 of 4 runs are complete (seeds 0, 1), run on 2",
        "--data pictures=PATH --jobs 1 --device cpu --threads 1",
        "| naive | 1 | ",
        "| latent-replay k=1 | ",
        "![Accuracy over the stream, pictures](pictures-over-stream.png)",
        "*`clhyper study pictures.toml --page-only --output page` draws it",
    ):
        assert piece in text, piece
    assert str(folder) not in text
    assert str(tiny) not in files["runs.jsonl"].decode()
    header, *lines = map(json.loads, files["runs.jsonl"].decode().splitlines())
    assert "pictures.toml --data pictures=PATH" in header["command"]
    assert sorted(line["run"] for line in lines) == sorted(path.name for path in (folder / "runs").iterdir())


def test_the_same_command_trains_nothing_again_and_makes_the_same_page(made, call):
    folder, words, files = made
    code, out, _ = call(*words)
    assert code == 0
    assert out.count("skipped, complete before") == 4
    assert {file.name: file.read_bytes() for file in (folder / "page").iterdir()} == files


def test_the_page_is_renewed_without_runs_by_a_command_from_the_working_directory(made, call, monkeypatch):
    folder, words, files = made
    page = folder / "copy" / "README.md"
    page.parent.mkdir()
    (folder / "copy" / "runs.jsonl").write_bytes(files["runs.jsonl"])
    monkeypatch.chdir(folder.parent)
    code, out, error = call("study", words[1], "--page-only", "--output", page.parent)
    assert (code, error) == (0, "")
    assert str(page) in out.splitlines()
    command = f"study {folder.name}/pictures.toml --page-only --output {folder.name}/copy"
    elsewhere = files["README.md"].decode().replace("study pictures.toml --page-only --output page", command)
    assert page.read_text() == elsewhere
    assert command in elsewhere


def test_a_run_that_fails_is_named_on_the_page_and_the_others_go_on(made, call, tmp_path):
    _, words, _ = made
    file = tmp_path / "diverging.toml"
    file.write_text(STUDY.replace('depths = "1"', 'depths = "1"\ngrid = { learning_rate = [0.001, 1e30] }'))
    words = ["study", file, *words[2:8], "--seeds", "1", "--threads", "1"]
    words += ["--results", tmp_path / "runs", "--output", tmp_path / "page"]
    code, _, _ = call(*words, "--set", "optimizer=sgd")
    assert code == 1
    page = (tmp_path / "page" / "README.md").read_text()
    assert "2 of 4 runs are complete" in page
    assert page.count("- without a result: ") == 2
    assert "loss" in page


def test_a_dry_run_names_the_runs_and_writes_nothing(made, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("study", *made[1][1:4], "--dry-run", "--device", "cpu")
    assert code == 0
    assert len(out.splitlines()) == 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        ("", "missing study: clhyper study NAME, one of buffer-size, freeze-depth"),
        ("freeze-depht", "did you mean 'freeze-depth'?"),
        ("freeze-depth noise", "'noise' is too much"),
        ("none.toml", "study none.toml: no such file or directory; give a TOML file"),
        ("freeze-depth --device cpu", "needs --data cifar10=PATH: the folder with train.parquet"),
        ("freeze-depth --data cifar10", "--data cifar10: give NAME=VALUE"),
        ("freeze-depth --streams digits --set epoch=1", "did you mean 'epochs'?"),
        ("freeze-depth --streams digits --set epochs=one --device cpu", "epochs 'one'"),
        ("freeze-depth --streams digits --seeds 0 --device cpu", "seeds 0: at least 1 seed"),
        ("freeze-depth --streams digits --set freeze_depth=3 --device cpu", "freeze_depth in study freeze-depth: say"),
        ("freeze-depth --set epochs=2 --set batch_size=8", "--set is given twice: give it once, with all its values"),
        ("freeze-depth --device cpu --set a-b=1 a_b=2", "--set a_b=2: a_b is given twice"),
        (
            "noise --device cpu --data cifar10=no glyphs=no",
            "--data cifar10=no: no such file or folder; give the folder",
        ),
        ("noise --dry-run --device cpu --data cifar10=no glyphs=no", "--data cifar10=no: no such file or folder"),
        ("noise --page-only --streams digits", "--page-only and --streams contradict each other"),
        ("noise --page-only --dry-run", "--page-only and --dry-run contradict each other"),
        ("freeze-depth --page-only --output nowhere", "runs nowhere/runs.jsonl: no such file or directory"),
    ],
)
def test_bad_input_is_answered_with_a_sentence(words, piece, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = call("study", *words.split())
    assert code == 2
    assert error.startswith("clhyper: ")
    assert error.count("\n") == 1
    assert piece in error
    assert list(tmp_path.iterdir()) == []


def test_list_has_the_studies_and_the_leaderboard_needs_results(call, tmp_path):
    assert "freeze-depth           How many layers can be frozen?" in call("list")[1]
    code, _, error = call("leaderboard", tmp_path)
    assert (code, error) == (
        2,
        f"clhyper: {tmp_path}: no runs.jsonl in this folder or below it; `clhyper study` writes them\n",
    )


def test_a_leaderboard_of_a_folder_that_is_not_there_says_so(call, tmp_path):
    code, _, error = call("leaderboard", tmp_path / "no", "--output", tmp_path / "new" / "x.md")
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert error.startswith(f"clhyper: leaderboard {tmp_path / 'no'}: no such folder; ")


def test_the_leaderboard_is_written_beside_the_studies(made, call):
    folder = made[0]
    code, out, _ = call("leaderboard", folder)
    assert (code, out) == (0, f"{folder / 'leaderboard.md'}\n")
    assert "[page](page/)" in Path(out.strip()).read_text()
