"""clhyper study with a front that it trains itself, as a user types it."""

import json
import re

import pytest

STUDY = """
title = "Does a front trained elsewhere help?"
question = "On the first five digits, with one that was trained on the others."

[options]
epochs = 1
batch_size = 16
images_each = 32

[streams.digits]
benchmark = "split-digits"
experiences = 2
class_order = [0, 1, 2, 3, 4]

[fronts.others]
stream = "digits"
classes = "5-9"
epochs = 1
images_each = 64

[[runs]]
strategies = ["naive", "separate"]
depths = "1"

[[runs]]
strategies = ["naive", "separate"]
depths = "1"
front = "others"

[[show]]
kind = "table"

[[show]]
kind = "compare"
reference = "separate@1"
"""


DIVERGING = STUDY.replace("epochs = 1\nimages_each = 64", 'epochs = 3\noptimizer = "sgd"\nlearning_rate = 1e30')
"""Training of its front diverges."""
ALL_WITH_FRONT = re.sub(r"\[\[runs\]\]\n.*?(?=\[\[runs\]\])", "", DIVERGING, count=1, flags=re.DOTALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which the study was run, and the words of the command."""
    from clhyper.cli.main import main

    folder = tmp_path_factory.mktemp("fronts")
    (folder / "fronts.toml").write_text(STUDY)
    words = ["study", folder / "fronts.toml", "--device", "cpu", "--jobs", "1", "--threads", "1"]
    words = [str(word) for word in [*words, "--results", folder / "runs", "--output", folder / "page"]]
    assert main([*words, "--quiet"]) == 0
    return folder, words


def test_the_page_tells_runs_with_the_front_from_those_without(made):
    folder, _ = made
    text = (folder / "page" / "README.md").read_text()
    (file,) = (folder / "runs" / "fronts").glob("*.safetensors")
    for piece in (
        "4 of 4 runs are complete",
        f"- front pretrained on others: split-digits classes 5-9 ({file.name}), SHA-256 ",
        "| naive | 1 | first experience |",
        "| naive | 1 | pretrained on others |",
        "small-convnet, test images, images_each=32, front pretrained on others\n",
    ):
        assert piece in text, piece
    archive = (folder / "page" / "runs.jsonl").read_text()
    assert str(folder) not in text + archive
    taken = [json.loads(line)["config"]["strategy_options"].get("front") for line in archive.splitlines()[1:]]
    assert sorted(map(str, taken)) == ["None", "None", *[f"{{results}}/fronts/{file.name}"] * 2]


@pytest.mark.slow
def test_what_was_lost_is_run_again_with_the_same_front_wherever_results_lie(made, call, tmp_path):
    folder, words = made
    (file,) = (folder / "runs" / "fronts").glob("*.safetensors")
    lost = next(path for path in (folder / "runs").glob("*naive*") if "{results}" in (path / "config.toml").read_text())
    (lost / "result.json").unlink()
    before = file.read_bytes()
    (folder / "runs").rename(folder / "elsewhere")
    words = [word.replace(str(folder / "runs"), str(folder / "elsewhere")) for word in words]
    code, out, _ = call(*words)
    assert code == 0
    assert "[1/1] front others: skipped, complete before\n" in out
    assert out.count("skipped, complete before") == 4
    assert (lost.parents[1] / "elsewhere" / lost.name / "result.json").exists()
    assert (folder / "elsewhere" / "fronts" / file.name).read_bytes() == before
    (folder / "elsewhere").rename(folder / "runs")


def test_the_page_is_renewed_where_there_is_no_front(made, call, tmp_path):
    folder, words = made
    (tmp_path / "runs.jsonl").write_bytes((folder / "page" / "runs.jsonl").read_bytes())
    code, _, error = call("study", words[1], "--page-only", "--output", tmp_path)
    assert (code, error) == (0, "")
    assert "pretrained on others" in (tmp_path / "README.md").read_text()


def test_a_dry_run_names_the_front_and_trains_nothing(made, call, tmp_path):
    code, out, _ = call("study", made[1][1], "--dry-run", "--device", "cpu", "--results", tmp_path / "runs")
    assert (code, list(tmp_path.iterdir())) == (0, [])
    assert out.startswith("front others-")
    assert len(out.splitlines()) == 6


@pytest.mark.parametrize(
    ("old", "new", "piece"),
    [
        ('classes = "5-9"', 'classes = "4-9"', "front others: its classes and those of stream digits have 4 in common"),
        ('front = "others"', 'front = "other"', "runs 2 'other': did you mean 'others'?"),
        ('"separate@1"', '"separat@1"', "reference in study fronts, show 2 'separat': did you mean 'separate'?"),
    ],
)
def test_bad_input_is_said_before_anything_is_trained(old, new, piece, made, call, tmp_path):
    assert old in STUDY
    (tmp_path / "fronts.toml").write_text(STUDY.replace(old, new))
    words = ["--device", "cpu", "--results", tmp_path / "runs", "--output", tmp_path / "page"]
    code, out, error = call("study", tmp_path / "fronts.toml", *words)
    assert (code, out) == (2, "")
    assert error.startswith("clhyper: ")
    assert piece in error
    assert [path.name for path in tmp_path.iterdir()] == ["fronts.toml"]


def test_what_takes_a_front_that_diverges_is_failed_with_the_reason(call, tmp_path):
    (tmp_path / "fronts.toml").write_text(ALL_WITH_FRONT)
    words = ["--device", "cpu", "--threads", 1, "--results", tmp_path / "runs", "--output", tmp_path / "page"]
    code, out, error = call("study", tmp_path / "fronts.toml", *words)
    assert (code, error) == (1, "")
    assert "[1/1] front others: failed: " in out
    page = (tmp_path / "page" / "README.md").read_text()
    assert "0 of 2 runs are complete" in page
    assert page.count("failed (front others: ") == 2
    assert not list((tmp_path / "runs" / "fronts").glob("*.safetensors"))


@pytest.mark.slow
def test_runs_that_need_no_front_go_on_where_one_diverges(call, tmp_path):
    (tmp_path / "fronts.toml").write_text(DIVERGING)
    words = ["--device", "cpu", "--threads", 1, "--results", tmp_path / "runs", "--output", tmp_path / "page"]
    code, out, _ = call("study", tmp_path / "fronts.toml", *words)
    assert code == 1
    assert "2 of 2 runs complete" in out
    assert "2 of 4 runs are complete" in (tmp_path / "page" / "README.md").read_text()


def test_ctrl_c_while_a_front_trains_says_that_it_begins_anew(call, monkeypatch, tmp_path):
    def stop(display, config, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr("clhyper.cli.display.Display._advance", stop)
    (tmp_path / "fronts.toml").write_text(STUDY)
    words = ["--device", "cpu", "--threads", 1, "--results", tmp_path / "runs", "--output", tmp_path / "page"]
    code, _, error = call("study", tmp_path / "fronts.toml", *words)
    assert code == 130
    assert error == "\nclhyper: stopped; the same command trains front others from its beginning\n"


def test_a_renewed_page_looks_up_no_reference_among_the_runs(call, tmp_path):
    (tmp_path / "fronts.toml").write_text(STUDY.replace('"separate@1"', '"separat@1"'))
    _, _, error = call("study", tmp_path / "fronts.toml", "--page-only", "--output", tmp_path)
    assert error.startswith(f"clhyper: runs {tmp_path / 'runs.jsonl'}")


def test_a_studys_run_by_itself_is_told_where_its_front_lies(call, monkeypatch, tmp_path):
    from clhyper.runs.study import expand, read_study

    monkeypatch.chdir(tmp_path)
    (tmp_path / "fronts.toml").write_text(STUDY)
    one = next(one for one in expand(read_study("fronts.toml")) if one.front)
    folder = tmp_path / "theirs" / one.config.name
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(one.config.to_toml())
    words = ["run", "--config", folder / "config.toml"]
    sentence = (
        f"clhyper: front results/runs/fronts/{one.front.file}: no such file; it is front others of a study, which lies"
        " in the study's results under fronts/: give --results "
    )
    assert call(*words) == (2, "", f"{sentence}with the folder of these results\n")
    one.front.path(tmp_path / "theirs").parent.mkdir()
    one.front.path(tmp_path / "theirs").touch()
    assert call(*words) == (2, "", f"{sentence}theirs\n")
