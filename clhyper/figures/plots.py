"""All figures of a study, written to a folder."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from clhyper.errors import require
from clhyper.figures.against_cost import accuracy_against_cost, check_cost, forgetting_against_cost, pareto
from clhyper.figures.against_depth import accuracy_and_forgetting_against_depth
from clhyper.figures.matrices import accuracy_matrices
from clhyper.figures.stream import accuracy_over_stream
from clhyper.figures.style import Styles, save, styles_of
from clhyper.figures.summary import Setting, measure_in, settings, summarise

__all__ = [
    "accuracy_against_cost",
    "accuracy_and_forgetting_against_depth",
    "accuracy_matrices",
    "accuracy_over_stream",
    "forgetting_against_cost",
    "pareto",
    "plot_all",
]


def plot_all(runs: pd.DataFrame, matrix: pd.DataFrame, folder: Path, cost: str = "train_macs") -> list[Path]:
    """Writes every figure that the runs have numbers for, as PNG and SVG, and returns the files.

    Files: `forgetting-against-<cost>`, `accuracy-against-<cost>`, `accuracy-and-forgetting-against-depth`,
    `accuracy-matrix` (`-1`, `-2`, … where one page isn't enough), `accuracy-over-stream`; one set for each benchmark,
    its name in front, if there are several (likewise for backbones, stream lengths, validation and test images).
    A series looks the same in all of them. Of a stream that is measured in bits, names have `bits` in place of
    `accuracy`.

    Raises:
        UserError: no run is complete, `cost` isn't one of `COSTS` or was never measured, or it is a time and the
            runs of a benchmark were timed on different devices or engines. Nothing is written then.
    """
    complete = runs[runs["status"] == "complete"]
    require(len(complete) > 0, "no complete run to draw: finish at least one run first")
    summary = summarise(complete)
    sets = list(settings(complete))
    for one in settings(summary):
        check_cost(cost, one.rows)
    styles = styles_of(summary)
    return [file for one in sets for file in _draw_set(one, matrix, Path(folder), cost, styles)]


def _draw_set(one: Setting, matrix: pd.DataFrame, folder: Path, cost: str, styles: Styles) -> list[Path]:
    runs = one.rows
    named: dict[str, Figure] = {}
    costly = runs[runs[cost].notna()]
    axis = cost.replace("_", "-")
    measure = measure_in(runs)
    final, forgetting = measure.metrics[:2]
    if costly[forgetting].notna().any():
        named[f"forgetting-against-{axis}"] = forgetting_against_cost(runs, cost, styles)
    if costly[final].notna().any():
        named[f"{measure.name}-against-{axis}"] = accuracy_against_cost(runs, cost, styles)
    if runs["freeze_depth"].notna().any():
        named[f"{measure.name}-and-forgetting-against-depth"] = accuracy_and_forgetting_against_depth(runs, styles)
    if matrix["folder"].isin(runs["folder"]).any():
        pages = accuracy_matrices(runs, matrix, styles)
        for number, page in enumerate(pages, start=1):
            named[f"{measure.name}-matrix" + (f"-{number}" if len(pages) > 1 else "")] = page
        named[f"{measure.name}-over-stream"] = accuracy_over_stream(runs, matrix, styles)
    return [file for name, figure in named.items() for file in save(figure, folder / (one.prefix + name))]
