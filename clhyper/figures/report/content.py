"""The content of the page as plain values: runs, their configurations, and what brings them together."""

import datetime
import json
import math
from typing import Any

import pandas as pd
from scipy.special import stdtrit

import clhyper
from clhyper.figures.report.command import command
from clhyper.figures.report.compact import CURVE_BYTES, MATRIX_BYTES, over_stream, packed, within
from clhyper.figures.report.front import chances
from clhyper.figures.report.looks import label, series_and_lines, telling_choices, telling_first
from clhyper.figures.report.measures import PARTS, TIMES, measures
from clhyper.figures.report.source import Record, Source
from clhyper.figures.summary import BY_NUMBER, identified, setting_title, settings, summarise
from clhyper.runs.results import CHOICES

FIELDS = ("family", "freeze_depth", *CHOICES, "orders")
"""What configurations can be filtered by."""


def content(source: Source, when: datetime.datetime | None = None) -> dict[str, Any]:
    """What the page shows of `source`, ready for JSON; `when` it was read, in local time."""
    when = when or datetime.datetime.now()
    found: dict[str, Any] = {
        "title": source.title.rpartition("/")[2] or source.title,
        "when": when.strftime("%Y-%m-%d %H:%M"),
        "version": clhyper.__version__,
        "waiting": source.waiting,
        "unread": [[name, why] for name, why in source.unread.items()],
        "parts": list(PARTS),
        "times": list(TIMES),
    }
    if not len(source.runs):
        empty: dict[str, Any] = {
            name: [] for name in ("measures", "settings", "series", "configurations", "quantiles", "chances")
        }
        return found | empty | {"runs": {"name": [], "values": {}}, "left_out": []}
    runs = identified(source.runs)
    summary = summarise(source.runs)
    probabilities = chances(runs, summary)
    summary = telling_first(summary)
    series, lines = series_and_lines(summary)
    known = measures(summary)
    place = {number: position for position, number in enumerate(summary["configuration"])}
    for line in (line for every in lines.values() for line in every):
        line["configurations"] = [place[number] for number in line["configurations"]]
    runs["place"] = [place[number] for number in runs["configuration"]]
    own, left_out = _runs(runs, source.records, [one["name"] for one in known])
    return found | {
        "measures": known,
        "settings": [{"title": one.title, "lines": lines.get(one.title, [])} for one in settings(summary)],
        "series": series,
        "configurations": _configurations(summary, lines, [one["name"] for one in known]),
        "runs": own,
        "quantiles": [float(stdtrit(n, 0.975)) for n in range(1, max(2, int(summary["seeds"].max())))],
        "chances": probabilities,
        "left_out": left_out,
    }


def _configurations(
    summary: pd.DataFrame, lines: dict[str, list[dict[str, Any]]], names: list[str]
) -> list[dict[str, Any]]:
    """The rows of the summary in its order, with mean and half-width of each measure."""
    titles = [one.title for one in settings(summary)]
    telling = {
        (one.title, name): telling_choices(rows)
        for one in settings(summary)
        for name, rows in one.rows.groupby("strategy")
    }
    series = {place: line["series"] for every in lines.values() for line in every for place in line["configurations"]}
    found = []
    for place, (_, row) in enumerate(summary.iterrows()):
        title = setting_title(row)
        found.append(
            {
                "setting": titles.index(title),
                "series": series.get(place),
                "label": label(row, telling[title, row["strategy"]], _title(row)),
                "strategy": row["strategy"],
                "fields": {name: _plain(row[name]) for name in FIELDS},
                **{name: _plain(row[name]) for name in ("seeds", "failed", "interrupted", "runs_at_once", "note")},
                "means": [_plain(row[name]) for name in names],
                "intervals": [_plain(row[f"{name}_interval"]) for name in names],
            }
        )
    return found


def _title(row: pd.Series) -> str:
    return str(row["strategy"]) if pd.isna(row["freeze_depth"]) else f"{row['strategy']} k={row['freeze_depth']}"


def _runs(runs: pd.DataFrame, records: dict[str, Record], names: list[str]) -> tuple[dict[str, Any], list[str]]:
    """A list for each property of runs, in the order of `runs`; and in words what had no room."""
    found: dict[str, Any] = {name: list(map(_plain, runs[name])) for name in ("status", "reason", "seed")}
    found["name"] = list(runs["folder"])
    found["order"] = [order or BY_NUMBER for order in runs["order"]]
    found["values"] = {name: list(map(_plain, runs[name])) for name in names}
    found["configuration"] = runs["place"].tolist()
    found["experiences"] = list(map(_plain, runs["experiences"]))
    of = [records.get(name, Record()) for name in runs["folder"]]
    complete = [status == "complete" for status in found["status"]]
    ranks = list(runs.groupby("configuration").cumcount())
    found["learned"] = [len(record.matrix) for record in of]
    parts: dict[str, tuple[list[Any], int]] = {
        "matrix": ([packed(record.matrix) for record in of], MATRIX_BYTES),
        "curve": ([over_stream(r.matrix, c) or None for r, c in zip(of, complete, strict=True)], CURVE_BYTES),
        "loss": ([_rounded(record.losses) or None for record in of], CURVE_BYTES),
    }
    left_out = []
    for name, (values, budget) in parts.items():
        sizes = [len(json.dumps(value, separators=(",", ":"))) if value else 0 for value in values]
        kept = within(sizes, ranks, budget)
        found[name] = [value if keep else None for value, keep in zip(values, kept, strict=True)]
        words = {"matrix": "accuracy matrix", "curve": "accuracy over the stream", "loss": "loss by epoch"}[name]
        if missing := sum(bool(value) and not keep for value, keep in zip(values, kept, strict=True)):
            left_out.append(f"the {words} of {missing} of {len(values)} runs, repetitions first")
    for name, kind in (("config", "configs"), ("environment", "environments")):
        found[name], found[kind] = _shared([_of_seed(getattr(record, name)) for record in of])
    found["commands"] = [command(config) for config in found["configs"]]
    return found, left_out


def _of_seed(values: dict[str, Any]) -> dict[str, Any]:
    """Without what the run has apart, so that repetitions share the rest."""
    return {name: value for name, value in values.items() if name != "seed"}


def _shared(values: list[dict[str, Any]]) -> tuple[list[int], list[Any]]:
    """For each value its place among the different ones, and these."""
    different: dict[str, int] = {}
    places = [different.setdefault(json.dumps(value, default=str), len(different)) for value in values]
    return places, [json.loads(text) for text in different]


def _rounded(rows: list[list[float | None]]) -> list[list[float | None]]:
    return [[None if value is None else float(f"{value:.4g}") for value in row] for row in rows]


def _plain(value: Any) -> Any:
    """A cell as JSON has it; None where there is nothing."""
    if value is None or pd.isna(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)
