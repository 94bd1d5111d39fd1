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
from clhyper.registry import studies
from clhyper.runs.archive import ARCHIVE, load_archives, pack
from clhyper.runs.folder import RunFolder
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


def page_of(runs, show, tmp_path) -> str:
    """The text of a page that shows one thing of runs of a stream called digits."""
    pack([Planned("digits", config) for config in runs], tmp_path / "runs", tmp_path / "page" / ARCHIVE, "")
    write_page(study(show), tmp_path / "page", "")
    return (tmp_path / "page" / "README.md").read_text()


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


def test_a_row_is_compared_with_the_reference_of_its_own_depth(tmp_path):
    runs = [
        write_run(tmp_path / "runs", strategy, seed, options={"freeze_depth": depth}, acc=acc + depth / 10 + seed / 100)
        for strategy, acc in (("latent-replay", 0.3), ("naive", 0.2))
        for depth in (1, 2)
        for seed in (0, 1)
    ]
    runs.append(write_run(tmp_path / "runs", "naive", options={"freeze_depth": 3}))
    text = page_of(runs, {"kind": "compare", "reference": "latent-replay@same", "measures": ["acc"]}, tmp_path)
    assert re.findall(r"^\| (naive k=\d) \| (\S+)", text, re.M) == [("naive k=1", "-10.0"), ("naive k=2", "-10.0")]
    assert "latent-replay k=" not in text
    assert "No comparison: no run of latent-replay@3" in text


def test_sizes_are_counted_against_what_is_generated_for_a_task(tmp_path):
    sizes = {"trainable_parameters": 150e3, "frozen_parameters": 50e3, "bytes_kept": 900e3}
    runs = [
        write_run(tmp_path / "runs", "naive", options={"freeze_depth": 2}, **sizes, generated_parameters=0.0),
        write_run(
            tmp_path / "runs",
            "partial-hypernetwork",
            options={"freeze_depth": 2},
            **sizes,
            generated_parameters=100e3,
            bytes_per_task=4e3,
        ),
    ]
    text = page_of(runs, {"kind": "sizes"}, tmp_path)
    assert "| partial-hypernetwork k=2 | 200 k | 100 k | 2 | 1.00 k | 0.01 | 900 kB |" in text
    assert "| naive k=2 | 200 k | – | – | 250 | – | 900 kB |" in text  # noqa: RUF001


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


@pytest.mark.parametrize(
    ("learned", "said"), [(0, "no experience finished yet"), (1, "after 1 experience"), (83, "after 83 experiences")]
)
def test_a_page_says_how_far_an_interrupted_run_came(learned, said, tmp_path):
    config = write_run(tmp_path / "runs", "naive", finished=False)
    (tmp_path / "runs" / config.name / "matrix.json").write_text(json.dumps([[0.5] * 100] * learned))
    assert f"{config.name}, interrupted ({said})\n" in page_of([config], {"kind": "table"}, tmp_path)


def test_an_archive_has_names_in_place_of_the_users_paths(tmp_path):
    stream = {"sources": ["digits", "fashion=/home/me/digits"]}
    config = write_run(tmp_path / "runs", "naive", benchmark="mixed", stream=stream, finished=False)
    RunFolder(tmp_path / "runs", config).fail("data /home/me/digits: damaged", "File /home/me/clhyper/run.py")
    one = Planned("own", config, {"sources": ["digits", "fashion={digits}"]})
    pack([one], tmp_path / "runs", tmp_path / ARCHIVE, "", {"digits": "/home/me/digits"})
    text = (tmp_path / ARCHIVE).read_text()
    assert "/home/me" not in text
    line = json.loads(text.splitlines()[1])
    assert line["config"]["benchmark_options"]["sources"] == ["digits", "fashion={digits}"]
    assert line["failure"] == {"reason": "data {digits}: damaged"}


def test_a_run_whose_data_lie_elsewhere_is_the_same_run(tmp_path):
    archives = [tmp_path / ARCHIVE, tmp_path / f"again-{ARCHIVE}"]
    for number, path in enumerate(("here.npz", "there.npz")):
        results = tmp_path / f"runs-{number}"
        stream, front = {"data": path}, f"split-npz classes 0-3 ({path})"
        config = write_run(results, "naive", benchmark="split-npz", stream=stream, front=front)
        for file in archives[number:]:
            pack([Planned("own", config, {"data": "{d}"})], results, file, "", {"d": path})
    assert archives[1].read_text().count('"run":') == 1
    runs, _ = load_archives(archives)
    assert runs["front"].tolist() == ["split-npz classes 0-3 ({d})"]
    assert runs["archives"].tolist() == [tuple(archives)]


def test_an_archive_keeps_the_runs_that_are_not_planned_again(written, tmp_path):
    results, output = written
    before = load_archives([output / ARCHIVE])[0]
    other = write_run(results, "joint", stream={"experiences": 2})
    finished = RunFolder(results, write_run(tmp_path / "b", "naive", 1, options={"freeze_depth": 2}))
    finished.path.joinpath("result.json").write_bytes(
        (tmp_path / "b" / finished.path.name / "result.json").read_bytes()
    )
    planned = [Planned("other", other), Planned("digits", finished.config)]
    for _ in range(2):
        pack(planned, results, output / ARCHIVE, "clhyper study small --streams other")
    after = load_archives([output / ARCHIVE])[0]
    assert set(after["folder"]) == {*before["folder"], other.name}
    assert (after["status"] == "complete").all()
    write_page(study(SHOW[0]), output, "")
    text = (output / "README.md").read_text()
    assert "```\nclhyper study small\nclhyper study small --streams other\n```" in text
    assert "7 of 7 runs are complete" in text


def test_figures_that_are_no_longer_made_are_deleted_and_the_users_own_kept(written):
    _, output = written
    (output / "own.png").write_bytes(b"")
    (output / "answer.md").write_text("![Mine](own.png)\n")
    write_page(study(SHOW[1]), output, "clhyper study small")
    assert {file.name for file in output.glob("*.png")} == {"own.png", "digits-acc-against-bytes-kept.png"}
    (output / "answer.md").unlink()
    write_page(study(SHOW[0]), output, "clhyper study small")
    assert {file.name for file in output.glob("*.png")} == {"own.png"}


def test_a_part_that_cannot_be_made_is_said_and_the_rest_is_there(written):
    _, output = written
    broken = {"kind": "curve", "along": "buffer_size", "x": "norm", "measure": "acc"}
    files = write_page(study(broken, SHOW[0]), output, "")
    assert {file.name for file in files} == {"README.md", "table.csv"}
    text = (output / "README.md").read_text()
    assert "## curve: digits\n\n*This part could not be made: ValueError: " in text
    assert "## Accuracy, forgetting and cost: digits" in text


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


def test_a_leaderboard_elsewhere_links_to_the_pages_from_there(written, tmp_path):
    _, output = written
    for page, link in ((tmp_path / "other" / "x.md", "../page/"), (output / "x.md", "./")):
        write_leaderboard(output, page)
        assert f"[page]({link})" in page.read_text()


def test_the_leaderboard_has_a_column_for_each_way_to_infer_the_task(tmp_path):
    ways = {f"class_incremental_accuracy_by_{way}": acc for way, acc in (("entropy", 0.3), ("features", 0.4))}
    page_of([write_run(tmp_path / "runs", "naive", **ways)], SHOW[0], tmp_path)
    write_leaderboard(tmp_path, tmp_path / "leaderboard.md")
    text = (tmp_path / "leaderboard.md").read_text()
    assert "| class-incremental by entropy % | class-incremental by features % |" in text
    assert "| 30.0 | 40.0 |" in text


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
    archives = list(published.glob(f"*/{ARCHIVE}"))
    if not archives:
        assert not (published / "leaderboard.md").exists()
        return
    for file in archives:
        (tmp_path / file.parent.name).mkdir()
        (tmp_path / file.parent.name / ARCHIVE).write_bytes(file.read_bytes())
    write_leaderboard(tmp_path, tmp_path / "leaderboard.md")
    assert (tmp_path / "leaderboard.md").read_text() == (published / "leaderboard.md").read_text()


@pytest.mark.parametrize("name", [*studies(), "leaderboard"])
def test_the_list_of_results_links_to_a_page_if_and_only_if_it_is_published(name):
    page = "leaderboard.md" if name == "leaderboard" else f"{name}/"
    command = "leaderboard results" if name == "leaderboard" else f"study {name}"
    (row,) = [line for line in (ROOT / "results/README.md").read_text().splitlines() if f"`clhyper {command}`" in line]
    file = ROOT / "results" / page
    published = (file / "README.md" if page.endswith("/") else file).exists()
    assert (f"[{page}]({page})" if published else "| not published yet |") in row


def test_every_link_in_the_list_of_results_leads_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "results/README.md").read_text())
    assert len(links) > 2
    assert [link for link in links if not (ROOT / "results" / link).exists()] == []


def test_rows_that_differ_in_a_number_are_listed_by_its_size(tmp_path):
    for size in (1000, 20, 0, 300):
        write_run(tmp_path, "latent-replay", options={"freeze_depth": 2, "buffer_size": size})
    listed = [text.partition("=")[2] for text in summarise(load(tmp_path))["variant"]]
    assert listed == ["0", "20", "300", "1000"]
