"""What a study asks of its numbers beside means: a correlation, where a curve overtakes, what widens a difference."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from clhyper.figures.summary import choice_label, identified, mean_and_interval, setting_title, with_depth_zero
from clhyper.measures import LESS_IS_BETTER
from clhyper.runs.results import CHOICES, COSTS, SETTING, without_option

REPEATED = ("seed", "order")


def direction(measure: str) -> int:
    """-1 for what is better when smaller, forgetting, bits and every cost, and 1 for what is better when larger."""
    return -1 if measure in (*LESS_IS_BETTER, *COSTS) else 1


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of what freezing loses in a measure and a property of streams, with Fisher's 95 % interval.

    `label`: the configuration, by its family and what tells it apart from others of the family. `points`: a row a
    stream and class order, columns `x`, `lost` (mean over seeds, a fraction), `interval` (half-width of its 95 %
    interval), `seeds`, `source`, the data set, and `stream`, the stream and its order in words. `low`, `high` and `p`
    are None for fewer than 4 points, `r` and `rho` (Spearman's) for fewer than 3 or where all x or all losses are
    equal. `within`: r and the number of points of each data set that has an r.
    """

    label: str
    depth: int
    points: pd.DataFrame
    within: dict[str, tuple[float, int]]
    r: float | None
    low: float | None
    high: float | None
    p: float | None
    rho: float | None


def correlations(runs: pd.DataFrame, x: str, measure: str, depth: int) -> list[Correlation]:
    """For each configuration and each depth beyond `depth`: what freezing that much more loses, against streams' `x`.

    The loss is the measure at `depth` minus the measure at the greater depth, the other way round for what is better
    when smaller, of runs with the same stream, class order and seed. Streams are the points: seeds of one stream say
    nothing new about its x.
    """
    runs = runs[(runs["status"] == "complete") & runs[measure].notna() & runs["freeze_depth"].notna()]
    runs = runs[runs[x].notna()]
    runs = runs.assign(source=_sources(runs), variant=without_option(runs["variant"], "data"))
    executed = ("device", "engine")  # what executed the steps makes no other configuration of these
    choices = [name for name in CHOICES if name not in executed]
    if depth == 0:
        runs = with_depth_zero(runs, but=executed)
    streams = [*SETTING, "order", "source"]
    found = []
    for family, rows in runs.groupby("family"):
        rows = rows[rows["freeze_depth"] >= depth]
        differing = [name for name in choices if rows[name].nunique(dropna=False) > 1]
        for _, group in rows.groupby(choices, dropna=False):
            by_run = group.groupby([*streams, "seed", "freeze_depth"], dropna=False)[[measure, x]].mean().reset_index()
            base = by_run[by_run["freeze_depth"] == depth]
            label = f"{family}{choice_label(group.iloc[0], differing)}"
            for deeper in sorted(int(one) for one in by_run["freeze_depth"].unique() if one > depth):
                pairs = base.merge(by_run[by_run["freeze_depth"] == deeper], on=[*streams, "seed"])
                pairs["lost"] = direction(measure) * (pairs[f"{measure}_x"] - pairs[f"{measure}_y"])
                points = _points(pairs, streams, f"{x}_x")
                r_of = {str(source): (_pearson(rows)[0], len(rows)) for source, rows in points.groupby("source")}
                within = {source: (r, count) for source, (r, count) in r_of.items() if r is not None}
                found.append(Correlation(label, deeper, points, within, *_pearson(points)))
    return found


def _points(pairs: pd.DataFrame, streams: list[str], x: str) -> pd.DataFrame:
    rows = []
    for _, one in pairs.groupby(streams, dropna=False):
        lost, interval = mean_and_interval(one["lost"])
        first = one.iloc[0]
        stream = ", ".join(text for text in (setting_title(first), first["order"]) if text)
        said = {"source": first["source"], "stream": stream}
        rows.append({"x": one[x].mean(), "lost": lost, "interval": interval, "seeds": len(one), **said})
    columns = ["x", "lost", "interval", "seeds", "source", "stream"]
    return pd.DataFrame(rows, columns=columns).sort_values("x", kind="stable")


def _sources(runs: pd.DataFrame) -> pd.Series:
    """What each run's data set is called: the study's names of its streams, or the benchmark."""
    names = runs["study_stream" if "study_stream" in runs else "benchmark"].astype(str)
    same = [name for name in ("benchmark", "data") if name in runs]
    return names.groupby([runs[name] for name in same], dropna=False).transform(lambda some: ", ".join(some.unique()))


def _pearson(points: pd.DataFrame) -> tuple[float | None, ...]:
    from scipy import stats

    x, y = points["x"].to_numpy(dtype=float), points["lost"].to_numpy(dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None, None, None, None, None
    test, rho = stats.pearsonr(x, y), float(stats.spearmanr(x, y).statistic)
    if len(x) < 4:
        return float(test.statistic), None, None, None, rho
    interval = test.confidence_interval(0.95)
    return float(test.statistic), float(interval.low), float(interval.high), float(test.pvalue), rho


@dataclass(frozen=True)
class Overtaking:
    """A configuration against a curve of others, such as replay with more and more stored.

    `difference`: mean over pairs of seed and order of the curve's measure minus the configuration's, at the
    configuration's cost, and the half-width of its 95 % interval. `outside`: "less" or "more" where that cost is below
    or above all of the curve, whose nearest end is then taken. `crossings`: in how many of `pairs` the curve overtakes,
    which is to be larger, or smaller in what is better when smaller; `at`: at which cost, mean and half-width.
    """

    row: pd.Series
    cost: float
    measure: float
    difference: tuple[float, float]
    outside: str
    crossings: int
    pairs: int
    at: tuple[float, float]


def overtakings(runs: pd.DataFrame, strategy: str, depth: int, cost: str, measure: str) -> list[Overtaking]:
    """Every other configuration of one setting's runs against the curve of a strategy at a depth over its costs.

    Between two measured costs the curve is a straight line (ours), for each seed and order of classes its own.
    """
    runs = identified(runs)
    runs = runs[(runs["status"] == "complete") & runs[measure].notna() & runs[cost].notna()]
    on_curve = ((runs["family"] == strategy) | (runs["strategy"] == strategy)) & (runs["freeze_depth"] == depth)
    on_curve = on_curve.fillna(False).astype(bool)
    curves = {
        pair: rows.groupby(cost)[measure].mean() for pair, rows in runs[on_curve].groupby(list(REPEATED), dropna=False)
    }
    return list(_overtakings(runs[~on_curve], curves, cost, measure))


def _overtakings(
    runs: pd.DataFrame, curves: dict[tuple[int, str], pd.Series], cost: str, measure: str
) -> Iterator[Overtaking]:
    for _, rows in runs.groupby("configuration"):
        numbers = rows.groupby(list(REPEATED), dropna=False)[[cost, measure]].mean()
        shared = [pair for pair in numbers.index if pair in curves]
        if not shared:
            continue
        differences, crossings = [], []
        outside = ""
        for pair in shared:
            curve, (budget, level) = curves[pair], numbers.loc[pair]
            x, y = curve.index.to_numpy(dtype=float), curve.to_numpy(dtype=float)
            differences.append(float(np.interp(budget, x, y)) - level)
            outside = "less" if budget < x[0] else "more" if budget > x[-1] else outside
            at = crossing(x, direction(measure) * y, direction(measure) * level)
            crossings += [] if at is None else [at]
        yield Overtaking(
            rows.iloc[0],
            float(numbers[cost].mean()),
            float(numbers[measure].mean()),
            mean_and_interval(differences),
            outside,
            len(crossings),
            len(shared),
            mean_and_interval(crossings) if crossings else (math.nan, math.nan),
        )


def crossing(x: np.ndarray, y: np.ndarray, level: float) -> float | None:
    """The first x on straight lines between points, sorted by x, at which y is at least `level`; None if never."""
    above = np.flatnonzero(y >= level)
    if not len(above):
        return None
    first = int(above[0])
    if first == 0:
        return float(x[0])
    share = (level - y[first - 1]) / (y[first] - y[first - 1])
    return float(x[first - 1] + share * (x[first] - x[first - 1]))


@dataclass(frozen=True)
class Widening:
    """How much further a configuration is from a strategy of its own depth on streams with an option than without it.

    `with_option`, `without`: mean over pairs of seed and order of the configuration's measure minus the strategy's, on
    either kind of stream; `widened`: mean of the first minus the second, pair by pair, and the half-width of its 95 %
    interval.
    """

    row: pd.Series
    with_option: float
    without: float
    widened: tuple[float, float]
    pairs: int


def _says_something(value: object) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return any(pd.notna(one) and one not in ("", "none", False) for one in values)


def widenings(runs: pd.DataFrame, strategy: str, option: str, measure: str) -> list[Widening]:
    """Every other configuration against a strategy at the same depth, on streams with and without an option.

    `option`: a column of `runs`, whose values say nothing where they are empty or `none`. What differs between the two
    kinds of stream alone, such as how hard they are, is in both and falls out.
    """
    if option not in runs:
        return []
    runs = identified(runs)
    runs = runs[(runs["status"] == "complete") & runs[measure].notna() & runs["freeze_depth"].notna()]
    runs = runs.assign(has=runs[option].map(_says_something))
    whole = ["family", "strategy", "freeze_depth", *CHOICES]
    pairs = list(REPEATED)
    is_reference = (runs["family"] == strategy) | (runs["strategy"] == strategy)
    references = runs[is_reference].groupby(["freeze_depth", "has", *pairs], dropna=False)[measure].mean()
    found = []
    for _, rows in runs[~is_reference].groupby(whole, dropna=False):
        gaps = rows.groupby(["freeze_depth", "has", *pairs], dropna=False)[measure].mean() - references
        table = gaps.dropna().unstack("has").dropna()
        if {True, False} <= set(table.columns) and len(table):
            widened = mean_and_interval(table[True] - table[False])
            having, lacking = (float(table[kind].mean()) for kind in (True, False))
            found.append(Widening(rows.iloc[0], having, lacking, widened, len(table)))
    return found
