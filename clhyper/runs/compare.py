"""Two strategies compared over the seeds and class orders that they share."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clhyper.errors import UserError, require, unknown
from clhyper.runs.columns import COSTS, METRICS, REPETITION, SETTING
from clhyper.runs.comparable import caveats_of, differing, is_measured
from clhyper.runs.naming import configurations, listed, plain_cell, setting_of, titles

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LEVEL = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A 95 % interval of the mean difference."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Differences a - b of a measure over pairs of runs with one seed and one order of classes.

    `a`, `b`: what was compared, as `strategy k=depth`, with the options that tell them apart where these don't.
    `values_a`, `values_b`: the pairs' numbers, fractions or the cost's unit, in the order of `pairs`. `t`: Student's
    interval; `bootstrap`: percentile interval of 10 000 resampled means, seeded, too narrow for few pairs; where all
    pairs differ by the same amount, a counted cost's are that amount and others' None. `t_p`, `wilcoxon_p`: two-sided p
    of the paired t test and of Wilcoxon's signed-rank test, exact up to 12 pairs; `smallest_p` is the least that
    Wilcoxon's can be. Each is None where the pairs don't allow it. `higher`, `lower`, `equal`: pairs in which a is.
    `only_a`, `only_b`: seeds whose number one alone has. `differ`: options of training that all strategies have, front,
    device and engine, where they differ, as (name, a's, b's). `caveats`: why what was measured may mislead.
    """

    metric: str
    a: str
    b: str
    setting: dict[str, Any]
    pairs: list[str]
    values_a: list[float]
    values_b: list[float]
    difference: float
    t: Interval | None
    bootstrap: Interval | None
    t_p: float | None
    wilcoxon_p: float | None
    smallest_p: float | None
    higher: int
    lower: int
    equal: int
    only_a: list[str]
    only_b: list[str]
    differ: list[tuple[str, str, str]]
    caveats: list[str]


def compare(runs: "pd.DataFrame", a: str, b: str, metric: str = "acc") -> Comparison:
    """Compares two strategies of `load`'s frame, named `STRATEGY[@DEPTH][,NAME=VALUE...]`.

    `latent-replay@2,beta=0.1`: the depth and what the columns and `variant` of the frame say choose among several.
    `metric`: one of `METRICS` or `COSTS`.

    Raises:
        UserError: a name that fits no complete run or several configurations, no seed in common, nothing measured, or a
            cost that compares within one engine only.
    """
    if metric not in (*METRICS, *COSTS):
        raise unknown("metric", metric, (*METRICS, *COSTS))
    groups_a, groups_b = configurations(runs, a), configurations(runs, b)
    alike = [(one, two) for one in groups_a for two in groups_b if setting_of(one) == setting_of(two)]
    require(bool(alike), f"{a} and {b} have no stream in common: {listed(groups_a)} and {listed(groups_b)}")
    if len(alike) > 1:
        of_a, of_b = ({group.index[0]: group for group in side}.values() for side in zip(*alike, strict=True))
        name, several = (a, of_a) if len(of_a) > 1 else (b, of_b)
        raise UserError(f"{name} is not one configuration but {len(several)}; name one: {listed(several)}")
    rows_a, rows_b = alike[0]
    require(rows_a.index[0] != rows_b.index[0], f"{a} and {b} are the same runs; name two different ones")
    return compare_rows(rows_a, rows_b, a, b, metric)


def compare_rows(rows_a: "pd.DataFrame", rows_b: "pd.DataFrame", a: str, b: str, metric: str = "acc") -> Comparison:
    """Compares the complete runs of two configurations in one setting, which errors call `a` and `b`; see `compare`."""
    import pandas as pd

    measured_a, measured_b = _by_pair(rows_a, metric), _by_pair(rows_b, metric)
    for name, rows, measured in ((a, rows_a, measured_a), (b, rows_b, measured_b)):
        require(len(measured) > 0, f"{metric}: no complete run of {name} has it ({len(rows)} complete)")
    shared = measured_a.index.intersection(measured_b.index).sort_values()
    only_a, only_b = (_seeds(one.index.difference(other.index)) for one, other in _both_ways(measured_a, measured_b))
    require(
        len(shared) > 0,
        f"{a} and {b} share no seed: {a} has {', '.join(only_a)}, {b} has {', '.join(only_b)}",
    )
    paired_a, paired_b = measured_a[shared].to_numpy(dtype=float), measured_b[shared].to_numpy(dtype=float)
    used = [rows[_is_in(rows, shared)] for rows in (rows_a, rows_b)]
    data = {str(value) for rows in used for value in rows["data"].dropna()}
    require(len(data) < 2, f"{a} and {b} were run on different data under one name: compare runs of the same data")
    engines = [plain_cell(rows.iloc[0]["engine"]) for rows in (rows_a, rows_b)]
    require(
        engines[0] == engines[1] or not is_measured(metric),
        f"{metric}: {a} ran on engine {engines[0]} and {b} on {engines[1]}, and it compares within one engine only: run"
        " both with the same --engine",
    )
    names = titles(rows_a.iloc[0], rows_b.iloc[0])
    return Comparison(
        metric=metric,
        a=names[0],
        b=names[1],
        setting={name: plain_cell(rows_a.iloc[0][name]) for name in SETTING},
        pairs=_seeds(shared),
        values_a=paired_a.tolist(),
        values_b=paired_b.tolist(),
        **_statistics(paired_a, paired_b, metric in COSTS and not is_measured(metric)),
        only_a=only_a,
        only_b=only_b,
        differ=differing(*used),
        caveats=caveats_of(metric, pd.concat(used)),
    )


def _by_pair(rows: "pd.DataFrame", metric: str) -> "pd.Series":
    """The measure by (seed, order); runs of one pair count once, with their mean."""
    return rows[rows[metric].notna()].groupby(list(REPETITION))[metric].mean()


def _is_in(rows: "pd.DataFrame", pairs: "pd.Index") -> "pd.Series":
    import pandas as pd

    return pd.Series([pair in pairs for pair in zip(rows["seed"], rows["order"], strict=True)], index=rows.index)


def _both_ways(one: Any, other: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    return (one, other), (other, one)


def _seeds(pairs: "pd.Index") -> list[str]:
    """Pairs in words: `seed 3`, with the order of classes where it isn't the data set's own."""
    return [f"seed {seed}{f' {order}' if order else ''}" for seed, order in pairs]


def signed_rank(differences: "np.ndarray") -> float:
    """Two-sided p of Wilcoxon's signed-rank test, exact up to 12 differences that aren't 0; 1 where all are."""
    import numpy as np
    from scipy import stats

    moved = differences[differences != 0]
    if len(moved) < 2:
        return 1.0  # one difference is as likely above zero as below
    method: Any = stats.PermutationMethod(n_resamples=np.inf) if len(moved) <= 12 else "auto"
    return float(stats.wilcoxon(moved, method=method).pvalue)


def _statistics(a: "np.ndarray", b: "np.ndarray", counted: bool) -> dict[str, Any]:
    import numpy as np
    from scipy import stats

    size = max(np.abs(a).max(), np.abs(b).max())
    # What is left of rounding is no difference, and two differences that it alone tells apart are a tie.
    differences = np.round(a - b, 12 - math.ceil(math.log10(size))) if size else a - b
    n, mean = len(differences), float(differences.mean())
    found: dict[str, Any] = {
        "difference": mean,
        "higher": int((differences > 0).sum()),
        "lower": int((differences < 0).sum()),
        "equal": int((differences == 0).sum()),
        **dict.fromkeys(("t", "bootstrap", "t_p", "wilcoxon_p", "smallest_p")),
    }
    if n < 2:
        return found
    if moved := int((differences != 0).sum()):
        found["wilcoxon_p"] = signed_rank(differences)
        found["smallest_p"] = 2.0 ** (1 - moved)
    if np.ptp(differences) == 0:
        single = Interval(mean, mean) if counted else None
        return found | {"t": single, "bootstrap": single}
    test = stats.ttest_1samp(differences, 0.0)
    interval = test.confidence_interval(LEVEL)
    random = np.random.default_rng(0)
    means = stats.bootstrap(
        (differences,), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile", rng=random
    ).confidence_interval
    return found | {
        "t": Interval(float(interval.low), float(interval.high)),
        "bootstrap": Interval(float(means.low), float(means.high)),
        "t_p": float(test.pvalue),
    }
