"""clhyper compare."""

import json
import math

import pytest

from clhyper.runs import make_config
from clhyper.runs.files import write_json
from clhyper.runs.folder import MATRIX, RunFolder


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two strategies on three seeds, one of them on two more; as a sweep leaves them, without the training."""
    results = tmp_path_factory.mktemp("swept") / "runs"
    for strategy, seeds in (("naive", (0, 1, 2, 7, 8)), ("separate", (0, 1, 2))):
        for seed in seeds:
            lost = (0.3 if strategy == "naive" else 0.0) + seed**2 / 100 * (strategy == "naive")
            folder = RunFolder(results, make_config("split-digits", strategy, {}, {"freeze_depth": 1}, seed=seed))
            folder.path.mkdir(parents=True)
            folder.start({"device": "cpu", "processor": "x86_64"})
            write_json(folder.path / MATRIX, [[0.9, None], [0.9 - lost, 0.8]])
            metrics = {"acc": 0.85 - lost / 2, "forgetting": lost, "bwt": -lost, "fwt": None}
            folder.finish({"metrics": metrics, "cost": {"train_macs": 1e9 + seed}, "engine": "eager", "data": "d"})
    return results


def test_the_sentence_comes_first_and_the_file_has_every_number(swept, call, tmp_path):
    output = tmp_path / "c.json"
    code, out, error = call("compare", swept, "naive@1", "separate", "--metric", "forgetting", "--output", output)
    assert (code, error) == (0, "")
    content = json.loads(output.read_text())
    assert out.splitlines()[0] == content["sentence"]
    assert out.splitlines()[-1] == str(output)
    assert "only naive k=1 has: seed 7, seed 8" in out
    assert content["pairs"] == ["seed 0", "seed 1", "seed 2"]
    one, other = content["values_a"], content["values_b"]
    assert content["difference"] == pytest.approx(math.fsum(a - b for a, b in zip(one, other, strict=True)) / 3)
    assert content["t"]["low"] <= content["difference"] <= content["t"]["high"]
    recorded = [json.loads(p.read_text())["metrics"]["forgetting"] for p in sorted(swept.glob("*naive*/result.json"))]
    assert one == pytest.approx(recorded[:3])


def test_without_a_folder_the_usual_one_is_read(swept, call, tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "runs").symlink_to(swept)
    monkeypatch.chdir(tmp_path)
    assert call("compare", "naive", "separate") == call("compare", "results/runs", "naive", "separate")


def test_what_cannot_be_read_is_said_beside_the_answer(swept, call, tmp_path):
    import shutil

    results = shutil.copytree(swept, tmp_path / "runs")
    (results / "foreign").mkdir()
    (results / "foreign" / "config.toml").write_text("color = 3")
    expected = call("compare", swept, "naive", "separate")[1]
    for verb in (["compare", results, "naive", "separate"], ["table", results], ["plot", results]):
        code, out, error = call(*verb)
        assert code == 0
        assert error.startswith("clhyper: 1 folder could not be read in full: foreign (unknown entry 'color'")
        assert error.count("\n") == 1
        assert verb[0] != "compare" or out == expected


def test_the_table_is_written_in_three_formats(swept, call, tmp_path):
    code, out, _ = call("table", swept, "--output", tmp_path)
    assert code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "table.md", "table.tex"}
    assert out.splitlines()[-1] == ", ".join(str(tmp_path / f"table.{kind}") for kind in ("csv", "md", "tex"))


@pytest.mark.parametrize(
    ("words", "pieces"),
    [
        ("", ["compare takes [DIR] A B", "0 words"]),
        ("naive", ["1 words"]),
        ("{} naive", ["there is naive alone: name B too"]),
        ("{} a b c", ["4 words"]),
        ("no naive separate", ["results no: no such folder"]),
        ("{} naiv separate", ["unknown strategy 'naiv'", "did you mean 'naive'"]),
        ("{} naive@3 separate", ["no run of naive@3", "naive@1"]),
        ("{} naive@x separate", ["after @ comes a freeze depth"]),
        ("{} naive@ separate", ["after @ comes a freeze depth"]),
        ("{} naive naive", ["the same runs"]),
        ("{} naive,epochs=9 separate", ["has epochs=9", "there are naive@1"]),
        ("{} naive separate --metric accuracy", ["--metric", "acc"]),
        ("{} naive separate --metric fwt", ["fwt: no complete run of naive has it"]),
        ("{} naive separate --metrics acc", ["--metrics", "did you mean --metric?"]),
        ("{} naive separate --output no/c.json", ["output no/c.json: no is no folder"]),
        ("{} naive separate --output .", ["output .: a folder"]),
    ],
)
def test_bad_input_is_said_in_one_sentence(words, pieces, swept, call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, error = call("compare", *words.format(swept).split())
    assert (code, out) == (2, "")
    assert error.startswith("clhyper: ")
    assert error.count("\n") == 1
    assert all(piece in error for piece in pieces), error
    assert list(tmp_path.iterdir()) == []


def test_words_may_stand_after_flags(swept, call, tmp_path):
    expected = call("compare", swept, "naive", "separate", "--metric", "forgetting")
    assert expected[0] == 0
    assert call("compare", "--metric", "forgetting", swept, "naive", "separate") == expected
    assert call("compare", swept, "--metric=forgetting", "naive", "separate") == expected
    assert call("table", "--output", tmp_path, swept) == call("table", swept, "--output", tmp_path)


def test_an_output_that_is_no_ordinary_file_fails_before_anything_is_printed(swept, call):
    code, out, error = call("compare", swept, "naive", "separate", "--output", "/dev/full")
    assert (code, out) == (1, "")
    assert error.startswith("clhyper: /dev/full: can't be written")


@pytest.mark.parametrize("verb", ["table", "plot"])
def test_an_output_that_is_a_file_is_named_by_its_flag(verb, swept, call, tmp_path):
    (tmp_path / "file").write_text("mine")
    code, out, error = call(verb, swept, "--output", tmp_path / "file")
    assert (code, out) == (2, "")
    assert error.startswith(f"clhyper: output {tmp_path / 'file'}: ")


def test_the_table_is_written_though_nobody_reads_what_is_printed(swept, command, tmp_path):
    import subprocess

    line = f"{command} table {swept} --output {tmp_path} | true"
    answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert answer.stderr == ""
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "table.md", "table.tex"}
