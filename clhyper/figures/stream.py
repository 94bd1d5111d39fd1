"""Accuracy while the stream is being learned."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from clhyper.errors import require
from clhyper.figures.style import (
    Series,
    Styles,
    add_caption,
    add_legend,
    caption,
    completed,
    new_figure,
    series_of,
    styled,
)
from clhyper.figures.summary import identified, mean_and_interval, measure_in
from clhyper.runs.results import REPETITION

LEVEL: dict[str, Any] = {"linestyle": (0, (6, 3)), "linewidth": 1}


def accuracy_so_far(runs: pd.DataFrame, matrix: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy over the experiences seen so far, over seeds, in the stream's measure.

    Columns: `configuration` as in `identified(runs)`, `after` (0-based), `mean`, `interval` (95 % half-width, NaN for
    one seed). A run that trained once, on the whole stream, has one row; it has seen every experience.
    """
    known = identified(runs)
    known = known.loc[known["status"] == "complete", ["folder", *REPETITION, "configuration"]]
    cells = matrix.merge(known, on="folder")
    steps = cells.groupby("folder")["after"].transform("nunique")
    cells = cells[(cells["on"] <= cells["after"]) | (steps == 1)]
    by_seed = cells.groupby(["configuration", "after", *REPETITION])["accuracy"].mean()
    rows = [
        (configuration, after, *mean_and_interval(values))
        for (configuration, after), values in by_seed.groupby(level=[0, 1])
    ]
    return pd.DataFrame(rows, columns=["configuration", "after", "mean", "interval"])


@styled
def accuracy_over_stream(runs: pd.DataFrame, matrix: pd.DataFrame, styles: Styles | None = None) -> Figure:
    """Mean accuracy in percent, or bits, over the experiences seen so far, one panel a freeze depth.

    Strategies without a depth are drawn in every panel, and what learns the whole stream at once as a level line.

    Raises:
        UserError: nothing complete to draw, or no complete run has an accuracy matrix.
    """
    runs = runs[runs["status"] == "complete"]
    summary = completed(runs)
    course = accuracy_so_far(runs, matrix)
    require(len(course) > 0, "no complete run has an accuracy matrix to draw")
    drawn = series_of(summary, styles)
    measure = measure_in(runs)
    words = measure.words
    depths: list[int | None] = sorted(summary["freeze_depth"].dropna().astype(int).unique()) or [None]
    columns = min(len(depths), 3)
    lines = -(-len(depths) // columns)
    figure = new_figure(
        3.1 * columns + 3 * (columns < 3), 2.7 * lines + 1.2, f"{words.capitalize()} on the experiences seen so far"
    )
    once = set(course["configuration"][~course["configuration"].duplicated(keep=False)])
    level = ["Level line: learned all at once."] if once else []
    add_caption(figure, caption(summary, "bands"), *level)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, depth in zip(grid, depths, strict=False):
        for one in drawn:
            at_depth = one.rows[(one.rows["freeze_depth"] == depth).fillna(False) | one.rows["freeze_depth"].isna()]
            for _, row in at_depth.iterrows():
                _curve(axes, one, course[course["configuration"] == row["configuration"]], measure.factor)
        axes.set_title("" if depth is None else f"freeze depth k={depth}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.xaxis.set_tick_params(labelbottom=True)
    # A small sample's interval may reach beyond what an accuracy can be.
    grid[0].set_ylim(max(grid[0].get_ylim()[0], 0), min(grid[0].get_ylim()[1], 1.02 * measure.factor * measure.most))
    for axes in grid[len(depths) :]:
        axes.remove()
    for axes in grid[: len(depths)]:
        axes.set_xlabel("experiences learned")
        if axes.get_subplotspec().is_first_col():
            axes.set_ylabel(f"mean {words} ({measure.unit})")
    handles = [_handle(one, set(one.rows["configuration"]) <= once) for one in drawn]
    add_legend(figure, handles)
    return figure


def _curve(axes: Axes, one: Series, course: pd.DataFrame, factor: float) -> None:
    style = one.style
    middle, interval = factor * course["mean"].to_numpy(), factor * np.nan_to_num(course["interval"].to_numpy())
    if len(course) == 1:
        axes.axhline(middle[0], color=style.colour, **LEVEL)
        axes.axhspan(middle[0] - interval[0], middle[0] + interval[0], color=style.colour, alpha=0.1, linewidth=0)
        return
    x = course["after"].to_numpy() + 1
    line: dict[str, Any] = {"color": style.colour, "linestyle": style.dash, "marker": style.marker, "markersize": 4.5}
    axes.plot(x, middle, **line, markevery=-(-len(x) // 10), zorder=3)
    axes.fill_between(x, middle - interval, middle + interval, color=style.colour, alpha=0.15, linewidth=0)


def _handle(one: Series, level: bool) -> Line2D:
    style = one.style
    if level:
        return Line2D([], [], color=style.colour, label=one.legend, **LEVEL)
    return Line2D([], [], color=style.colour, linestyle=style.dash, marker=style.marker, label=one.legend)
