"""Pages and the leaderboard, made from files of results alone."""

import json
import re
from pathlib import Path

import pytest
from written_runs import write_run

from clhyper.errors import UserError
from clhyper.figures.leaderboard import write_leaderboard
from clhyper.figures.study_page import write_page
from clhyper.figures.summary import summarise
from clhyper.runs.archive import ARCHIVE, load_archives, pack
from clhyper.runs.results import load
from clhyper.runs.study import Planned, Study

ROOT = Path(__file__).parents[2]
SHOW = [
    {"kind": "table"},
    {"kind": "curve", "along": "buffer_size", "x": "bytes_kept", "measure": "acc"},
    {"kind": "compare", "reference": "naive@2"},
    {"kind": "overtakes", "strategy": "latent-replay", "depth": 2, "cost": "bytes_kept", "measure": "acc"},
    {"kind": "correlation", "x": "similarity", "measure": "acc", "depth": 1},
]


def study(*show) -> Study:
    return Study("small", "Small", "Is it?", {}, 2, {}, {}, {"digits": {}}, [], list(show))


@pytest.fixture
def written(tmp_path):
    """Runs of replay with 0 and 100 stored maps and of naive, on two seeds, one run of which is missing."""
    results, configs = tmp_path / "runs", []
    for seed in (0, 1):
        for size in (0, 100):
            options = {"freeze_depth": 2, "buffer_size": size}
            numbers = {"acc": 0.6 + size / 500 + seed / 100, "bytes_kept": 1000.0 + 10 * size}
            configs.append(write_run(results, "latent-replay", seed, options=options, **numbers))
        config = write_run(results, "naive", seed, options={"freeze_depth": 2}, acc=0.7, finished=seed == 0)
        configs.append(config)
    output = tmp_path / "page"
    pack([Planned("digits", config) for config in configs], results, output / ARCHIVE, "clhyper study small")
    return results, output


def test_a_page_has_question_command_table_figure_and_comparison(written):
    _, output = written
    files = write_page(study(*SHOW[:4]), output, "clhyper study small --page-only")
    text = (output / "README.md").read_text()
    for piece in (
        "# Small\n\nIs it?\n\n```\nclhyper study small\n```",
        "5 of 6 runs are complete (seeds 0, 1)",
        "without a result: split-digits_naive_depth-2_seed-1_",
        "| latent-replay | 2 |",
        "| latent-replay k=2, buffer_size=100 | +10.0 |",
        "*`clhyper study small --page-only` draws it from runs.jsonl.*",
        "| naive k=2 | 1.00 kB | 70.0 | -10.0 | 1.50 kB |",
    ):
        assert piece in text, piece
    drawn = re.findall(r"!\[.*\]\((.*)\)", text)
    assert drawn == ["digits-acc-against-bytes-kept.png"]
    assert {file.name for file in files} == {"README.md", "table.csv", *drawn}
    assert all(file.stat().st_size for file in files)


def test_the_same_archive_makes_the_same_page_without_the_runs(written):
    results, output = written

    def made():
        return {file.name: file.read_bytes() for file in write_page(study(*SHOW), output, "clhyper study small")}

    before = made()
    for file in results.rglob("*"):
        if file.is_file():
            file.unlink()
    assert made() == before


def test_the_users_own_words_come_after_the_question(written):
    _, output = written
    (output / "answer.md").write_text("It is.\n")
    write_page(study(SHOW[0]), output, "")
    assert "Is it?\n\nIt is.\n\n```" in (output / "README.md").read_text()


def test_what_the_runs_do_not_have_is_said_on_the_page(written):
    _, output = written
    asked = [SHOW[4], {"kind": "compare", "reference": "naive@1"}, {"kind": "curve", "along": "beta", "measure": "acc"}]
    write_page(study(*asked), output, "")
    text = (output / "README.md").read_text()
    assert "No complete run has a similarity." in text
    assert "No comparison: no run of naive" in text
    assert "*digits-acc-against-beta: unknown column 'beta'" in text


def test_an_archive_reads_as_the_runs_do(written):
    results, output = written
    direct, (kept, matrix) = load(results), load_archives([output / ARCHIVE])
    columns = [name for name in direct if name not in ("folder", "reason")]
    assert kept[columns].equals(direct[columns])
    assert set(kept["folder"]) == {Path(folder).name for folder in direct["folder"]}
    assert set(matrix["folder"]) == set(kept["folder"])
    assert kept["buffer_size"].dropna().unique().tolist() == [100, 0]


def test_an_archive_has_names_in_place_of_the_users_paths(tmp_path):
    stream = {"data": "/home/me/glyphs.npz"}
    config = write_run(tmp_path / "runs", "naive", benchmark="split-npz", stream=stream)
    pack([Planned("own", config)], tmp_path / "runs", tmp_path / ARCHIVE, "", {"glyphs": "/home/me/glyphs.npz"})
    text = (tmp_path / ARCHIVE).read_text()
    assert "/home/me" not in text
    assert json.loads(text.splitlines()[1])["config"]["benchmark_options"]["data"] == "{glyphs}"


@pytest.mark.parametrize("content", ["", "{}\n", '{"command": ""}\n', '{"command": ""}\n[]\n', "nonsense"])
def test_a_damaged_archive_is_said_in_a_sentence(content, tmp_path):
    (tmp_path / ARCHIVE).write_text(content)
    with pytest.raises(UserError, match="damaged; run the study again"):
        write_page(study(), tmp_path, "")


def test_the_leaderboard_ranks_by_accuracy_and_marks_bounds(written, tmp_path):
    _, output = written
    write_leaderboard(tmp_path, tmp_path / "leaderboard.md")
    rows = re.findall(r"^\| (\*?[a-z].*?) \| (\S+)", (tmp_path / "leaderboard.md").read_text(), re.M)
    assert rows == [
        ("latent-replay k=2, buffer_size=100", "80.5"),
        ("*naive k=2*", "70.0"),
        ("latent-replay k=2, buffer_size=0", "60.5"),
    ]
    assert f"[{output.name}]({output.name}/)" in (tmp_path / "leaderboard.md").read_text()


def test_a_run_that_two_studies_share_is_counted_once(written, tmp_path):
    _, output = written
    again = tmp_path / "again" / ARCHIVE
    again.parent.mkdir()
    again.write_bytes((output / ARCHIVE).read_bytes())
    write_leaderboard(tmp_path, tmp_path / "leaderboard.md")
    text = (tmp_path / "leaderboard.md").read_text()
    assert "[again](again/), [page](page/)" in text
    assert re.search(r"buffer_size=100 \|.*\| 2 \| eager \|", text)


def test_a_leaderboard_of_nothing_says_so(tmp_path):
    with pytest.raises(UserError, match=f"no {ARCHIVE} in this folder"):
        write_leaderboard(tmp_path, tmp_path / "leaderboard.md")


def test_the_published_leaderboard_is_what_the_published_results_make(tmp_path):
    published = ROOT / "results"
    if not list(published.glob(f"*/{ARCHIVE}")):
        assert not (published / "leaderboard.md").exists()
        return
    write_leaderboard(published, tmp_path / "leaderboard.md")
    assert (tmp_path / "leaderboard.md").read_text() == (published / "leaderboard.md").read_text()


def test_rows_that_differ_in_a_number_are_listed_by_its_size(tmp_path):
    for size in (1000, 20, 0, 300):
        write_run(tmp_path, "latent-replay", options={"freeze_depth": 2, "buffer_size": size})
    listed = [text.partition("=")[2] for text in summarise(load(tmp_path))["variant"]]
    assert listed == ["0", "20", "300", "1000"]
