"""Runs of one configuration brought together over their seeds: means, intervals, failures, order."""

import functools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from clhyper.figures.units import COSTS
from clhyper.measures import ACCURACY, BITS, Measure
from clhyper.runs.columns import CHOICES, CONFIGURATION, INFERRED, REPETITION, SETTING
from clhyper.runs.results import without_option

FRACTIONS = ("acc", "forgetting", "learning_accuracy", "bwt", "fwt", *INFERRED)
METRICS = (*FRACTIONS, *BITS.metrics)
MEASURES = (*METRICS, *COSTS)

BOUNDS = ("naive", "separate", "joint")
"""Listed last and drawn in grey: a reader meets the methods first, then what they lie between."""

BY_NUMBER = "by number"
"""The class order that a stream has unless another is asked for."""

NOTE_LENGTH = 160
_OF_FRONT = ("variant", "front_norm", "front")
"""Columns that say which front a run has; a variant says it of the option."""
_NUMBER = re.compile(r"(?<![\d.])\d+")
"""A whole number in a text, or the whole part of one: `buffer_size=200` is listed before `buffer_size=1000`."""


def mean_and_interval(values: Iterable[float]) -> tuple[float, float]:
    """The mean and the half-width of its 95 % Student t interval; NaN values are left out.

    The interval of fewer than two values is NaN, and so is the mean of none.
    """
    known = [number for number in map(float, values) if not math.isnan(number)]
    if not known:
        return math.nan, math.nan
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return mean, math.nan
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
    return mean, _quantile(len(known)) * deviation / math.sqrt(len(known))


@functools.cache
def _quantile(size: int) -> float:
    """Of Student's t for a two-sided 95 % interval of the mean of so many values."""
    return float(stdtrit(size - 1, 0.975))


def family_order(families: Iterable[str]) -> list[str]:
    """Methods by name, then the bounds they lie between; a family never heard of is a method like any other."""
    return sorted(set(families), key=lambda name: (BOUNDS.index(name) + 1 if name in BOUNDS else 0, name))


def identified(runs: pd.DataFrame) -> pd.DataFrame:
    """A copy of `runs` with a column `configuration`: equal numbers are repetitions of one configuration.

    An unfinished run may not know all of its configuration (its device, say): what it doesn't know it takes from the
    other runs of its strategy and depth, then of its benchmark, where these agree.
    """
    runs = runs.copy().reset_index(drop=True)
    runs["family"] = runs["family"].where(runs["family"].notna(), runs["strategy"])
    runs["variant"] = runs["variant"].where(runs["variant"].notna(), "")
    for among, columns in (
        (["benchmark", "strategy", "freeze_depth"], (*SETTING[1:], *CHOICES)),
        (["benchmark"], SETTING[1:]),
    ):
        for column in columns:
            lacking = (runs["status"] != "complete") & runs[column].isna()
            if lacking.any():
                agreed = runs.groupby(among, dropna=False)[column].transform(_only_value)
                runs[column] = runs[column].where(~lacking, agreed)
    runs["configuration"] = runs.groupby(list(CONFIGURATION), dropna=False, sort=False).ngroup()
    return runs


def with_depth_zero(runs: pd.DataFrame, but: Sequence[str] = ()) -> pd.DataFrame:
    """`runs` with those of freeze depth 0, which have no front, once for each front of the deeper runs of their kind.

    Of their kind are runs of one family that differ in depth and front alone, or in columns named in `but`. Runs of
    depth 0 without such deeper ones stay as they are.
    """
    kind = [*SETTING, "family", *(name for name in CHOICES if name not in (*_OF_FRONT, *but))]
    variants = runs["variant"].fillna("")
    for option in ("front", "front_norm"):
        variants = pd.Series(without_option(variants, option), index=runs.index)
    parts = []
    for _, rows in runs.groupby([*(runs[name] for name in kind), variants], dropna=False, sort=False):
        is_zero = rows["freeze_depth"].eq(0).fillna(False).astype(bool)
        fronts = rows.loc[~is_zero & rows["freeze_depth"].notna(), list(_OF_FRONT)].drop_duplicates()
        begun = [rows[is_zero].assign(**front) for front in fronts.to_dict("records")] if is_zero.any() else []
        parts += [*begun, rows[~is_zero]] if begun else [rows]
    return pd.concat(parts, ignore_index=True) if parts else runs


def _only_value(values: pd.Series) -> Any:
    known = values.dropna().unique()
    return known[0] if len(known) == 1 else None


def configuration_keys(rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Each row's values of `CONFIGURATION`, with None for what it doesn't have."""
    cells = rows[[*CONFIGURATION]].astype(object)
    return list(cells.where(cells.notna(), None).itertuples(index=False, name=None))


def summarise(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a configuration, over its repetitions: by setting, then family (`family_order`), freeze depth, choices.

    Columns: those of `CONFIGURATION`; `orders`, its class orders in words; `seeds`, the complete repetitions (of seed
    and class order); `failed` and `interrupted`, counts of runs; `note`, what happened to those, in at most 160
    characters; `fewest_at_once` and `runs_at_once`, how many runs shared the machine in the complete run that had the
    fewest beside it and in the one that had the most; and for each of `MEASURES` its mean over
    complete runs and `<measure>_interval`, the half-width of the 95 % Student t interval (NaN for a single
    repetition). Units are those of `runs`: fractions, bits, MACs, seconds, milliseconds, bytes, counts. A repetition
    run twice counts once, with its mean. `configuration` numbers the rows as `identified(runs)` does.
    """
    identity = ("configuration", *CONFIGURATION)
    spread = [f"{measure}{suffix}" for measure in MEASURES for suffix in ("", "_interval")]
    columns = [*identity, "orders", "seeds", "failed", "interrupted", "fewest_at_once", "runs_at_once", "note", *spread]
    runs = identified(runs)
    runs = runs.assign(**dict.fromkeys(set(BITS.metrics) - set(runs), math.nan))
    numbers = runs.assign(**{name: pd.to_numeric(runs[name]) for name in MEASURES})[runs["status"] == "complete"]
    by_seed = numbers.groupby(["configuration", *REPETITION], dropna=False)[list(MEASURES)].mean()
    first = runs.drop_duplicates("configuration").sort_values("configuration")
    numbers_of = first["configuration"].tolist()
    cells: dict[str, list[Any]] = {name: first[name].tolist() for name in identity}
    cells["orders"] = _orders(runs)
    spans = _spans(by_seed.index.get_level_values(0).to_numpy(), numbers_of)
    cells["seeds"] = [end - start for start, end in spans]
    for state in ("failed", "interrupted"):
        counts = runs.loc[runs["status"] == state, "configuration"].value_counts()
        cells[state] = counts.reindex(numbers_of, fill_value=0).tolist()
    at_once = (
        runs["runs_at_once"].where(runs["status"] == "complete")
        if "runs_at_once" in runs
        else pd.Series(np.nan, runs.index)
    )
    shared = pd.to_numeric(at_once).groupby(runs["configuration"])
    cells["fewest_at_once"], cells["runs_at_once"] = shared.min().tolist(), shared.max().tolist()
    unfinished = runs[runs["status"].isin(["failed", "interrupted"])].groupby("configuration")
    notes = {number: _note(group) for number, group in unfinished}
    cells["note"] = [notes.get(number, "") for number in numbers_of]
    for measure in MEASURES:
        values = by_seed[measure].to_numpy()
        found = [mean_and_interval(values[start:end].tolist()) for start, end in spans]
        cells[measure], cells[f"{measure}_interval"] = map(list, zip(*found, strict=True)) if found else ([], [])
    summary = pd.DataFrame(cells, columns=columns)
    summary["freeze_depth"] = summary["freeze_depth"].astype("Int64")
    rank = {family: index for index, family in enumerate(family_order(summary["family"]))}
    order = summary.assign(family=summary["family"].map(rank))
    keys = [*SETTING, "family", "freeze_depth", "strategy", *CHOICES]
    for name in ("strategy", *CHOICES):
        order[name] = [_NUMBER.sub(lambda number: number[0].zfill(12), str(value)) for value in order[name]]
    return summary.loc[order.sort_values(keys, kind="stable").index].reset_index(drop=True)


def _orders(runs: pd.DataFrame) -> list[str]:
    """The class orders of each configuration's complete runs in words; of all its runs where none is complete."""
    complete: dict[int, set[str]] = {}
    every: dict[int, set[str]] = {}
    for number, order, status in zip(runs["configuration"], runs["order"], runs["status"], strict=True):
        every.setdefault(number, set()).add(order)
        if status == "complete":
            complete.setdefault(number, set()).add(order)
    found = [complete.get(number, every[number]) for number in sorted(every)]
    return [" and ".join(order or BY_NUMBER for order in sorted(orders)) for orders in found]


def _spans(numbers: np.ndarray, wanted: Sequence[int]) -> list[tuple[int, int]]:
    """Where each of the `wanted` begins and ends in sorted `numbers`."""
    starts, ends = (np.searchsorted(numbers, wanted, side) for side in ("left", "right"))
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def repetitions(summary: pd.DataFrame) -> tuple[str, str]:
    """What means are over, as one and as several: pairs of seed and class order if a row has several orders."""
    several = summary["orders"].str.contains(" and ", regex=False).any()
    return ("pair of seed and class order", "pairs of seed and class order") if several else ("seed", "seeds")


def sharing(summary: pd.DataFrame) -> str | None:
    """A remark where seconds were measured with several runs on one machine, which lengthens them.

    It says the least and the most that any of the summary's runs shared the machine with, itself included.
    """
    least, most = summary["fewest_at_once"].min(), summary["runs_at_once"].max()
    if pd.isna(most) or most <= 1:
        return None
    return f"seconds with {f'{least:.0f} to ' if least < most else ''}{most:.0f} runs at once on the machine"


def sharing_of(cost: str, summary: pd.DataFrame) -> str | None:
    """The remark of `sharing` as a sentence where it concerns a cost of `COSTS`: a time, or an energy; else None."""
    remark = sharing(summary) if cost in COSTS and COSTS[cost].measured and COSTS[cost].unit != "B" else None
    return f"{remark[0].upper()}{remark[1:]}, so that they don't compare." if remark else None


def _note(group: pd.DataFrame) -> str:
    """Failures by reason, then interruptions, each with its seeds."""
    failed = group[group["status"] == "failed"]
    reasons = failed["reason"].where(failed["reason"].notna(), "no reason recorded")
    parts = [f"failed (seed {_seeds(same)}): {' '.join(str(why).split())}" for why, same in failed.groupby(reasons)]
    if (group["status"] == "interrupted").any():
        parts.append(f"interrupted (seed {_seeds(group[group['status'] == 'interrupted'])})")
    text = "; ".join(parts)
    return text if len(text) <= NOTE_LENGTH else text[: NOTE_LENGTH - 1].rstrip() + "…"


def _seeds(runs: pd.DataFrame) -> str:
    return ", ".join(str(seed) for seed in sorted(runs["seed"].unique()))


@dataclass(frozen=True)
class Setting:
    """Runs whose accuracies may be compared. `title` says in words what they share; `prefix` is for file names."""

    title: str
    prefix: str
    rows: pd.DataFrame


def setting_title(setting: Mapping[str, Any] | pd.Series) -> str:
    """The values of `SETTING` in words."""
    said = {name: setting[name] for name in SETTING if not pd.isna(setting[name]) and setting[name] != ""}
    forms = {"experiences": "{:.0f} experiences", "evaluated_on": "{} images"}
    order = ("benchmark", "experiences", "backbone", "evaluated_on", "stream")
    return ", ".join(forms.get(name, "{}").format(said[name]) for name in order if name in said)


def settings(frame: pd.DataFrame) -> Iterator[Setting]:
    """Splits runs or their summary by `SETTING`; the prefix is no longer than it takes to tell the parts apart."""
    within = frame.groupby("benchmark")
    differing = ["benchmark"] if frame["benchmark"].nunique() > 1 else []
    differing += [name for name in SETTING[1:] if (within[name].nunique(dropna=False) > 1).any()]
    for _, rows in frame.groupby(list(SETTING), dropna=False):
        first = rows.iloc[0]
        parts = [re.sub(r"[^\w.]+", "-", str(first[name])).strip("-") for name in differing]
        prefix = "-".join(part for part in parts if part)
        yield Setting(setting_title(first), prefix + "-" if prefix else "", rows)


def measure_in(rows: pd.DataFrame) -> Measure:
    """What runs of one setting, or their summary, are measured by: bits where they have bits, else accuracy."""
    return BITS if BITS.metrics[0] in rows and rows[BITS.metrics[0]].notna().any() else ACCURACY


def distinguishing(summary: pd.DataFrame) -> list[str]:
    """Those of `CHOICES` that tell apart rows of `summary` with one setting, strategy and freeze depth."""
    alike = [*SETTING, "strategy", "freeze_depth"]
    counts = summary.groupby(alike, dropna=False)[list(CHOICES)].nunique(dropna=False)
    return [name for name in CHOICES if len(counts) and counts[name].max() > 1]


def choice_label(row: pd.Series, choices: Iterable[str]) -> str:
    """The `choices` of a row in words, with a comma before each: `, norm group`."""
    label = ""
    for name in choices:
        value = "none" if pd.isna(row[name]) else str(row[name])
        words = value if name == "variant" else f"{name.replace('_', ' ')} {value}"
        label += f", {words}" if words else ""
    return label
