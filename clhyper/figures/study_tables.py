"""The tables of a study's page: means, paired differences, correlations, and where a curve overtakes."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

from clhyper.errors import UserError, require
from clhyper.figures.curves import loss_against
from clhyper.figures.relations import Correlation, correlations, direction, overtakings, widenings
from clhyper.figures.study_figures import Made, Part, figures, heading
from clhyper.figures.summary import (
    METRICS,
    Setting,
    choice_label,
    distinguishing,
    identified,
    settings,
    summarise,
)
from clhyper.figures.table import to_markdown
from clhyper.figures.units import COSTS, difference_unit, human_count, human_metric
from clhyper.measures import measure_of
from clhyper.runs.archive import PRETRAINED
from clhyper.runs.compare import Interval, compare_rows
from clhyper.runs.naming import configurations
from clhyper.runs.study_reference import SAME_DEPTH

_NOTHING = "–"  # noqa: RUF001


def table(part: Part) -> Made:
    """Means, intervals and costs, a table a setting."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "table.md"
        to_markdown(summarise(part.runs), file)
        text = file.read_text(encoding="utf-8")
    return [*heading(part, "Accuracy, forgetting and cost"), text.strip()], []


def comparison(part: Part) -> Made:
    """Paired differences from a reference row, over the seeds and orders that both have."""
    reference = part.show["reference"]
    title = reference.replace(SAME_DEPTH, " at the same depth")
    lines = heading(part, f"Against {title}, paired")
    for one in _by_front(part):
        lines += [f"### {one.title}", ""]
        by_depth = SAME_DEPTH in reference
        references: dict[int | None, tuple[str, pd.DataFrame]] = {}
        for depth in sorted(one.rows["freeze_depth"].dropna().unique()) if by_depth else [None]:
            name = reference.replace(SAME_DEPTH, f"@{depth}")
            try:
                found = configurations(one.rows, name)
                require(len(found) == 1, f"{name} is not one configuration but {len(found)}")
                references[depth] = (name, found[0])
            except UserError as error:
                lines += [f"No comparison: {error}.", ""]
        for measure in part.show.get("measures", ["acc", "forgetting"]) if references else []:
            lines += [*_differences(one.rows, references, title, measure), ""]
    return lines[:-1], []


def _by_front(part: Part) -> Iterator[Setting]:
    """The settings of the part's complete runs, those with each pretrained front apart from the others."""
    for one in settings(part.runs[part.runs["status"] == "complete"]):
        for front, rows in one.rows.groupby(_pretrained(one.rows)):
            yield replace(one, title=f"{one.title}, front {front}" if front else one.title, rows=rows)


def _pretrained(runs: pd.DataFrame) -> pd.Series:
    """In words, the runs' fronts that their study trained; empty for others."""
    return runs["front"].map(lambda front: front if str(front).startswith(PRETRAINED) else "")


def _differences(
    rows: pd.DataFrame, references: dict[int | None, tuple[str, pd.DataFrame]], title: str, measure: str
) -> list[str]:
    """A table with a row for each configuration; `references` by the depth they serve, None for every depth."""
    summary = summarise(rows)
    choices = distinguishing(summary)
    unit = difference_unit(measure) if measure in METRICS else COSTS[measure].unit or "count"
    lines = [
        f"| {measure.replace('_', ' ')} minus that of {title} | difference ({unit}) | 95 % interval (t) | bootstrap"
        " | p (paired t) | p (Wilcoxon) | pairs |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    numbered = dict(zip(summary["configuration"], summary.iterrows(), strict=True))
    groups = dict(iter(identified(rows).groupby("configuration")))
    for number, (_, row) in numbered.items():
        group = groups[number]
        found = references.get(None) or references.get(row["freeze_depth"])
        if not found or set(group["folder"]) & set(found[1]["folder"]):
            continue
        name, reference = found
        label = row_label(row, choices)
        try:
            one = compare_rows(group, reference, label, name, measure)
        except UserError as error:
            lines.append(f"| {label} | {_NOTHING} | {error} | | | | |")
            continue
        cells = [_amount(measure, one.difference), _span(measure, one.t), _span(measure, one.bootstrap)]
        cells += [_NOTHING if p is None else f"{p:.2g}" for p in (one.t_p, one.wilcoxon_p)]
        lines.append(f"| {label} | {' | '.join(cells)} | {len(one.pairs)} |")
    return lines


def row_label(row: pd.Series, choices: list[str]) -> str:
    """A row of a summary as `strategy k=depth, choices`."""
    depth = "" if pd.isna(row["freeze_depth"]) else f" k={row['freeze_depth']}"
    return f"{row['strategy']}{depth}{choice_label(row, choices)}".replace("|", "\\|")


def _amount(measure: str, value: float) -> str:
    if measure in METRICS:
        return human_metric(measure, value, signed=True)
    return human_count(value, COSTS[measure].unit)


def _span(measure: str, interval: Interval | None) -> str:
    if interval is None:
        return _NOTHING
    return f"{_amount(measure, interval.low)} to {_amount(measure, interval.high)}"


def correlation(part: Part) -> Made:
    """What freezing loses against a property of streams: r, its interval, and a figure."""
    x, measure, depth = part.show["x"], part.show["measure"], part.show["depth"]
    lines = heading(part, f"What freezing loses and {x.replace('_', ' ')}: correlation over streams")
    if x not in part.runs or part.runs[x].isna().all():
        return [*lines, f"No complete run has a {x}."], []
    found = [one for one in correlations(part.runs, x, measure, depth) if len(one.points)]
    if not found:
        return [*lines, f"No strategy has complete runs at depth {depth} and beyond."], []
    first, second = (f"freeze depth {depth}", "depth k")[:: direction(measure)]
    lines += [
        f"{measure} at {first} minus {measure} at {second} of the same stream, class order and seed,"
        f" averaged over seeds; each stream and class order is one point. A negative r says: the greater the {x}, the"
        " less freezing loses. The interval and p take points as independent; several streams made of one data set"
        " aren't, so that both are too sure of themselves, and r within each data set of three points or more stands"
        " beside them.",
        "",
        "| strategy | depth k | Pearson's r | 95 % interval (Fisher) | p | Spearman's rho | streams"
        " | r within each data set (streams) |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | :--- |",
    ]
    for one in found:
        numbers = [_NOTHING if value is None else f"{value:.2f}" for value in (one.r, one.rho)]
        span = "needs 4 streams" if one.low is None else f"{one.low:.2f} to {one.high:.2f}"
        p = _NOTHING if one.p is None else f"{one.p:.2g}"
        cells = [one.label.replace("|", "\\|"), one.depth, numbers[0], span, p, numbers[1], len(one.points)]
        within = ", ".join(f"{source} {r:.2f} ({count})" for source, (r, count) in one.within.items())
        lines.append(f"| {' | '.join(map(str, cells))} | {within or _NOTHING} |")
    text, files = figures(
        part,
        f"What freezing loses against {x}",
        iter([(f"{measure}-lost-against-{x}".replace("_", "-"), lambda: loss_against(found, x, measure, depth))]),
    )
    return [*lines, "", *text[2:], "", *_losses(found, x, measure)], files


def _losses(found: list[Correlation], x: str, measure: str) -> list[str]:
    """The numbers of the figure: each stream's x, and what each configuration and depth loses there."""
    titles = [f"{one.label} k={one.depth}".replace("|", "\\|") for one in found]
    unit = difference_unit(measure) if measure in METRICS else COSTS[measure].unit or "count"
    lines = [
        f"| data set | stream | {x.replace('_', ' ')} | {' | '.join(f'{title} ({unit})' for title in titles)} |",
        f"| :--- | :--- | ---: |{' ---: |' * len(titles)}",
    ]
    losses: dict[tuple[str, str], dict[int, str]] = {}
    for number, one in enumerate(found):
        for row in one.points.itertuples():
            spread = "" if pd.isna(row.interval) else f" ± {_amount(measure, row.interval).lstrip('+')}"
            losses.setdefault((row.source, row.stream), {})[number] = _amount(measure, row.lost) + spread
    places = pd.concat([one.points for one in found]).groupby(["source", "stream"])["x"].mean().reset_index()
    for source, stream, place in places.sort_values(["source", "x"], kind="stable").itertuples(index=False):
        cells = [losses[source, stream].get(number, _NOTHING) for number in range(len(found))]
        lines.append(f"| {source} | {stream} | {place:.2f} | {' | '.join(cells)} |")
    return [*lines, "", "± is the half-width of the 95 % interval over seeds (Student t)."]


def sizes(part: Part) -> Made:
    """How large each row's networks are, and what one more task adds, a table a setting."""
    lines = heading(part, "Sizes, and what a further task adds")
    for one in settings(part.runs[part.runs["status"] == "complete"]):
        summary = summarise(one.rows)
        choices = distinguishing(summary)
        lines += [
            f"### {one.title}",
            "",
            "| | all parameters | generated for a task | all over generated | a further task's own | over generated"
            " | bytes kept |",
            "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for _, row in summary.iterrows():
            whole, back = row["trainable_parameters"] + row["frozen_parameters"], row["generated_parameters"]
            own = row["bytes_per_task"] / 4
            shares = [f"{value / back:.3g}" if back > 0 and value == value else _NOTHING for value in (whole, own)]
            cells = [human_count(whole), human_count(back) if back > 0 else _NOTHING, shares[0], human_count(own)]
            cells += [shares[1], human_count(row["bytes_kept"], "B")]
            lines.append(f"| {row_label(row, choices)} | {' | '.join(cells)} |")
        lines.append("")
    lines.append(
        "All parameters: at the end of the stream, of the front, of what the tasks share and of every task's own,"
        " trained by the last experience or not. Generated for a task: the weights that a generator makes, as many as a"
        " back has. A further task's own: the bytes that serve it alone over 4, statistics of norms included. Bytes"
        " kept: all that must stay to serve every task and go on learning, stored features and what a regulariser"
        " remembers included."
    )
    return lines, []


def overtakes(part: Part) -> Made:
    """Each other row against a curve of configurations, at equal cost, and where the curve overtakes."""
    strategy, depth, cost, measure = (part.show[name] for name in ("strategy", "depth", "cost", "measure"))
    unit = COSTS[cost].unit
    lines = heading(part, f"Where {strategy} k={depth} overtakes at equal {cost.replace('_', ' ')}")
    for one in _by_front(part):
        choices = distinguishing(summarise(one.rows))
        found = overtakings(one.rows, strategy, depth, cost, measure)
        lines += [f"### {one.title}", ""]
        if not found:
            lines += [f"No complete run of {strategy} k={depth} shares a seed with another row.", ""]
            continue
        title = "ACC" if measure == "acc" else measure.replace("_", " ")
        title, points = f"{title} {measure_of(measure).unit}", difference_unit(measure)
        lines += [
            f"| | {cost.replace('_', ' ')} | {title} | {strategy} at as much, minus it ({points}) | overtakes at |",
            "| :--- | ---: | ---: | ---: | ---: |",
        ]
        for row in found:
            difference = human_metric(measure, *row.difference, signed=True)
            ends = {"less": "at its least, which is more", "more": "at its most, which is less"}
            difference += f" ({ends[row.outside]})" if row.outside else ""
            mean, interval = row.at
            at = "never, up to its most"
            if row.crossings:
                at = human_count(mean, unit) + (f" ± {human_count(interval, unit)}" if interval == interval else "")
                at += "" if row.crossings == row.pairs else f" in {row.crossings} of {row.pairs} pairs, else never"
            label = row_label(row.row, choices)
            value = human_metric(measure, row.measure)
            lines.append(f"| {label} | {human_count(row.cost, unit)} | {value} | {difference} | {at} |")
        lines.append("")
    lines.append(
        "Between two measured points the curve is taken as a straight line, for each seed and order of classes its own;"
        " ± is the half-width of the 95 % interval over these (Student t)."
    )
    return lines, []


def widens(part: Part) -> Made:
    """Whether an option of streams widens the difference between each row and a strategy at the row's depth."""
    strategy, option = part.show["strategy"], part.show["option"]
    lines = heading(part, f"Does {option} widen the difference from {strategy}?")
    choices = distinguishing(summarise(part.runs))
    for measure in part.show.get("measures", ["acc", "forgetting"]):
        groups = [rows for _, rows in part.runs.groupby(_pretrained(part.runs))]
        found = [one for rows in groups for one in widenings(rows, strategy, option, measure)]
        if not found:
            lines += [f"{measure}: no row and {strategy} have complete runs with {option} and without it.", ""]
            continue
        unit = difference_unit(measure) if measure in METRICS else COSTS[measure].unit or "count"
        lines += [
            f"| {measure.replace('_', ' ')} minus that of {strategy} at the same depth ({unit}) | with {option} |"
            " without | with minus without | pairs |",
            "| :--- | ---: | ---: | ---: | ---: |",
        ]
        for one in found:
            cells = [_amount(measure, value) for value in (one.with_option, one.without)]
            mean, interval = one.widened
            span = "" if interval != interval else f" ± {_amount(measure, interval).lstrip('+')}"
            label = row_label(one.row, choices)
            lines.append(f"| {label} | {' | '.join(cells)} | {_amount(measure, mean)}{span} | {one.pairs} |")
        lines.append("")
    lines.append("± is the half-width of the 95 % interval over pairs of seed and order of classes (Student t).")
    return lines, []
