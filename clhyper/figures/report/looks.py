"""What marks a series in every chart of the page, on a light ground and on a dark one."""

import re
from typing import Any

import pandas as pd

from clhyper.figures.style import COLOURS, DASHES, GREYS, MARKERS, Style, series_of
from clhyper.figures.summary import choice_label, distinguishing, identified, settings, summarise, with_depth_zero

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
    summary = telling_first(summarise(runs))
    member = identified(runs).drop_duplicates("configuration").set_index("configuration")["folder"]
    looks, lines = [], {one.title: list[dict[str, Any]]() for one in settings(summary)}
    title_of = {index: one.title for one in settings(summary) for index in one.rows.index}
    for series in series_of(summary):
        first = series.rows.iloc[0]
        among = summary[summary["family"] == first["family"]]
        looks.append(_look(label(first, among, first["family"]), series.style))
        for title in dict.fromkeys(title_of[index] for index in series.rows.index):
            rows = series.rows[[title_of[index] == title for index in series.rows.index]]
            members = [member[number] for number in rows["configuration"]]
            lines[title].append({"series": len(looks) - 1, "runs": members})
    return looks, lines


def label(row: pd.Series, rows: pd.DataFrame, name: str) -> str:
    """A configuration as `name`, with what tells it apart from others among `rows`, and nothing said twice.

    That some have no front, or no norm of one, is no difference.
    """
    choices = [choice for choice in distinguishing(rows) if choice == "variant" or rows[choice].nunique() > 1]
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
