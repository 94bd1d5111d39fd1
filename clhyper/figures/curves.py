"""A measure along an option or a cost, and what freezing loses against a property of streams."""

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from clhyper.errors import require, unknown
from clhyper.figures.relations import REPEATED, Correlation, direction
from clhyper.figures.scales import cost_axis, measure_axis
from clhyper.figures.style import (
    COLOURS,
    DASHES,
    GREYS,
    MARKERS,
    add_caption,
    add_legend,
    new_figure,
    norms,
    percent,
    styled,
)
from clhyper.figures.summary import family_order, mean_and_interval, sharing_of, summarise, with_depth_zero
from clhyper.figures.units import COSTS, axis_scale, difference_unit, in_words
from clhyper.measures import measure_of
from clhyper.runs.results import CHOICES, SETTING, without_option

__all__ = ["curve", "loss_against"]


@styled
def curve(runs: pd.DataFrame, along: str, measure: str, x: str | None = None) -> Figure:
    """A measure in percent over the values of `along`, one line for what differs in nothing else.

    `along`: a column of the runs or an option. `x`: what is on the horizontal axis, `along` or a cost of these runs.
    What has no `along` is a level line, or over a cost a single point.

    Raises:
        UserError: an unknown column, or no complete run that has the measure.
    """
    x = x or along
    for name in (along, measure, x):
        if name not in runs:
            raise unknown("column", name, map(str, runs.columns))
    runs = runs[(runs["status"] == "complete") & runs[measure].notna()]
    require(bool(runs[along].notna().any()), f"no complete run has both {measure} and {along}")
    lines = _lines(runs, along, measure, x)
    horizontal = [value for line in lines for value in line["x"] if not math.isnan(value)]
    divisor, label = axis_scale(COSTS[x], horizontal) if x in COSTS else (1.0, _words(x))
    figure = new_figure(8.6, 4.8, f"{_title(measure)} against {COSTS[x].label if x in COSTS else _words(x)}")
    axes = figure.subplots()
    for index, line in enumerate(lines):
        family = line["family"].iloc[0]
        look: dict[str, Any] = {
            "color": GREYS.get(family, COLOURS[index % len(COLOURS)]),
            "marker": MARKERS[index % len(MARKERS)],
            "linestyle": DASHES[index % len(DASHES)],
            "label": line.attrs["label"],
        }
        y, spread = percent(line["y"], measure), percent(line["interval"], measure)
        if line["x"].isna().all():
            axes.axhline(y[0], **{**look, "marker": ""}, linewidth=1)
        else:
            axes.errorbar(line["x"] / divisor, y, spread, **look, markeredgecolor="white", capsize=2, elinewidth=0.9)
    cost_axis(axes, np.asarray(horizontal) / divisor)
    if x == "freeze_depth":
        axes.set_xticks(sorted(set(horizontal)))
    elif x not in COSTS and isinstance(ticks := axes.xaxis.get_major_locator(), MaxNLocator):
        ticks.set_params(integer=all(float(value).is_integer() for value in horizontal))
    axes.set_xlabel(label)
    axes.set_ylabel(f"{_title(measure)} ({measure_of(measure).unit})")
    every = pd.concat(lines)
    measure_axis(axes, percent(every["y"], measure), percent(every["interval"], measure))
    add_legend(figure, axes.get_legend_handles_labels()[0])
    notes = [norms(runs).strip(), sharing_of(x, summarise(runs)) or ""]
    _note_repetitions(figure, every["repetitions"], "\n".join(note for note in notes if note))
    return figure


def _lines(runs: pd.DataFrame, along: str, measure: str, x: str) -> list[pd.DataFrame]:
    """For each line its points, sorted: x, y, interval, repetitions, family; `attrs["label"]` says what it is."""
    runs = runs.assign(**{name: without_option(runs[name], along) for name in ("variant", "stream")})
    if along == "freeze_depth":
        runs = with_depth_zero(runs)
    identity = [name for name in (*SETTING, "family", "freeze_depth", *CHOICES) if name != along]
    within = runs.groupby("family")
    differing = [name for name in identity if name != "family" and within[name].nunique(dropna=False).max() > 1]
    groups = [rows for _, rows in runs.groupby(identity, dropna=False)]
    rank = {family: number for number, family in enumerate(family_order(runs["family"]))}
    found = []
    for rows in sorted(groups, key=lambda rows: rank[rows["family"].iloc[0]]):
        points = []
        for _, one in rows.groupby(along, dropna=False):
            mean, interval = mean_and_interval(one.groupby(list(REPEATED), dropna=False)[measure].mean())
            place = pd.to_numeric(one[x]).mean()
            points.append({"x": float("nan") if pd.isna(place) else float(place), "y": mean, "interval": interval})
            points[-1] |= {"repetitions": one.groupby(list(REPEATED), dropna=False).ngroups}
        line = pd.DataFrame(points).assign(family=rows["family"].iloc[0]).sort_values("x")
        line.attrs["label"] = _label(rows.iloc[0], differing)
        found.append(line)
    return found


def _label(row: pd.Series, differing: Sequence[str]) -> str:
    words = []
    for name in differing:
        if pd.isna(row[name]) or row[name] == "":
            continue
        value = str(row[name])
        words.append(f"k={value}" if name == "freeze_depth" else value if "=" in value else f"{_words(name)} {value}")
    return fill(f"{row['family']}{' ' if words else ''}{', '.join(words)}", 30)


@styled
def loss_against(found: Sequence[Correlation], x: str, measure: str, depth: int) -> Figure:
    """What freezing more than `depth` stages loses in each stream, over the stream's `x`; a panel a configuration.

    Colours are depths, markers and dashes data sets; a line is fitted to each data set and depth of 3 points or more.
    """
    labels = list(dict.fromkeys(one.label for one in found))
    figure = new_figure(4.6 * len(labels) + 1.2, 4.2, f"What freezing loses against {_words(x)}")
    panels: list[Axes] = list(figure.subplots(1, len(labels), sharey=True, squeeze=False)[0])
    colours = {k: COLOURS[place % len(COLOURS)] for place, k in enumerate(sorted({one.depth for one in found}))}
    every = pd.concat([one.points for one in found])
    looks = {
        source: (MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)])
        for place, source in enumerate(sorted(every["source"].unique()))
    }
    for axes, name in zip(panels, labels, strict=True):
        axes.set_title(fill(name, 40))
        axes.axhline(0, color="#8c8c8c", linewidth=0.8)
        axes.set_xlabel(_words(x))
        for one in [one for one in found if one.label == name]:
            for source, points in one.points.groupby("source"):
                _losses(axes, points, measure, colours[one.depth], *looks[source])
    first, second = (f"k={depth}", "k")[:: direction(measure)]
    panels[0].set_ylabel(f"{_title(measure)} at {first} minus at {second} ({difference_unit(measure)})")
    handles = [Line2D([], [], color=colour, linewidth=3, label=f"k={k}") for k, colour in colours.items()]
    handles += [
        Line2D([], [], color="#595959", marker=marker, linestyle=dash, markeredgecolor="white", label=source)
        for source, (marker, dash) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside right center")
    note = "Lines: least squares, of each data set and depth with 3 points or more."
    _note_repetitions(figure, every["seeds"], note)
    return figure


def _losses(axes: Axes, points: pd.DataFrame, measure: str, colour: str, marker: str, dash: Any) -> None:
    """The losses of one depth on one data set's streams, with their intervals, and the line through them."""
    across, lost = points["x"].to_numpy(dtype=float), percent(points["lost"], measure)
    bars: dict[str, Any] = {"linestyle": "none", "capsize": 2, "elinewidth": 0.9}
    axes.errorbar(
        across, lost, percent(points["interval"], measure), **bars, marker=marker, color=colour, markeredgecolor="white"
    )
    if len(across) >= 3 and np.ptp(across) > 0:
        ends = np.array([across.min(), across.max()])
        axes.plot(ends, np.polyval(np.polyfit(across, lost, 1), ends), color=colour, linestyle=dash)


def _note_repetitions(figure: Figure, counts: pd.Series, note: str = "") -> None:
    fewest, most = counts.min(), counts.max()
    seeds = f"{f'{fewest} to ' if fewest < most else ''}{most}"
    bars = "bars: 95 % confidence interval (Student t)" if most > 1 else "so no interval"
    add_caption(figure, f"Mean over {seeds} repetition{'s' if most > 1 else ''}; {bars}. {note}".strip())


def _words(name: str) -> str:
    return {"freeze_depth": "freeze depth k: first k stages frozen"}.get(name, name.replace("_", " "))


def _title(measure: str) -> str:
    return in_words(measure)
