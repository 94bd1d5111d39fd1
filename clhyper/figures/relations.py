"""What a study asks of its numbers beside means: a correlation, where a curve overtakes, what widens a difference."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from clhyper.figures.summary import identified, mean_and_interval
from clhyper.runs.results import CHOICES, SETTING

REPEATED = ("seed", "order")


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of a measure lost by freezing and a property of streams, with Fisher's 95 % interval.

    `points`: a row a stream and class order, columns `x`, `lost` (mean over seeds, a fraction), `interval` (half-width
    of its 95 % interval) and `seeds`. `low`, `high` and `p` are None for fewer than 4 points, `r` and `rho`
    (Spearman's) for fewer than 3 or where all x or all losses are equal.
    """

    family: str
    depth: int
    points: pd.DataFrame
    r: float | None
    low: float | None
    high: float | None
    p: float | None
    rho: float | None


def correlations(runs: pd.DataFrame, x: str, measure: str, depth: int) -> list[Correlation]:
    """For each strategy and each depth beyond `depth`: what freezing that much more loses, against the streams' `x`.

    The loss is the measure at `depth` minus the measure at the greater depth, of runs with the same stream, class order
    and seed. Streams are the points: seeds of one stream say nothing new about its x.
    """
    runs = runs[(runs["status"] == "complete") & runs[measure].notna() & runs["freeze_depth"].notna()]
    runs = runs[runs[x].notna()]
    streams = [*SETTING, "order"]
    found = []
    for family, rows in runs.groupby("family"):
        by_run = rows.groupby([*streams, "seed", "freeze_depth"], dropna=False)[[measure, x]].mean().reset_index()
        base = by_run[by_run["freeze_depth"] == depth]
        for deeper in sorted(int(one) for one in by_run["freeze_depth"].unique() if one > depth):
            pairs = base.merge(by_run[by_run["freeze_depth"] == deeper], on=[*streams, "seed"])
            pairs["lost"] = pairs[f"{measure}_x"] - pairs[f"{measure}_y"]
            points = []
            for _, one in pairs.groupby(streams, dropna=False):
                mean, interval = mean_and_interval(one["lost"])
                points.append({"x": one[f"{x}_x"].mean(), "lost": mean, "interval": interval, "seeds": len(one)})
            table = pd.DataFrame(points, columns=["x", "lost", "interval", "seeds"]).sort_values("x")
            found.append(Correlation(str(family), deeper, table, *_pearson(table)))
    return found


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
    or above all of the curve, whose nearest end is then taken. `crossings`: in how many of `pairs` the curve overtakes;
    `at`: at which cost, mean and half-width.
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
            at = crossing(x, y, level)
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


def widenings(runs: pd.DataFrame, strategy: str, option: str, measure: str) -> list[Widening]:
    """Every other configuration against a strategy at the same depth, on streams with and without an option.

    What differs between the two kinds of stream alone, such as how hard they are, is in both and falls out.
    """
    runs = identified(runs)
    runs = runs[(runs["status"] == "complete") & runs[measure].notna() & runs["freeze_depth"].notna()]
    runs = runs.assign(has=runs["stream"].str.contains(rf"(?:^|\s|,){option}="))
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
