"""The Pareto front of a measure and a cost: on screen, as CSV and Markdown, and as a figure."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from clhyper.figures.against_cost import check_cost, front_against_cost
from clhyper.figures.style import save
from clhyper.figures.summary import Setting, family_order, settings, summarise
from clhyper.figures.table import Column, identity_columns, markdown, narrowed, rich_table
from clhyper.figures.units import COSTS, human_count, human_fraction, human_metric, human_seconds, in_words
from clhyper.measures import measure_of
from clhyper.runs.columns import CONFIGURATION
from clhyper.runs.files import write

__all__ = ["show_front", "write_front"]


def show_front(front: pd.DataFrame, metric: str, cost: str, console: Console) -> None:
    """Prints one table a setting, what is most probably on the front first, and the caveats."""
    for setting in settings(front):
        columns, remarks = _columns(setting, metric, cost)
        console.print(Text(f"\n{setting.title}", style="bold"))
        columns, hidden = narrowed(columns, console)
        console.print(rich_table(columns))
        lines = ["; ".join(remarks), *([f"no room for: {', '.join(hidden)}"] if hidden else [])]
        console.print(Text("\n".join(lines), style="dim"))
    for caveat in front.attrs["caveats"]:
        console.print(Text(f"note: {caveat}"))


def write_front(runs: pd.DataFrame, front: pd.DataFrame, metric: str, cost: str, folder: Path) -> list[Path]:
    """Writes `pareto-<metric>-<cost>` as CSV (plain numbers, units in the header) and Markdown, and a figure a setting.

    Raises:
        UserError: a measured cost of several devices or engines.
        OSError: the folder can't be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"pareto-{metric}-{cost}".replace("_", "-")
    complete = runs[runs["status"] == "complete"]
    for setting in settings(summarise(complete)):
        check_cost(cost, setting.rows)
    files = [folder / f"{name}.csv", folder / f"{name}.md"]
    units = {"metric": "fraction", "cost": COSTS[cost].unit.replace("B", "bytes") or "count"}
    headers = {
        f"{part}{end}": f"{of}{end} [{units[part]}]"
        for part, of in (("metric", metric), ("cost", cost))
        for end in ("", "_low", "_high")
    }
    write(files[0], front.rename(columns=headers).to_csv(index=False).encode())
    lines = []
    for setting in settings(front):
        columns, remarks = _columns(setting, metric, cost)
        lines += [f"### {setting.title}", "", *markdown(columns), "", "; ".join(remarks) + ".", ""]
    lines += [f"Note: {caveat}." for caveat in front.attrs["caveats"]]
    write(files[1], "\n".join(lines).encode())
    for setting in settings(front):
        alike = _of_setting(complete, setting)
        figure = front_against_cost(alike, setting.rows, metric, cost)
        files += save(figure, folder / f"{setting.prefix}{name}")
    return files


def _of_setting(runs: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    return next(one.rows for one in settings(runs) if one.title == setting.title)


def _columns(setting: Setting, metric: str, cost: str) -> tuple[list[Column], list[str]]:
    """The table's columns, the surest on the front first, and what is to be said below."""
    rank = {family: place for place, family in enumerate(family_order(setting.rows["family"]))}
    order = setting.rows.assign(
        doubt=-setting.rows["probability"].fillna(-1), place=setting.rows["family"].map(rank)
    ).sort_values(["doubt", "on_front", "cost", "place"], ascending=[True, False, True, True], kind="stable")
    rows = setting.rows.loc[order.index]
    columns, shared = identity_columns(rows[[*CONFIGURATION]])
    half = rows["metric_high"] - rows["metric"]
    texts = [human_metric(metric, *pair) for pair in zip(rows["metric"], half, strict=True)]
    amount: Callable[[float], str] = lambda value: human_count(value, COSTS[cost].unit)  # noqa: E731
    amount = human_seconds if cost.endswith("_seconds") else amount
    columns += [
        Column("seeds", [str(count) for count in rows["seeds"]]),
        Column(f"{in_words(metric)} {measure_of(metric).unit}", texts),
        Column(COSTS[cost].label, [amount(value) for value in rows["cost"]]),
        Column("on front", ["yes" if is_on else "" for is_on in rows["on_front"]], numeric=False),
        Column("probability %", [human_fraction(value) for value in rows["probability"]]),
    ]
    if rows["note"].any():
        columns.append(Column("note", list(rows["note"]), numeric=False))
    said = [
        "on front: by the means, no other has a better measure for at most the same cost",
        "probability: that it is, over resampled repetitions (Bayesian bootstrap)",
    ]
    if rows["seeds"].max() > 1:
        said.append("mean ± half-width of the 95 % confidence interval (Student t)")
    if rows["seeds"].min() < 5:
        said.append("fewer than 5 repetitions say little of how others would vary")
    return columns, shared + said
