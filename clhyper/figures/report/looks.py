"""What marks a series in every chart of the page, on a light ground and on a dark one."""

import re
from typing import Any

import pandas as pd

from clhyper.figures.style import COLOURS, DASHES, GREYS, MARKERS, Style, series_of
from clhyper.figures.summary import choice_label, distinguishing, setting_title, with_depth_zero
from clhyper.runs.results import SETTING

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


def series_and_lines(summary: pd.DataFrame) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The series of a summary's complete configurations, and of each setting's title the lines over freeze depth.

    A line names its series and, shallowest first, the numbers in `configuration` of those on it; what has depth 0 is on
    the line of every front that its kind has.
    """
    rows = with_depth_zero(summary[summary["seeds"] > 0])
    looks: list[dict[str, Any]] = []
    lines: dict[str, list[dict[str, Any]]] = {}
    if not len(rows):
        return looks, lines
    rows = rows.assign(title=[setting_title(row) for row in rows[list(SETTING)].to_dict("records")])
    telling = {family: telling_choices(same) for family, same in rows.groupby("family")}
    for series in series_of(rows):
        first = series.rows.iloc[0]
        looks.append(_look(label(first, telling[first["family"]], first["family"]), series.style))
        for title, on in series.rows.groupby("title", sort=False):
            line = {"series": len(looks) - 1, "configurations": on["configuration"].tolist()}
            lines.setdefault(str(title), []).append(line)
    return looks, lines


def telling_choices(rows: pd.DataFrame) -> list[str]:
    """The choices that tell rows apart; that some have no front, or no norm of one, is no difference."""
    return [choice for choice in distinguishing(rows) if choice == "variant" or rows[choice].nunique() > 1]


def label(row: pd.Series, choices: list[str], name: str) -> str:
    """A configuration as `name` with those of `choices` that its variant doesn't say already."""
    worth = [choice for choice in choices if choice == "variant" or f"{choice}=" not in row["variant"]]
    return f"{name}{choice_label(row, worth)}"


def telling_first(summary: pd.DataFrame) -> pd.DataFrame:
    """With the words of each `variant` in another order: first those in which the strategy's configurations differ."""
    words = [re.split(r" (?=\w+=)", text) for text in summary["variant"]]
    values: dict[tuple[str, str], set[str]] = {}
    for strategy, several in zip(summary["strategy"], words, strict=True):
        for word in several:
            values.setdefault((strategy, word.partition("=")[0]), set()).add(word)
    count = {key: len(known) for key, known in values.items()}
    sorted_words = [
        sorted(several, key=lambda word: -count[strategy, word.partition("=")[0]])
        for strategy, several in zip(summary["strategy"], words, strict=True)
    ]
    return summary.assign(variant=[" ".join(several) for several in sorted_words])


def _look(words: str, style: Style) -> dict[str, Any]:
    return {
        "label": words,
        "light": style.colour,
        "dark": ON_DARK[style.colour],
        "symbol": SYMBOLS[style.marker],
        "dash": STROKES[style.dash],
    }
