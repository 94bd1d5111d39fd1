"""How every figure looks: fonts and lines, and one colour, marker and dash for each series throughout."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from textwrap import fill
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from clhyper.errors import require
from clhyper.figures.summary import (
    BOUNDS,
    BY_NUMBER,
    choice_label,
    distinguishing,
    family_order,
    repetitions,
    setting_title,
    summarise,
)
from clhyper.figures.units import in_words
from clhyper.measures import LESS_IS_BETTER, measure_of
from clhyper.runs.files import write
from clhyper.runs.results import SETTING

Arguments = ParamSpec("Arguments")
Drawing = TypeVar("Drawing", Figure, list[Figure])

PARAMETERS: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same picture on every machine
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 3.2,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "hatch.linewidth": 0.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "clhyper",  # the same figure gives the same file
    "figure.facecolor": "white",
}

# Okabe and Ito (2008) without yellow, which fades on white, and without black, which is for bounds.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREYS = {"naive": "#8c8c8c", "separate": "#595959", "joint": "#000000"}
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (9, 2, 3, 2)))
CAPTION_COLOUR = "#555555"


@dataclass(frozen=True)
class Style:
    """What marks a series in every figure."""

    colour: str
    marker: str
    dash: Any

    @property
    def ink(self) -> str:
        """The colour darkened until small text in it reads on white."""
        red, green, blue = to_rgb(self.colour)
        return to_hex((0.7 * red, 0.7 * green, 0.7 * blue))


@dataclass(frozen=True)
class Series:
    """A family's configurations that differ in freeze depth alone, as rows of a summary, shallowest first."""

    label: str
    style: Style
    rows: pd.DataFrame

    @property
    def legend(self) -> str:
        """The label, on several lines where it says more than the family."""
        name, bracket, forms = self.label.partition(" (")
        return fill(name, 30) + (f"\n({forms}" if bracket else "")

    @property
    def has_depths(self) -> bool:
        return bool(self.rows["freeze_depth"].notna().any())


@dataclass(frozen=True)
class Styles:
    """How the series of a summary look. `choices`: by family, what besides depth tells its configurations apart."""

    choices: dict[str, list[str]]
    looks: dict[tuple[str, ...], Style]


def styles_of(summary: pd.DataFrame) -> Styles:
    """A style for each series of `summary`: colours for methods, greys for bounds, no marker twice up to eleven."""
    choices: dict[str, list[str]] = {}
    looks: dict[tuple[str, ...], Style] = {}
    methods = 0
    for family in family_order(summary["family"]):
        rows = summary[summary["family"] == family]
        choices[family] = distinguishing(rows)
        for key, _ in _split(rows, family, choices[family]):
            colour = GREYS[family] if family in BOUNDS else COLOURS[methods % len(COLOURS)]
            methods += family not in BOUNDS
            index = len(looks)
            looks[key] = Style(colour, MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)])
    return Styles(choices, looks)


def series_of(summary: pd.DataFrame, styles: Styles | None = None) -> list[Series]:
    """The series of a summary, in family order.

    With `styles`, from `styles_of` a summary that contains this one, a series looks the same as it does there.
    """
    styles = styles or styles_of(summary)
    found = []
    for family in family_order(summary["family"]):
        choices = styles.choices[family]
        for key, group in _split(summary[summary["family"] == family], family, choices):
            forms = [f"{name} at k={k}" for name, k in _depth_forms(group) if name != family]
            label = family + choice_label(group.iloc[0], choices) + (f" ({', '.join(forms)})" if forms else "")
            found.append(Series(label, styles.looks[key], group.sort_values("freeze_depth", kind="stable")))
    return found


def _split(rows: pd.DataFrame, family: str, choices: list[str]) -> list[tuple[tuple[str, ...], pd.DataFrame]]:
    if not choices:
        return [((family,), rows)]
    texts = rows[choices].astype(object).where(rows[choices].notna(), "none").astype(str)
    return [((family, *key), rows.loc[group.index]) for key, group in texts.groupby(choices)]


def _depth_forms(rows: pd.DataFrame) -> list[tuple[str, int]]:
    known = rows[rows["freeze_depth"].notna()]
    return sorted(set(zip(known["strategy"], known["freeze_depth"].astype(int), strict=True)))


def styled(draw: Callable[Arguments, Drawing]) -> Callable[Arguments, Drawing]:
    """Draws under `PARAMETERS` without changing matplotlib's own."""

    @wraps(draw)
    def drawn(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawing:
        with matplotlib.rc_context(PARAMETERS):
            return draw(*args, **kwargs)

    return drawn


def new_figure(width: float, height: float, title: str) -> Figure:
    """A figure of some inches with a heading, on no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return figure


def add_caption(figure: Figure, *lines: str) -> None:
    """Small print below everything, a sentence or two a line."""
    across = int(17.5 * figure.get_figwidth())
    text = "\n".join(fill(line, across) for part in lines for line in part.split("\n"))
    figure.supxlabel(text, x=0.01, ha="left", fontsize=7.5, color=CAPTION_COLOUR)


def add_legend(figure: Figure, handles: Sequence[Any]) -> None:
    """A legend beside the axes, for which the figure is made higher if it has to be."""
    lines = sum(1 + str(handle.get_label()).count("\n") for handle in handles)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, max(height, 0.14 * lines + 0.11 * len(handles) + 0.9))
    figure.legend(handles=handles, loc="outside right center", labelspacing=0.9)


def save(figure: Figure, path: Path) -> list[Path]:
    """Writes `<path>.png` at 200 dots an inch and `<path>.svg`; the figure's layout is fixed from then on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    with matplotlib.rc_context(PARAMETERS):
        # Laid out once for both files: the layout takes longer than the drawing.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for file in files:
            # Without the date the same figure gives the same bytes.
            content = io.BytesIO()
            metadata = {"Date": None} if file.suffix == ".svg" else None
            figure.savefig(content, format=file.suffix[1:], dpi=200, metadata=metadata)
            write(file, content.getvalue())
    return files


def completed(runs: pd.DataFrame) -> pd.DataFrame:
    """The summary of one setting's runs, for a figure.

    Raises:
        UserError: no run is complete, or the runs mix benchmarks, backbones, streams or kinds of test image.
    """
    runs = runs[runs["status"] == "complete"]
    require(len(runs) > 0, "no complete run to draw: finish at least one run first")
    summary = summarise(runs)
    mixed = [name for name in SETTING if summary[name].nunique(dropna=False) > 1]
    require(not mixed, f"runs with different {' and '.join(mixed)} can't share a figure: draw one at a time")
    return summary


def caption(summary: pd.DataFrame, spread: str = "bars") -> str:
    """What was run, over how many seeds, and what the `spread` around each mean is ("" for none).

    Norms that differ are named here, as they are part of what is compared.
    """
    first = summary.iloc[0]
    fewest, most = summary["seeds"].min(), summary["seeds"].max()
    seeds = f"{f'{fewest} to ' if fewest != most else ''}{most} {repetitions(summary)[int(most > 1)]}"
    orders = summary["orders"].unique()
    order = f" Class order {orders[0]}." if len(orders) == 1 else " Class orders differ."
    order = "" if list(orders) == [BY_NUMBER] else order
    interval = f"; {spread}: 95 % confidence interval (Student t)" if most > 1 else ", so no interval"
    interval = interval if spread else ""
    return f"{setting_title(first)}.{order} Mean over {seeds}{interval}.{norms(summary)}"


def norms(summary: pd.DataFrame) -> str:
    """The norms of a summary or of runs, as a line of a caption; empty where all have one."""
    known = summary[summary["norm"].notna()]
    if known["norm"].nunique() < 2:
        return ""
    users = {norm: ", ".join(family_order(rows["family"])) for norm, rows in known.groupby("norm")}
    return "\nNorms: " + "; ".join(f"{norm} in {families}" for norm, families in users.items()) + "."


def percent(values: Any, metric: str = "acc") -> np.ndarray:
    """Fractions as percentages; those of a metric in bits as they are."""
    return measure_of(metric).factor * np.asarray(values, dtype=float)


def axis_label(metric: str, name: str | None = None) -> str:
    """A metric with its unit and the direction that is better, for an upright axis: `ACC (%)  more is better →`."""
    which = "← less" if metric in LESS_IS_BETTER else "more"
    end = "" if metric in LESS_IS_BETTER else " →"
    return f"{name or in_words(metric)} ({measure_of(metric).unit})  {which} is better{end}"
