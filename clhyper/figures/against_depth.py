"""Accuracy and forgetting against the freeze depth."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clhyper.errors import require
from clhyper.figures.placement import spread_out
from clhyper.figures.scales import SPLIT_NOTE, forgetting_axis, measure_axis
from clhyper.figures.style import (
    Series,
    Styles,
    add_caption,
    axis_label,
    caption,
    completed,
    new_figure,
    percent,
    series_of,
    styled,
)
from clhyper.figures.summary import measure_in, with_depth_zero
from clhyper.figures.units import human_metric
from clhyper.measures import measure_of

DODGE = 0.05
"""How far neighbouring series stand apart at one depth, so that their error bars don't hide each other."""


@styled
def accuracy_and_forgetting_against_depth(runs: pd.DataFrame, styles: Styles | None = None) -> Figure:
    """Two panels over the freeze depth; strategies without one are level lines, named at the right.

    Raises:
        UserError: nothing complete to draw, or no complete run has a freeze depth.
    """
    summary = completed(with_depth_zero(runs[runs["status"] == "complete"]))
    require(bool(summary["freeze_depth"].notna().any()), "no complete run has a freeze depth to draw against")
    drawn = series_of(summary, styles)
    figure = new_figure(10.6, 4.4, "Accuracy and forgetting against the freeze depth")
    panels = figure.subplots(1, 2, sharex=True)
    final, forgetting = measure_in(summary).metrics[:2]
    for axes, measure in zip(panels, (final, forgetting), strict=True):
        axes.set_xlabel("freeze depth k: first k stages frozen")
        _panel(axes, drawn, measure)
    notes = [caption(summary)]
    panels[0].set_ylabel(axis_label(final))
    measure_axis(panels[0], percent(summary[final], final), percent(summary[f"{final}_interval"], final))
    panels[1].set_ylabel(axis_label(forgetting, "forgetting"))
    spread = percent(summary[forgetting], forgetting), percent(summary[f"{forgetting}_interval"], forgetting)
    if not np.isnan(spread[0]).all() and forgetting_axis(panels[1], *spread):
        notes.append(SPLIT_NOTE)
    add_caption(figure, *notes)
    depths = summary["freeze_depth"].dropna().astype(int)
    panels[0].set_xticks(range(depths.min(), depths.max() + 1))
    panels[0].set_xlim(depths.min() - 0.35, depths.max() + 0.35)
    handles = [_handle(one) for one in drawn if one.has_depths]
    figure.legend(handles=handles, loc="outside right center", labelspacing=0.9)
    figure.draw_without_rendering()
    for axes, measure in zip(panels, (final, forgetting), strict=True):
        _name_levels(axes, [one for one in drawn if not one.has_depths], measure)
    return figure


def _panel(axes: Axes, drawn: list[Series], measure: str) -> None:
    deep = [one for one in drawn if one.has_depths]
    for place, one in enumerate(deep):
        rows = one.rows[one.rows[measure].notna()]
        x = rows["freeze_depth"].to_numpy(dtype=float) + DODGE * (place - (len(deep) - 1) / 2)
        y, spread = percent(rows[measure], measure), percent(rows[f"{measure}_interval"], measure)
        axes.errorbar(x, y, spread, fmt="none", ecolor=one.style.colour, elinewidth=0.9, capsize=2, zorder=3)
        axes.plot(x, y, **_look(one), zorder=4)
    for one in drawn:
        if not one.has_depths and pd.notna(one.rows[measure].iloc[0]):
            level = measure_of(measure).factor * one.rows[measure].iloc[0]
            axes.axhline(level, color=one.style.colour, linestyle=(0, (6, 3)), linewidth=1, zorder=2)


def _look(one: Series) -> dict[str, Any]:
    style = one.style
    look: dict[str, Any] = {"color": style.colour, "marker": style.marker, "linestyle": style.dash}
    return look | {"markeredgecolor": "white", "markeredgewidth": 0.6}


def _handle(one: Series) -> Line2D:
    return Line2D([], [], label=one.legend, **_look(one))


def _name_levels(axes: Axes, levels: list[Series], measure: str) -> None:
    """Writes the name and the value of each level line at the right edge, none upon another."""
    shown = [one for one in levels if pd.notna(one.rows[measure].iloc[0])]
    if not shown:
        return
    values = [measure_of(measure).factor * float(one.rows[measure].iloc[0]) for one in shown]
    # In pixels, as the axis needn't be linear.
    heights = axes.transData.transform([(0, value) for value in values])[:, 1]
    places = spread_out(heights.tolist(), gap=21 * axes.figure.dpi / 72)
    for one, value, height, place in zip(shown, values, heights, places, strict=True):
        text = human_metric(measure, one.rows[measure].iloc[0], one.rows[f"{measure}_interval"].iloc[0])
        axes.annotate(
            f"{one.legend}\n{text}",
            (1.0, value),
            xycoords=("axes fraction", "data"),
            xytext=(3, (place - height) * 72 / axes.figure.dpi),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=one.style.ink,
        )
