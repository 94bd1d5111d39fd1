"""Accuracy matrices as heat maps, one panel a configuration."""

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from clhyper.errors import require
from clhyper.figures.style import (
    CAPTION_COLOUR,
    Styles,
    add_caption,
    caption,
    completed,
    new_figure,
    series_of,
    styled,
    styles_of,
)
from clhyper.figures.summary import choice_label, identified, measure_in
from clhyper.measures import ACCURACY, Measure

COLOURS = "cividis"  # even in lightness, for grey print and every kind of colour vision
PANELS = 12
ACROSS = 6
NUMBERED_TO = 10
"""Cells of streams up to this long carry their number."""


@dataclass(frozen=True)
class Panel:
    """One configuration's mean accuracies in percent, or bits, NaN where there are none: (after, on)."""

    title: str
    values: np.ndarray
    after: list[int]


def mean_matrices(runs: pd.DataFrame, matrix: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Per `configuration` of `identified(runs)`, mean accuracy over complete runs: rows `after`, columns `on`."""
    known = identified(runs)
    known = known.loc[known["status"] == "complete", ["folder", "configuration"]]
    means = matrix.merge(known, on="folder").groupby(["configuration", "after", "on"])["accuracy"].mean()
    return {int(key): part.droplevel(0).unstack("on") for key, part in means.groupby(level=0)}


@styled
def accuracy_matrices(runs: pd.DataFrame, matrix: pd.DataFrame, styles: Styles | None = None) -> list[Figure]:
    """Heat maps of R[after, on] in percent, or bits, on one colour scale, a family a row, at most 12 panels a figure.

    Raises:
        UserError: nothing complete to draw, or no complete run has an accuracy matrix.
    """
    runs = runs[runs["status"] == "complete"]
    summary = completed(runs)
    measure = measure_in(runs)
    rows = list(_rows(runs, matrix, styles))
    require(len(rows) > 0, "no complete run has an accuracy matrix to draw")
    pages: list[list[list[Panel]]] = [[]]
    for row in rows:
        if pages[-1] and sum(map(len, pages[-1])) + len(row) > PANELS:
            pages.append([])
        pages[-1].append(row)
    figures = []
    for number, page in enumerate(pages, start=1):
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        title = f"{measure.words.capitalize()} on each experience after learning each{part}"
        figures.append(_page(page, title, caption(summary, ""), measure))
    return figures


def _rows(runs: pd.DataFrame, matrix: pd.DataFrame, styles: Styles | None) -> Iterator[list[Panel]]:
    """Rows of panels: a series with several depths on its own, the others together at the end."""
    summary = completed(runs)
    means = mean_matrices(runs, matrix)
    styles = styles or styles_of(summary)
    width = int(max((mean.columns.max() + 1 for mean in means.values()), default=1))
    single: list[Panel] = []
    for one in series_of(summary, styles):
        panels = []
        for _, row in one.rows.iterrows():
            if row["configuration"] in means:
                depth = "" if pd.isna(row["freeze_depth"]) else f" k={row['freeze_depth']}"
                title = f"{row['strategy']}{depth}{choice_label(row, styles.choices[row['family']])}"
                panels.append(_panel(title, means[row["configuration"]], width, measure_in(runs).factor))
        if len(panels) < 2:
            single += panels
        else:
            yield from (panels[start : start + ACROSS] for start in range(0, len(panels), ACROSS))
    yield from (single[start : start + ACROSS] for start in range(0, len(single), ACROSS))


def _panel(title: str, mean: pd.DataFrame, width: int, factor: float) -> Panel:
    # A strategy that trains once, on everything, has one row, whatever it is numbered.
    after = [int(mean.index[0])] if len(mean) == 1 else list(range(width))
    return Panel(title, factor * mean.reindex(index=after, columns=range(width)).to_numpy(dtype=float), after)


def _page(page: list[list[Panel]], title: str, text: str, measure: Measure) -> Figure:
    columns = max(max(map(len, page)), 3)
    side = 1.9
    heights = [max(0.3, *(len(panel.after) / panel.values.shape[1] for panel in panels)) for panels in page]
    figure = new_figure(side * columns + 1.3, side * sum(heights) + 0.45 * len(page) + 0.9, title)
    notes = [text]
    if any(np.isnan(panel.values).any() for panels in page for panel in panels):
        notes.append("Hatched: not evaluated, as where an experience has no parameters yet.")
    add_caption(figure, *notes)
    grid = figure.subplots(len(page), columns, squeeze=False, height_ratios=heights)
    colours = _colours(page, measure)
    for axes_row, panels in zip(grid, page, strict=True):
        for axes in axes_row[len(panels) :]:
            axes.remove()
        for place, (axes, panel) in enumerate(zip(axes_row, panels, strict=False)):
            _heat_map(axes, panel, colours, measure, place == 0)
    figure.colorbar(colours, ax=figure.axes, label=f"{measure.words} ({measure.unit})", aspect=30, shrink=0.9, pad=0.01)
    return figure


def _colours(page: list[list[Panel]], measure: Measure) -> ScalarMappable:
    """Light is good: of accuracies from 0 to 100 %, of other measures over what there is."""
    if measure is ACCURACY:
        return ScalarMappable(Normalize(0, 100), COLOURS)
    every = np.concatenate([panel.values.ravel() for panels in page for panel in panels])
    return ScalarMappable(Normalize(np.nanmin(every), np.nanmax(every)), f"{COLOURS}_r")


def _heat_map(axes: Axes, panel: Panel, colours: ScalarMappable, measure: Measure, first: bool) -> None:
    values, length = panel.values, panel.values.shape[1]
    norm: Any = colours.norm
    axes.set_facecolor("#ececec")
    axes.patch.set(hatch="////", edgecolor="#bdbdbd")
    axes.grid(False)
    axes.imshow(np.ma.masked_invalid(values), cmap=colours.get_cmap(), norm=norm)
    every = 1 if length <= NUMBERED_TO else int(np.ceil(length / 5))
    axes.set_xticks(range(0, length, every), [str(on + 1) for on in range(0, length, every)])
    if len(panel.after) == 1:
        axes.set_yticks([0], ["after all"])
    else:
        axes.set_yticks(range(0, length, every), [str(after + 1) for after in range(0, length, every)])
    axes.tick_params(length=0, labelsize=7.5)
    axes.set_xlabel("on experience", fontsize=8)
    if first and len(panel.after) > 1:
        axes.set_ylabel("after experience", fontsize=8)
    axes.set_title(fill(panel.title, 26), fontsize=8)
    axes.spines[:].set(visible=True, color=CAPTION_COLOUR, linewidth=0.5)
    if length <= NUMBERED_TO:
        size = 7.5 if length <= 6 else 5.5
        for (after, on), value in np.ndenumerate(values):
            if np.isfinite(value):
                share = float(norm(value))
                ink = "white" if (1 - share if measure.less_is_better else share) < 0.55 else "black"
                axes.text(
                    on,
                    after,
                    f"{value:.{0 if measure is ACCURACY else 2}f}",
                    ha="center",
                    va="center",
                    fontsize=size,
                    color=ink,
                )
