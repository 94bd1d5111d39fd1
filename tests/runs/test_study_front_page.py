"""Pages of studies whose runs have fronts of several kinds: no row and no comparison mixes them."""

import json
import shlex

import pytest
from written_runs import write_run

from clhyper.figures.study_page import write_page
from clhyper.runs.archive import ARCHIVE, load_archives, pack
from clhyper.runs.folder import RunFolder
from clhyper.runs.fronts import Front
from clhyper.runs.study import Planned, Study

CONTENTS = ("ab12cd34ef", "56ab78cd90")

FRONT = Front("letters", "split-digits", (5, 6), {}, {}, {})
OTHER = Front("letters", "split-digits", (5, 7), {}, {}, {})


def planned(results, front, strategy, seed=0, **numbers):
    options = {"freeze_depth": 2}
    if front:
        options["front"] = str(front.option)
        numbers["front"] = f"split-digits classes 5-6 ({front.path(results)})"
    config = write_run(results, strategy, seed, options=options, **({"front_digest": "ab12"} | numbers))
    return Planned("digits", config, {}, front)


@pytest.fixture
def page(tmp_path):
    """Packs planned runs and gives the text of their page."""

    def page(show, *runs):
        pack(runs, tmp_path / "runs", tmp_path / "page" / ARCHIVE, "")
        study = Study("small", "Small", "Is it?", {}, 2, {}, {}, {"digits": {}}, [], [show])
        write_page(study, tmp_path / "page", "")
        return (tmp_path / "page" / "README.md").read_text()

    return page


@pytest.mark.parametrize("reference", ["separate@2", "separate@same"])
def test_rows_are_compared_with_the_reference_of_their_own_front(reference, page, tmp_path):
    accuracies = [("separate", None, 0.9), ("naive", None, 0.8), ("separate", FRONT, 0.7), ("naive", FRONT, 0.3)]
    text = page(
        {"kind": "compare", "reference": reference, "measures": ["acc"]},
        *(planned(tmp_path / "runs", front, name, acc=acc) for name, front, acc in accuracies),
    )
    own, pretrained = text.split("test images, front pretrained on letters")
    for part, difference in ((own, "-10.0"), (pretrained, "-40.0")):
        assert part.count("| naive k=2") == 1
        assert f"| naive k=2 | {difference} |" in part
        assert "No comparison" not in part


def test_a_front_without_the_reference_says_so_and_is_compared_with_no_other(page, tmp_path):
    runs = [planned(tmp_path / "runs", front, "naive") for front in (None, FRONT)]
    text = page({"kind": "compare", "reference": "separate@2"}, *runs, planned(tmp_path / "runs", None, "separate"))
    assert text.count("| naive k=2") == 2  # acc and forgetting, of the first front
    assert "No comparison: unknown strategy 'separate'" in text.split("front pretrained on letters")[-1]


def test_a_curve_is_that_of_the_rows_own_front(page, tmp_path):
    results, show = tmp_path / "runs", {"kind": "overtakes", "strategy": "latent-replay", "depth": 2}
    runs = [
        planned(results, front, name, acc=acc, bytes_kept=1000.0)
        for front, name, acc in (
            (None, "latent-replay", 0.9),
            (None, "naive", 0.8),
            (FRONT, "latent-replay", 0.4),
            (FRONT, "naive", 0.8),
        )
    ]
    own, pretrained = page({**show, "cost": "bytes_kept", "measure": "acc"}, *runs).split(
        "front pretrained on letters"
    )[-2:]
    assert "| +10.0 |" in own
    assert "| -40.0 |" in pretrained


def test_rows_say_what_their_front_was_and_an_unfinished_run_keeps_to_its_own(page, tmp_path):
    results = tmp_path / "runs"
    runs = [planned(results, front, "naive", seed, finished=seed < 2) for front in (None, FRONT) for seed in range(3)]
    text = page({"kind": "table"}, *runs)
    rows = [line for line in text.splitlines() if line.startswith("| naive")]
    assert len(rows) == 2
    assert [("| first experience | 2 |" in row, "| pretrained on letters | 2 |" in row) for row in rows] == [
        (True, False),
        (False, True),
    ]
    assert all("interrupted (seed 2)" in row for row in rows)
    assert f"- front pretrained on letters: split-digits classes 5-6 ({FRONT.file}), SHA-256 ab12" in text
    assert "front=" not in text


@pytest.mark.parametrize("name", ["runs", "my runs (old) of classes 1 (new)"])
def test_the_archive_names_the_front_and_no_folder_wherever_results_lay(name, tmp_path):
    results = tmp_path / name
    one = planned(results, FRONT, "naive")
    stopped = planned(results, FRONT, "naive", 1, finished=False)
    RunFolder(results, stopped.config).fail(f"front {FRONT.path(results)}: can't be read")
    results.rename(tmp_path / "moved")
    pack([one, stopped], tmp_path / "moved", tmp_path / ARCHIVE, "")
    text = (tmp_path / ARCHIVE).read_text()
    assert str(tmp_path) not in text
    assert "runs (old)" not in text
    lines = [json.loads(line) for line in text.splitlines()[1:]]
    assert lines[0]["config"]["strategy_options"]["front"] == f"{{results}}/fronts/{FRONT.file}"
    assert lines[0]["result"]["front"] == f"split-digits classes 5-6 ({FRONT.file})"
    assert lines[0]["result"]["front_digest"] == "ab12"
    assert lines[1]["failure"]["reason"] == f"front {FRONT.file}: can't be read"


def test_two_fronts_of_one_name_are_told_apart(tmp_path):
    runs = [planned(tmp_path / "runs", front, "naive") for front in (FRONT, OTHER)]
    pack(runs, tmp_path / "runs", tmp_path / ARCHIVE, "")
    fronts = set(load_archives([tmp_path / ARCHIVE])[0]["front"])
    assert fronts == {f"pretrained on {front.file.removesuffix('.safetensors')}" for front in (FRONT, OTHER)}


def test_fronts_of_one_file_name_and_other_content_share_no_row(page, tmp_path):
    runs = [
        planned(tmp_path / "runs", FRONT, "naive", seed, acc=0.9 - 0.4 * number, front_digest=content)
        for number, content in enumerate(CONTENTS)
        for seed in (2 * number, 2 * number + 1)
    ]
    text = page({"kind": "table"}, *runs)
    rows = sorted(line for line in text.splitlines() if line.startswith("| naive"))
    for row, content, acc in zip(rows, sorted(CONTENTS), (50, 90), strict=True):
        assert f"pretrained on letters (SHA-256 {content[:8]}) | 2 |" in row
        assert f"| {acc}.0 ± 0.0 |" in row
    for content in CONTENTS:
        assert f"- front pretrained on letters (SHA-256 {content[:8]}): split-digits classes 5-6" in text


def test_runs_of_one_stream_on_other_data_share_no_row(page, tmp_path):
    runs = [planned(tmp_path / "runs", None, "naive", seed, data=CONTENTS[seed // 2]) for seed in range(4)]
    text = page({"kind": "table"}, *runs)
    assert len([line for line in text.splitlines() if line.startswith("| naive")]) == 2
    for content in CONTENTS:
        assert f"data={content[:8]}" in text


def own(results, file, seed=0, **numbers):
    """A run with a front of the user's own."""
    options = {"freeze_depth": 2, "front": str(file)}
    return Planned("digits", write_run(results, "naive", seed, options=options, **numbers))


def test_of_the_users_own_front_its_files_name_is_published_and_no_folder(tmp_path):
    results, file, archive = tmp_path / "runs", tmp_path / "my (own) place" / "x.safetensors", tmp_path / ARCHIVE
    runs = [own(results, file, 0, front=f"split-digits classes 5-6 ({file})", front_digest=CONTENTS[0])]
    runs += [own(results, file, 1, front=str(file), front_digest=CONTENTS[0]), own(results, file, 2, finished=False)]
    RunFolder(results, runs[2].config).fail(f"front {file}: can't be read")
    pack(runs, results, archive, shlex.join(["clhyper", "study", "small", "--set", f"front={file}"]))
    write_page(Study("small", "Small", "?", {}, 2, {}, {}, {"digits": {}}, [], [{"kind": "table"}]), tmp_path, "")
    for name in (ARCHIVE, "README.md", "table.csv"):
        assert "place" not in (tmp_path / name).read_text()
    command, *lines = [json.loads(line) for line in archive.read_text().splitlines()]
    assert command == {"command": "clhyper study small --set front=x.safetensors"}
    assert [line["config"]["strategy_options"]["front"] for line in lines] == ["x.safetensors"] * 3
    assert [line["result"]["front"] for line in lines[:2]] == ["split-digits classes 5-6 (x.safetensors)", file.name]
    assert lines[2]["failure"]["reason"] == "front x.safetensors: can't be read"


def test_the_users_own_fronts_of_one_file_name_and_other_content_are_kept_apart(tmp_path):
    results, archive = tmp_path / "runs", tmp_path / ARCHIVE
    for folder, content in zip("ab", CONTENTS, strict=True):
        file = tmp_path / folder / "x.safetensors"
        pack([own(results, file, front=str(file), front_digest=content)], results, archive, "")
    fronts = load_archives([archive])[0]["front"]
    assert sorted(fronts) == sorted(f"x.safetensors (SHA-256 {content[:8]})" for content in CONTENTS)
