"""The leaderboard: what was published, stream by stream, best accuracy first."""

import os
from pathlib import Path

import pandas as pd

from clhyper.errors import require
from clhyper.figures.study_tables import row_label
from clhyper.figures.summary import BOUNDS, distinguishing, identified, measure_in, settings, summarise
from clhyper.figures.units import human_count, human_fraction, human_metric, human_seconds
from clhyper.measures import ACCURACY
from clhyper.runs.archive import ARCHIVE, load_archives
from clhyper.runs.files import write

BEST = 15
"""Rows of a stream that the page has besides bounds; the pages of studies have all (ours)."""
_HEADERS = {
    "": ":---",
    "ACC %": "---:",
    "forgetting %": "---:",
    "class-incremental by entropy %": "---:",
    "class-incremental by features %": "---:",
    "train MACs": "---:",
    "seconds": "---:",
    "bytes kept": "---:",
    "growth a task": "---:",
    "repetitions": "---:",
    "engine": ":---",
    "machine": ":---",
    "date": ":---",
    "study": ":---",
}
_IN_BITS = {"ACC %": "bits", "forgetting %": "forgetting bits"}
_CLASS_INCREMENTAL = ("class_incremental_accuracy_by_entropy", "class_incremental_accuracy_by_features")


def write_leaderboard(folder: Path, output: Path) -> None:
    """Writes the page from every `runs.jsonl` under a folder; the same files make the same page.

    Raises:
        UserError: no such file, a damaged one, or none with a complete run.
    """
    files = sorted(folder.rglob(ARCHIVE))
    require(bool(files), f"{folder}: no {ARCHIVE} in this folder or below it; `clhyper study` writes them")
    runs = load_archives(files)[0]
    runs = runs[runs["status"] == "complete"]
    require(len(runs) > 0, f"{folder}: no complete run in any {ARCHIVE}")
    lines = [
        "# Leaderboard",
        "",
        f"Made by `clhyper leaderboard` from the result files in this folder, never by hand: of each stream the {BEST}"
        " configurations with the best accuracy after the whole stream, and in italics the bounds that they lie"
        " between. ± is the half-width of the 95 % interval over repetitions, pairs of seed and class order (Student"
        " t). Seconds compare within one engine and machine only.",
        "",
    ]
    for one in settings(runs):
        lines += [f"## {one.title}", "", *_table(one.rows, output.parent), ""]
    output.parent.mkdir(parents=True, exist_ok=True)
    write(output, ("\n".join(lines).rstrip() + "\n").encode())


def _table(runs: pd.DataFrame, folder: Path) -> list[str]:
    summary = summarise(runs)
    choices = distinguishing(summary)
    groups = dict(iter(identified(runs).groupby("configuration")))
    measure = measure_in(summary)
    final = measure.metrics[0]
    ranked = summary.sort_values(final, ascending=measure.less_is_better, kind="stable", na_position="last")
    methods = ranked[~ranked["family"].isin(BOUNDS)].head(BEST)
    shown = ranked[ranked.index.isin(methods.index) | ranked["family"].isin(BOUNDS)]
    rows = [_cells(row, groups[row["configuration"]], choices, folder) for _, row in shown.iterrows()]
    used = [
        place for place, name in enumerate(_HEADERS) if not name.startswith("class-inc") or any(r[place] for r in rows)
    ]
    headers = [name if measure is ACCURACY else _IN_BITS.get(name, name) for name in _HEADERS]
    table = [headers, list(_HEADERS.values()), *rows]
    return ["| " + " | ".join(row[place] for place in used) + " |" for row in table]


def _cells(row: pd.Series, runs: pd.DataFrame, choices: list[str], folder: Path) -> list[str]:
    label = row_label(row, choices)
    several = {name: ", ".join(sorted({str(value) for value in runs[name].dropna()})) for name in ("engine", "machine")}
    days = sorted(runs["date"].dropna())
    pages = sorted({file.parent.resolve() for files in runs["archives"] for file in files})
    links = [(page.name, Path(os.path.relpath(page, folder.resolve())).as_posix()) for page in pages]
    return [
        f"*{label}*" if row["family"] in BOUNDS else label,
        *(human_metric(name, row[name], row[f"{name}_interval"]) for name in measure_in(runs).metrics[:2]),
        *(human_fraction(row[way], row[f"{way}_interval"]) if pd.notna(row[way]) else "" for way in _CLASS_INCREMENTAL),
        human_count(row["train_macs"], "MAC"),
        human_seconds(row["train_seconds"]),
        human_count(row["bytes_kept"], "B"),
        human_count(row["bytes_per_task"], "B"),
        str(row["seeds"]),
        several["engine"],
        several["machine"],
        " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "",
        ", ".join(f"[{name}]({place}/)" for name, place in links),
    ]
