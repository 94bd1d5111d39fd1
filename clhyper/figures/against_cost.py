"""Forgetting and accuracy against what they cost, with the Pareto front."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clhyper.errors import UserError, require, unknown
from clhyper.figures.placement import place_labels
from clhyper.figures.scales import SPLIT_NOTE, cost_axis, forgetting_axis, measure_axis
from clhyper.figures.style import (
    Series,
    Styles,
    add_caption,
    add_legend,
    axis_label,
    caption,
    completed,
    new_figure,
    percent,
    series_of,
    styled,
    styles_of,
)
from clhyper.figures.summary import configuration_keys, measure_in, sharing_of, with_depth_zero
from clhyper.figures.units import COSTS, axis_scale, in_words
from clhyper.measures import LESS_IS_BETTER, MEASURES, measure_of
from clhyper.runs.pareto import non_dominated

FRONT_COLOUR = "#b8a33a"
_TITLES = {"acc": "Accuracy after the whole stream", "bits": "Bits per character after the whole stream"}
FORGETTING = tuple(one.metrics[1] for one in MEASURES.values())


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other beats, both coordinates to be small, sorted by the first coordinate.

    A point is beaten by one that is nowhere larger and somewhere smaller; equal points are kept together. Points with
    a NaN coordinate neither beat nor stay.
    """
    x, y = np.array(points, dtype=float).reshape(-1, 2).T
    stays = non_dominated(x[None], y[None])[0]
    return sorted(np.flatnonzero(stays).tolist(), key=lambda index: points[index])


def check_cost(cost: str, summary: pd.DataFrame) -> None:
    """Raises `UserError` for an unknown cost, one never measured, or one measured on several devices or engines."""
    if cost not in COSTS:
        raise unknown("cost", cost, COSTS)
    require(bool(summary[cost].notna().any()), f"cost {cost!r}: no complete run measured it")
    for name in ("device", "engine"):
        kinds = sorted({str(kind) for kind in summary[name]})
        if COSTS[cost].measured and len(kinds) > 1:
            raise UserError(
                f"cost {cost!r}: was measured on different {name}s ({', '.join(kinds)}), which can't be compared: draw"
                f" the runs of one {name}"
            )


@styled
def forgetting_against_cost(runs: pd.DataFrame, cost: str = "train_macs", styles: Styles | None = None) -> Figure:
    """Forgetting in percent, or in bits, against a cost of `COSTS`; the Pareto front has little of both.

    Raises:
        UserError: nothing complete to draw, an unknown or unmeasured cost, or one that can't be compared.
    """
    return _draw(runs, cost, measure_in(runs).metrics[1], styles)


@styled
def accuracy_against_cost(runs: pd.DataFrame, cost: str = "train_macs", styles: Styles | None = None) -> Figure:
    """ACC in percent, or bits, against a cost of `COSTS`; the Pareto front has much accuracy at little cost.

    What has no forgetting (all experiences learned at once) is shown but can't be on the front: no learner of a
    stream can take its place. Raises as `forgetting_against_cost` does.
    """
    return _draw(runs, cost, measure_in(runs).metrics[0], styles)


@styled
def front_against_cost(runs: pd.DataFrame, front: pd.DataFrame, metric: str, cost: str) -> Figure:
    """A metric in percent against a cost of `COSTS`, with the probability that each point is on the Pareto front.

    `front`: what `clhyper.runs.pareto.pareto` says of the runs, which have one setting. Raises as
    `forgetting_against_cost` does.
    """
    return _draw(runs, cost, metric, None, front)


def _draw(
    runs: pd.DataFrame, cost: str, measure: str, styles: Styles | None, front: pd.DataFrame | None = None
) -> Figure:
    runs = runs[runs["status"] == "complete"]
    summary = completed(with_depth_zero(runs) if front is None else runs)
    check_cost(cost, summary)
    styles = styles or styles_of(summary)
    forgetting = measure in FORGETTING
    summary["label"] = _labels(summary, front)
    shown = summary[summary[measure].notna() & summary[cost].notna()]
    require(len(shown) > 0, f"no complete run has both {measure} and {cost}")
    divisor, label = axis_scale(COSTS[cost], shown[cost])
    notes = [caption(shown)]
    for name, why in ((measure, f"no {measure} defined"), (cost, f"{COSTS[cost].label} not measured")):
        if missing := [one.label for one in series_of(summary[summary[name].isna()], styles)]:
            notes.append(f"Not shown, {why}: {', '.join(missing)}.")
    if COSTS[cost].measured:
        notes[0] += f"\nMeasured on {summary['device'].iloc[0]}, engine {summary['engine'].iloc[0]}."
    if remark := sharing_of(cost, shown):
        notes.append(f"{remark} Only {'forgetting' if forgetting else measure_of(measure).words} has bars.")
        shown = shown.assign(**{f"{cost}_interval": math.nan})  # they would span the axis and say little of the runs
    stream = shown[shown[measure_of(measure).metrics[1]].notna()]
    if len(stream) < len(shown):
        notes.append("The front leaves out what has no forgetting: it learns all experiences at once.")
    if front is not None:
        notes.append("In percent beside a point: the probability that it is on the front; none below 1 %.")
    title = f"{_TITLES.get(measure, in_words(measure))} against {COSTS[cost].label}"
    figure = new_figure(8.6, 5.2, title)
    axes = figure.subplots()
    drawn = series_of(shown, styles)
    cost_axis(axes, shown[cost] / divisor)
    axes.set_xlabel(f"{label}  ← less is better")
    spread = percent(shown[measure], measure), percent(shown[f"{measure}_interval"], measure)
    axes.set_ylabel(axis_label(measure, "forgetting" if forgetting else None))
    if measure != "forgetting":
        measure_axis(axes, *spread)
    elif forgetting_axis(axes, *spread):
        notes.append(SPLIT_NOTE)
    add_caption(figure, *notes)
    obstacles: list[tuple[float, float]] = []
    handles: list[Line2D] = []
    if len(stream):
        handles.append(_front(axes, stream[cost] / divisor, percent(stream[measure], measure), measure, obstacles))
    handles = [_points(axes, one, cost, divisor, measure, obstacles) for one in drawn] + handles
    add_legend(figure, handles)
    labels = {  # several lines may begin at one point
        (row[cost] / divisor, measure_of(measure).factor * row[measure], row["label"]): one.style.ink
        for one in drawn
        for _, row in one.rows.iterrows()
        if row["label"]
    }
    place_labels(axes, [(x, y) for x, y, _ in labels], [text for *_, text in labels], list(labels.values()), obstacles)
    return figure


def _labels(summary: pd.DataFrame, front: pd.DataFrame | None) -> list[str]:
    """What stands beside each point: its freeze depth, and how probably it is on the front."""
    chances: dict[tuple[Any, ...], float] = {}
    if front is not None:
        chances = dict(zip(configuration_keys(front), front["probability"], strict=True))
    labels = []
    for key, depth in zip(configuration_keys(summary), summary["freeze_depth"], strict=True):
        chance = chances.get(key, math.nan)
        parts = [f"k={depth}"] if pd.notna(depth) else []
        parts += [f"{100 * chance:.0f} %"] if chance >= 0.01 else []
        labels.append(", ".join(parts))
    return labels


def _points(
    axes: Axes, one: Series, cost: str, divisor: float, measure: str, obstacles: list[tuple[float, float]]
) -> Line2D:
    """Draws a series with its error bars; returns its legend entry and adds what labels should keep clear of."""
    x, y = (one.rows[cost] / divisor).to_numpy(dtype=float), percent(one.rows[measure], measure)
    x_bar = (one.rows[f"{cost}_interval"] / divisor).to_numpy(dtype=float)
    y_bar = percent(one.rows[f"{measure}_interval"], measure)
    style = one.style
    dash = style.dash if one.has_depths else "none"
    line: dict[str, Any] = {"color": style.colour, "linestyle": dash, "linewidth": 1}
    marker: dict[str, Any] = {"marker": style.marker, "markersize": 7, "markeredgecolor": "white"}
    marker["markeredgewidth"] = 0.6
    axes.plot(x, y, **line, zorder=3)
    axes.errorbar(x, y, y_bar, x_bar, fmt="none", ecolor=style.colour, elinewidth=0.9, capsize=2, zorder=3)
    axes.plot(x, y, linestyle="none", color=style.colour, **marker, zorder=4)
    steps = np.linspace(0, 1, 40)
    for start in range(len(x) - 1):
        a, b = axes.transData.transform([(x[start], y[start]), (x[start + 1], y[start + 1])])
        obstacles += _data(axes, a + (b - a) * steps[:, None])
    for index in range(len(x)):
        for dx, dy in ((x_bar[index], 0.0), (0.0, y_bar[index])):
            if np.isfinite(dx + dy) and x[index] > dx:
                ends = [(x[index] - dx, y[index] - dy), (x[index] + dx, y[index] + dy)]
                a, b = axes.transData.transform(ends)
                obstacles += _data(axes, a + (b - a) * steps[::2, None])
    return Line2D([], [], **line, **marker, label=one.legend)


def _data(axes: Axes, pixels: np.ndarray) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in axes.transData.inverted().transform(pixels)]


def _front(axes: Axes, x: pd.Series, y: np.ndarray, measure: str, obstacles: list[tuple[float, float]]) -> Line2D:
    """The best value within each budget, as steps from the cheapest configuration to the right edge."""
    sign = 1 if measure in LESS_IS_BETTER else -1
    points = list(zip(x.astype(float), y, strict=True))
    corners = [points[index] for index in pareto([(cost, sign * value) for cost, value in points])]
    edge = axes.get_xlim()[1]
    path = [corners[0]]
    for (_, before), (cost, value) in pairwise(corners):
        path += [(cost, before), (cost, value)]
    path.append((edge, path[-1][1]))
    line: dict[str, Any] = {"color": FRONT_COLOUR, "linewidth": 5, "alpha": 0.4, "solid_capstyle": "butt"}
    axes.plot(*zip(*path, strict=True), **line, zorder=2)
    for a, b in pairwise(path):
        obstacles += [tuple(np.add(a, np.subtract(b, a) * step)) for step in np.linspace(0, 1, 30)]
    best = f"highest {in_words(measure)}" if sign < 0 else f"least {in_words(measure).lower()}"
    return Line2D([], [], label=f"Pareto front: {best}\nfor the cost", **line)
