"""Which configurations have the best measure for their cost, and how surely, over repetitions."""

from typing import TYPE_CHECKING, Any

from clhyper.errors import UserError, require, unknown
from clhyper.measures import LESS_IS_BETTER, measure_of
from clhyper.runs.columns import CONFIGURATION, COSTS, METRICS, REPETITION, SETTING
from clhyper.runs.comparable import caveats_of, is_measured, kinds

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

RESAMPLES = 4000
_DIGITS = 12
"""Beyond them a difference is what is left of rounding."""
_AT_ONCE = 500
"""Resamples that are worked on at once, to bound memory."""


def pareto(
    runs: "pd.DataFrame",
    metric: str = "forgetting",
    cost: str = "train_macs",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> "pd.DataFrame":
    """One row a configuration of `load`'s complete runs that has both numbers; a front for each setting.

    Columns: those of `CONFIGURATION`; `seeds`, the repetitions (of seed and class order) that have both; `metric`, a
    fraction or bits, and `cost`, in its unit: means over repetitions, with their 95 % Student t intervals `metric_low`,
    `metric_high`, `cost_low` and `cost_high` (NaN of one repetition); `on_front`: no other configuration of the setting
    has a better mean measure for at most the same mean cost, or as good a one for less; `probability` of that, over
    resamples, and `note`, why it has none. `frame.attrs["caveats"]`: why measured costs may mislead.

    What is resampled are repetitions, by the Bayesian bootstrap (Rubin 1981): each pair of seed and class order gets a
    random weight, the same for all configurations that have it, so that shared pairs vary together. Deviations are
    widened to the unbiased variance of a mean, without which few repetitions look too sure (Hesterberg 2015). A
    configuration with one repetition can't be resampled: it keeps its numbers and has no probability. What has no
    forgetting learns all experiences at once and can't be on a front of learners of a stream.

    Raises:
        UserError: an unknown name, fewer than 2000 resamples, no run with both numbers, or a measured cost of several
            devices, machines or engines in one setting.
    """
    import pandas as pd

    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    if cost not in COSTS:
        raise unknown("cost", cost, COSTS)
    require(resamples >= 2000, f"resamples {resamples}: at least 2000, so that probabilities are known to 0.02")
    complete = runs[runs["status"] == "complete"]
    for name in (metric, cost):
        require(bool(complete[name].notna().any()), f"{name}: no complete run has it")
    both = complete[complete[metric].notna() & complete[cost].notna()]
    require(len(both) > 0, f"no complete run has both {metric} and {cost}")
    parts, caveats = [], []
    for _, rows in both.groupby(list(SETTING), dropna=False):
        _check_measured(cost, rows)
        caveats += caveats_of(cost, rows)
        parts.append(_front(rows, metric, cost, resamples, seed))
    found = pd.concat(parts, ignore_index=True)
    found.attrs |= {"caveats": list(dict.fromkeys(caveats))}
    return found


def non_dominated(costs: "np.ndarray", losses: "np.ndarray") -> "np.ndarray":
    """Which points of each row no other of the row beats; both arguments and the answer: (rows, points).

    A point is beaten by one that is nowhere larger and somewhere smaller; equal points are kept together. Points with
    a NaN coordinate neither beat nor stay.
    """
    import numpy as np

    known = ~(np.isnan(costs) | np.isnan(losses))
    x, y = np.where(known, costs, np.inf), np.where(known, losses, np.inf)
    order = np.lexsort((y, x), axis=-1)
    x, y = np.take_along_axis(x, order, -1), np.take_along_axis(y, order, -1)
    least = np.minimum.accumulate(y, axis=-1)
    stays = np.ones(x.shape, dtype=bool)
    stays[:, 1:] = y[:, 1:] < least[:, :-1]
    fresh = np.ones(x.shape, dtype=bool)
    fresh[:, 1:] = (x[:, 1:] != x[:, :-1]) | (y[:, 1:] != y[:, :-1])
    leader = np.maximum.accumulate(np.where(fresh, np.arange(x.shape[-1]), 0), axis=-1)
    found = np.empty(x.shape, dtype=bool)
    np.put_along_axis(found, order, np.take_along_axis(stays, leader, -1), -1)
    return found & known


def _check_measured(cost: str, rows: "pd.DataFrame") -> None:
    for name in ("device", "machine", "engine"):
        known = kinds(rows, name)
        if is_measured(cost) and len(known) > 1:
            raise UserError(
                f"cost {cost!r}: was measured on different {name}s ({', '.join(known)}), which can't be compared: give"
                f" the runs of one {name}"
            )


def _front(rows: "pd.DataFrame", metric: str, cost: str, resamples: int, seed: int) -> "pd.DataFrame":
    """The rows of one setting."""
    import numpy as np

    rows = rows.assign(configuration=rows.groupby(list(CONFIGURATION), dropna=False, sort=True).ngroup())
    first = rows.drop_duplicates("configuration").sort_values("configuration")
    forgetting = measure_of(metric).metrics[1]
    by_pair = rows.groupby([*REPETITION, "configuration"])[list({metric, cost, forgetting})].mean().unstack()
    values, costs = by_pair[metric].to_numpy(), by_pair[cost].to_numpy()  # (pairs, configurations)
    found = first[list(CONFIGURATION)].reset_index(drop=True)
    found["seeds"] = (~np.isnan(values)).sum(axis=0)
    for name, numbers in (("metric", values), ("cost", costs)):
        middle, half = _mean_and_interval(numbers)
        found[name], found[f"{name}_low"], found[f"{name}_high"] = middle, middle - half, middle + half
    of_stream = by_pair[forgetting].notna().any(axis=0).to_numpy()
    of_stream = of_stream | ~of_stream.any()
    several = (found["seeds"] > 1).to_numpy()
    sign = 1 if metric in LESS_IS_BETTER else -1
    points = np.where(of_stream, found["cost"], np.nan), np.where(of_stream, sign * found["metric"], np.nan)
    found["on_front"] = non_dominated(_rounded(points[0])[None], _rounded(points[1])[None])[0]
    shares = _shares(costs[:, of_stream], sign * values[:, of_stream], resamples, seed)
    probability = np.full(len(found), np.nan)
    probability[of_stream] = shares
    found["probability"] = np.where(several, probability, np.nan)
    once = np.where(several, "", "one repetition: can't be resampled")
    found["note"] = np.where(of_stream, once, "no forgetting: learns all experiences at once")
    return found


def _shares(costs: "np.ndarray", losses: "np.ndarray", resamples: int, seed: int) -> "np.ndarray":
    """The share of resamples in which each configuration is on the front; numbers: (pairs, configurations)."""
    import numpy as np

    random = np.random.default_rng(seed)
    has = (~np.isnan(losses)).astype(float)
    count = has.sum(axis=0)
    widening = np.sqrt((count + 1) / np.maximum(count - 1, 1))
    on_front = np.zeros(losses.shape[1])
    for start in range(0, resamples, _AT_ONCE):
        weights = random.exponential(size=(min(_AT_ONCE, resamples - start), len(has)))
        total = weights @ has
        moved = []
        for numbers in (costs, losses):
            middle = _mean(numbers)
            deviations = np.where(has > 0, numbers - middle, 0.0)
            # What every repetition has alike, such as a counted cost, must stay equal to what others have.
            deviations[:, np.ptp(np.where(has > 0, numbers, middle), axis=0) == 0] = 0.0
            moved.append(_rounded(middle + widening * (weights @ deviations) / total))
        on_front += non_dominated(*moved).sum(axis=0)
    return on_front / resamples


def _mean(numbers: "np.ndarray") -> "np.ndarray":
    """The mean of each column, which is that of all its numbers if they are equal."""
    import numpy as np

    low = np.nanmin(numbers, axis=0)
    return low + np.nanmean(numbers - low, axis=0)


def _mean_and_interval(numbers: "np.ndarray") -> tuple[Any, Any]:
    """The mean of each column and the half-width of its 95 % Student t interval, NaN of one number."""
    import numpy as np
    from scipy.special import stdtrit

    count = (~np.isnan(numbers)).sum(axis=0)
    middle = _mean(numbers)
    squares = np.nansum((numbers - middle) ** 2, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = stdtrit(count - 1, 0.975) * np.sqrt(squares / (count - 1) / count)
    return middle, np.where(count > 1, half, np.nan)


def _rounded(numbers: "np.ndarray") -> "np.ndarray":
    """Numbers to as many digits as mean something, counted from the largest of their column's first."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.floor(np.log10(np.nanmax(np.abs(numbers), initial=0.0)))
    scale = 10.0 ** (_DIGITS - size) if np.isfinite(size) else 1.0
    return np.round(numbers * scale) / scale
