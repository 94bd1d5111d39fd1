"""A report of runs whose files or names are odd: the page has what is sound, and says what isn't."""

import json
import os
import sys
from pathlib import Path

import pytest
from report_runs import matrix_of, write_run

from clhyper.cli.main import main
from clhyper.figures.report.content import content
from clhyper.figures.report.page import as_json
from clhyper.figures.report.source import read_source


def shown(folder):
    return json.loads(as_json(content(read_source(folder))))


@pytest.fixture
def run(tmp_path):
    """A run's folder beside which there is a sound one."""
    write_run(tmp_path, "naive", seed=1, losses=[1.0])
    return tmp_path / write_run(tmp_path, "naive", losses=[1.0, 0.5]).name


@pytest.mark.parametrize(
    "line",
    ['{"cost": null}', '{"cost": []}', '{"cost": {"loss_by_epoch": 3}}', "[]", "{}", '{"cost": {"loss', "9" * 5000],
)
def test_a_damaged_record_costs_its_own_losses_alone_and_is_listed(run, line):
    file = run / "experiences.jsonl"
    file.write_text("\n".join([*file.read_text().splitlines()[:2], line]))
    found = shown(run.parent)
    at = found["runs"]["name"].index(run.name)
    assert found["runs"]["loss"][at] == [[1.0, 0.5], [1.0, 0.5], []]
    assert found["runs"]["loss"][1 - at] == [[1.0]] * 3
    assert found["unread"] == [[run.name, "experiences.jsonl damaged"]]


def test_records_that_are_no_text_are_listed(run):
    (run / "experiences.jsonl").write_bytes(b"\xff")
    assert shown(run.parent)["unread"] == [[run.name, "experiences.jsonl damaged"]]


def test_an_epoch_whose_loss_is_not_finite_costs_no_other_epoch(run):
    lines = ['{"cost": {"loss_by_epoch": [1.0, NaN, 2.0, Infinity, 1e40, true]}}', '{"cost": {"loss_by_epoch": null}}']
    (run / "experiences.jsonl").write_text("\n".join(lines))
    found = shown(run.parent)
    assert found["runs"]["loss"][found["runs"]["name"].index(run.name)] == [[1.0, None, 2.0, None, None, None], []]
    assert found["unread"] == []


def test_numbers_that_json_lacks_are_shown_in_words_and_listed(run):
    (run / "environment.json").write_text('{"device": "cpu", "load": [NaN, {"most": 1e999}]}')
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("learning_rate = ", "learning_rate = inf #"))
    found = shown(run.parent)
    at = found["runs"]["name"].index(run.name)
    environment = found["runs"]["environments"][found["runs"]["environment"][at]]
    assert environment == {"device": "cpu", "load": ["nan", {"most": "inf"}]}
    assert found["runs"]["configs"][found["runs"]["config"][at]]["strategy_options"]["learning_rate"] == "inf"
    assert found["unread"] == [
        [run.name, "config.toml: learning_rate inf, environment.json: load nan, environment.json: most inf"]
    ]


@pytest.mark.parametrize("text", ["[]", "{", "3", "[" * 5000, '{"a": ' * 800 + "1" + "}" * 800])
def test_an_environment_that_is_none_is_listed(run, text):
    (run / "environment.json").write_text(text)
    assert shown(run.parent)["unread"] == [[run.name, "environment.json damaged"]]


def test_a_matrix_of_no_fractions_is_listed_once(run):
    (run / "matrix.json").write_text("[[80, 90]]")
    assert shown(run.parent)["unread"] == [[run.name, "matrix.json damaged"]]


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_runs_whose_names_do_not_print_or_print_alike_have_their_own_records(tmp_path):
    for seed, name in enumerate([b"a\nb", b"a\tb", "a\u200db".encode(), b"a\xffb"]):
        config = write_run(tmp_path, "naive", seed=seed, learning_accuracy=0.9 - seed / 10)
        os.rename(tmp_path / config.name, os.fsencode(tmp_path) + b"/" + name)
    runs = shown(tmp_path)["runs"]
    assert sorted(runs["name"]) == ["a b", "a b (2)", "a b (3)", "a b (4)"]
    assert sorted(runs["seed"]) == [0, 1, 2, 3]
    by_seed = dict(zip(runs["seed"], runs["curve"], strict=True))
    for seed, curve in by_seed.items():
        assert curve[0] == pytest.approx(matrix_of(0.9 - seed / 10)[0][0])
    assert all(runs["commands"][place] for place in runs["config"])


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_a_folder_whose_name_is_not_text_has_a_report(tmp_path, capsys):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff"))
    write_run(folder, "naive")
    assert main(["report", str(folder)]) == 0
    assert (folder / "report.html").is_file()
    assert "<title>bad" in (folder / "report.html").read_text(encoding="utf-8")
    assert capsys.readouterr().out.endswith("/bad /report.html\n")


def test_the_page_is_named_by_the_folder_alone(tmp_path, monkeypatch):
    write_run(tmp_path / "alice" / "runs", "naive")
    assert shown(tmp_path / "alice" / "runs")["title"] == "runs"
    monkeypatch.chdir(tmp_path / "alice" / "runs")
    assert shown(Path())["title"] == "runs"


@pytest.mark.parametrize("flag", [["-o", "p.html"], ["-op.html"], ["-o=p.html"], ["--output", "p.html"]])
def test_the_file_is_given_as_one_is_used_to_whatever_the_folder_is_called(flag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(Path("q-o=1"), "naive")
    assert main(["report", "q-o=1", *flag]) == 0
    assert Path("p.html").is_file()
    assert capsys.readouterr().out == "p.html\n"


def test_a_file_without_a_name_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs"), "naive")
    for words in (["-o="], ["-o"]):
        assert main(["report", "runs", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_help_names_the_short_flag_among_the_options(capsys):
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    assert "-o FILE, --output FILE" in capsys.readouterr().out
