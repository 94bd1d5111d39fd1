"""Tables and figures of a stream that is measured in bits."""

import math
from pathlib import Path

import pandas as pd
import pytest
from frames import frame, run

from clhyper.figures.compare import sentence
from clhyper.figures.matrices import accuracy_matrices
from clhyper.figures.plots import plot_all
from clhyper.figures.report.measures import measures
from clhyper.figures.stream import accuracy_over_stream
from clhyper.figures.summary import settings, summarise
from clhyper.figures.table import columns_of, to_csv
from clhyper.runs.compare import compare
from clhyper.runs.pareto import pareto
from clhyper.runs.results import TRAINING

NOT_MEASURED = dict.fromkeys(("acc", "forgetting", "bwt", "fwt", "learning_accuracy", "freeze_depth"), math.nan)


def in_bits(strategy, seed, final, forgotten, macs=2e12):
    rows = {"bits": final, "bits_forgetting": forgotten, "bits_bwt": -forgotten, "bits_fwt": math.nan}
    return run(
        strategy, None, seed, **NOT_MEASURED | rows | {"learning_bits": final - forgotten}, train_macs=macs,
        benchmark="brown-characters",
    )  # fmt: skip


@pytest.fixture
def runs():
    runs = frame(
        *(in_bits("hyper-lstm", seed, 2.1 + 0.01 * seed, 0.05, 3e12) for seed in (0, 1)),
        *(in_bits("lstm", seed, 2.3 + 0.02 * seed, 0.25) for seed in (0, 1)),
    )
    return runs.assign(machine="x86_64", data="d1", threads=1, runs_at_once=1, **dict.fromkeys(TRAINING, 1))


@pytest.fixture
def matrix(runs):
    cells = []
    for _, row in runs.iterrows():
        for after in range(3):
            for on in range(after + 1):
                bits = row["bits"] + row["bits_forgetting"] * (after - on)
                cells.append({"folder": row["folder"], "after": after, "on": on, "measure": "bits", "accuracy": bits})
    return pd.DataFrame(cells)


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_the_table_has_bits_in_place_of_accuracies(runs, tmp_path):
    (setting,) = settings(summarise(runs))
    columns = {column.header: column.cells for column in columns_of(setting)[0]}
    assert columns["bits"][0] == "2.105 ± 0.064"
    assert columns["forgetting bits"] == ["0.050 ± 0.000", "0.250 ± 0.000"]
    assert columns["BWT bits"][1].startswith("-0.250")
    assert not any("%" in header for header in columns)
    to_csv(summarise(runs), tmp_path / "table.csv")
    assert pd.read_csv(tmp_path / "table.csv")["bits [bits]"].tolist() == pytest.approx([2.105, 2.31])


def test_figures_are_named_after_bits_and_say_so_on_their_axes(runs, matrix, tmp_path: Path):
    names = {file.stem for file in plot_all(runs, matrix, tmp_path)}
    assert names == {"forgetting-against-train-macs", "bits-against-train-macs", "bits-matrix", "bits-over-stream"}
    course = accuracy_over_stream(runs, matrix)
    assert "mean bits per character (bits)" in texts(course)
    top = course.axes[0].get_ylim()[1]
    assert 2.3 < top < 3


def test_the_heat_map_of_bits_has_light_where_there_are_few(runs, matrix):
    (page,) = accuracy_matrices(runs, matrix)
    image = page.axes[0].images[0]
    few, many = (sum(image.cmap(image.norm(value))[:3]) for value in (2.1, 2.8))
    assert few > many
    assert "2.10" in texts(page) or "2.11" in texts(page)


def test_a_comparison_in_bits_says_which_takes_more(runs):
    said = sentence(compare(runs, "lstm", "hyper-lstm", "bits"))
    assert said.startswith("lstm takes 0.205 bits per character more than hyper-lstm")


def test_the_front_in_bits_has_those_that_take_fewest_for_their_cost(runs):
    front = pareto(runs, "bits", "train_macs").set_index("strategy")["on_front"]
    assert front.to_dict() == {"hyper-lstm": True, "lstm": True}
    dearer = runs.assign(bits=runs["bits"].where(runs["strategy"] != "hyper-lstm", 2.5))
    front = pareto(dearer, "bits", "train_macs").set_index("strategy")["on_front"]
    assert front.to_dict() == {"hyper-lstm": False, "lstm": True}


def test_the_report_page_knows_bits_with_their_direction(runs):
    known = {one["name"]: one for one in measures(summarise(runs))}
    assert known["bits"]["kind"] == "bits"
    assert [known[name]["better"] for name in ("bits", "bits_forgetting", "bits_bwt")] == ["lower", "lower", "higher"]
    assert "acc" not in known
