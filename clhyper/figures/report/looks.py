"""What marks a series in every chart of the page, on a light ground and on a dark one."""

from typing import Any

import pandas as pd

from clhyper.figures.style import COLOURS, DASHES, GREYS, MARKERS, Style, series_of, styles_of
from clhyper.figures.summary import choice_label, identified, settings, summarise, with_depth_zero

SYMBOLS = {
    **{"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross"},
    **{"X": "x", "<": "triangle-left", ">": "triangle-right", "p": "pentagon", "*": "star"},
}
STROKES = dict(zip(DASHES, ("solid", "dash", "dot", "dashdot", "longdash"), strict=True))
ON_DARK = {
    **dict(zip(COLOURS, ("#4394dc", "#ec7b35", "#25b48a", "#dd94bf", "#efb13c", "#8fd0f4"), strict=True)),
    **dict(zip(GREYS.values(), ("#8c8c8c", "#b4b4b4", "#f2f2f2"), strict=True)),
}
"""The same hues, lighter (ours): each has 3 : 1 or more on the page's dark ground."""

assert set(SYMBOLS) == set(MARKERS)


def series_and_lines(runs: pd.DataFrame) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The series of complete runs, and of each setting's title the lines over freeze depth.

    A line names its series and, shallowest first, one run of each configuration on it; configurations of depth 0 are
    on the line of every front that their kind has.
    """
    runs = with_depth_zero(runs[runs["status"] == "complete"])
    if not len(runs):
        return [], {}
    summary = summarise(runs)
    member = identified(runs).drop_duplicates("configuration").set_index("configuration")["folder"]
    looks, lines = [], {one.title: list[dict[str, Any]]() for one in settings(summary)}
    title_of = {index: one.title for one in settings(summary) for index in one.rows.index}
    styles = styles_of(summary)
    for series in series_of(summary, styles):
        looks.append(_look(_label(series.rows.iloc[0], styles.choices[series.rows.iloc[0]["family"]]), series.style))
        for title in dict.fromkeys(title_of[index] for index in series.rows.index):
            rows = series.rows[[title_of[index] == title for index in series.rows.index]]
            members = [member[number] for number in rows["configuration"]]
            lines[title].append({"series": len(looks) - 1, "runs": members})
    return looks, lines


def worth_saying(row: pd.Series, choices: list[str]) -> list[str]:
    """Those of `choices` that the row's variant doesn't say already."""
    return [name for name in choices if name == "variant" or f"{name}=" not in row["variant"]]


def _label(row: pd.Series, choices: list[str]) -> str:
    return f"{row['family']}{choice_label(row, worth_saying(row, choices))}"


def _look(label: str, style: Style) -> dict[str, Any]:
    return {
        "label": label,
        "light": style.colour,
        "dark": ON_DARK[style.colour],
        "symbol": SYMBOLS[style.marker],
        "dash": STROKES[style.dash],
    }
