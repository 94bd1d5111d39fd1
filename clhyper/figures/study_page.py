"""The page of a study: question, tables, comparisons and figures, made from the archive of its runs alone."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from clhyper.figures import study_figures, study_tables
from clhyper.figures.study_figures import Made, Part, heading
from clhyper.figures.summary import summarise
from clhyper.figures.table import to_csv
from clhyper.runs.archive import ARCHIVE, command_of, load_archives
from clhyper.runs.files import write
from clhyper.runs.study import Study

PAGE = "README.md"
ANSWER = "answer.md"
"""Text of one's own that the page takes in after the question, if there is such a file beside it."""
_LISTED = 20
_FIGURE = re.compile(rf"^!\[.*\]\(([^/\\()]+\.png)\)\n\n\*`.*` draws it from {re.escape(ARCHIVE)}", re.MULTILINE)
"""A figure as a page of ours names it, and not as its `answer.md` may."""


def write_page(study: Study, output: Path, command: str) -> list[Path]:
    """Writes `README.md`, `table.csv` and the figures beside the archive in `output`, and returns the files.

    Figures of the page that was there and that are no longer made are deleted; a part that can't be made is replaced by
    the reason. `command`: what renews the page, printed under each figure.

    Raises:
        UserError: no archive, or a damaged one.
    """
    runs, matrix = load_archives([output / ARCHIVE])
    complete = runs[runs["status"] == "complete"]
    lines = [f"# {study.title}", "", study.question.strip(), ""]
    if (output / ANSWER).is_file():
        lines += [(output / ANSWER).read_text(encoding="utf-8").strip(), ""]
    lines += ["```", command_of(output / ARCHIVE), "```", "", *_facts(runs, complete), ""]
    to_csv(summarise(runs), output / "table.csv")
    files = [output / PAGE, output / "table.csv"]
    if not len(complete):
        lines += ["No run is complete yet, so there is nothing to show.", ""]
    for show in study.show if len(complete) else []:
        for part in _parts(study, show, runs, matrix, output, command):
            try:
                text, made = _KINDS[show["kind"]](part)
            except Exception as error:  # the rest of the page is worth having, whatever is wrong with this part
                reason = " ".join(f"{type(error).__name__}: {error}".split()).removeprefix("UserError: ")
                text, made = [*heading(part, show["kind"]), f"*This part could not be made: {reason}*"], []
            lines += [*text, ""]
            files += made
    old = (output / PAGE).read_text(encoding="utf-8", errors="replace") if (output / PAGE).is_file() else ""
    for name in set(_FIGURE.findall(old)) - {file.name for file in files}:
        (output / name).unlink(missing_ok=True)
    write(output / PAGE, ("\n".join(lines).rstrip() + "\n").encode())
    return files


def _facts(runs: pd.DataFrame, complete: pd.DataFrame) -> list[str]:
    """What was run, on what, when; and what is missing."""
    seeds = ", ".join(str(seed) for seed in sorted(runs["seed"].unique()))
    said = [f"{len(complete)} of {len(runs)} runs are complete (seeds {seeds})"]
    days = sorted(complete["date"].dropna())
    if days:
        said.append(f"run on {' to '.join(dict.fromkeys((days[0], days[-1])))}")
    for name, title in (("machine", "on"), ("engine", "engine"), ("versions", "with")):
        if kinds := sorted({str(kind) for kind in complete[name].dropna() if kind}):
            said.append(f"{title} {' and '.join(kinds)}")
    fronts = complete.loc[complete["front_from"].notna(), ["front", "front_from"]].drop_duplicates()
    trained = [
        f"- front {row.front}: {row.front_from}" for row in fronts.sort_values(["front", "front_from"]).itertuples()
    ]
    missing = [
        f"- without a result: {row.folder}, {row.status}{f' ({row.reason})' if row.reason else ''}"
        for row in runs[runs["status"] != "complete"].itertuples()
    ]
    if len(missing) > _LISTED:
        missing[_LISTED:] = [f"- and {len(missing) - _LISTED} more"]
    where = (
        "Means and intervals of every cost: [table.csv](table.csv); configurations, environments, results and accuracy"
        f" matrices of all runs: [{ARCHIVE}]({ARCHIVE})."
    )
    listed = [*trained, *missing]
    return [", ".join(said) + ".", "", *listed, *([""] if listed else []), where]


def _parts(
    study: Study, show: dict[str, Any], runs: pd.DataFrame, matrix: pd.DataFrame, output: Path, command: str
) -> Iterator[Part]:
    """A part for each of the streams that are shown, or one for all of them together."""
    labels = [label for label in show.get("streams", study.streams) if (runs["study_stream"] == label).any()]
    if show["kind"] == "correlation":
        chosen = runs[runs["study_stream"].isin(labels)]
        if len(chosen):
            yield Part(show, show["kind"], chosen, matrix, output, command)
        return
    for label in labels:
        chosen = runs[runs["study_stream"] == label]
        if (chosen["status"] == "complete").any() or show["kind"] == "table":
            yield Part(show, label, chosen, matrix, output, command)


_KINDS: dict[str, Callable[[Part], Made]] = {
    "table": study_tables.table,
    "against-cost": study_figures.against_cost,
    "against-depth": study_figures.against_depth,
    "over-stream": study_figures.over_stream,
    "matrices": study_figures.matrices,
    "curve": study_figures.draw_curve,
    "compare": study_tables.comparison,
    "correlation": study_tables.correlation,
    "overtakes": study_tables.overtakes,
    "widens": study_tables.widens,
    "sizes": study_tables.sizes,
}
