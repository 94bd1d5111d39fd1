"""Strategies ranked over several streams: mean ranks, Friedman's test, Nemenyi's critical difference, Wilcoxon's tests.

Source: Demsar 2006, Statistical comparisons of classifiers over multiple data sets, JMLR 7.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from clhyper.errors import require, unknown
from clhyper.measures import LESS_IS_BETTER
from clhyper.runs.columns import CHOICES, METRICS, REPETITION, SETTING
from clhyper.runs.compare import signed_rank
from clhyper.runs.naming import plain_cell, title

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LEVEL = 0.95
_ENOUGH_STREAMS, _ENOUGH_RANKED = 10, 5
"""Beyond these numbers Friedman's statistic is distributed as its test assumes (Demsar 2006, section 3.2.2)."""
_DIGITS = 12
"""Beyond them a difference is what is left of rounding, and a tie."""


@dataclass(frozen=True)
class Ranking:
    """Configurations ranked by a metric within each stream, the best first.

    `means`: (configurations, streams), means over repetitions, fractions; `ranks`: likewise, from 1, the best; ties
    share their mean rank. `mean_ranks`: over streams, sorted. `friedman`, `friedman_p`: chi-squared and p of the
    hypothesis that all are equal, None where all tie in all streams. `critical_difference`: of mean ranks, by Nemenyi's
    test at 5 %. `alike`: the largest groups, each by its best and worst, within which no two differ by that much.
    `pairs`: a row a pair of configurations, with `streams_better` and `streams_worse` of the first, Wilcoxon's
    signed-rank `p` over streams, and `holm`, that p corrected for the number of pairs (Holm 1979). `left_out`: what is
    not in all streams, and why. `caveats`: what keeps the numbers from saying more.
    """

    metric: str
    means: "pd.DataFrame"
    ranks: "pd.DataFrame"
    mean_ranks: "pd.Series"
    friedman: float | None
    friedman_p: float | None
    critical_difference: float
    alike: list[tuple[str, str]]
    pairs: "pd.DataFrame"
    left_out: list[tuple[str, str]]
    caveats: list[str]


def rank(runs: "pd.DataFrame", metric: str = "acc") -> Ranking:
    """Ranks all configurations of `load`'s complete runs that occur in every stream.

    A stream is what has one `SETTING`. A configuration is a strategy at a freeze depth, with those of `CHOICES` in
    which runs of it differ within a stream: what differs between streams only, such as epochs, is part of the stream.

    Raises:
        UserError: an unknown metric, fewer than two streams, or fewer than three configurations in all of them.
    """
    import pandas as pd

    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    complete = runs[runs["status"] == "complete"]
    measured = complete[complete[metric].notna()]
    require(len(measured) > 0, f"{metric}: no complete run has it")
    streams = _streams(measured)
    count = streams.nunique()
    require(
        count >= 2,
        f"rank compares over streams, and there is one ({streams.iloc[0]}): give results of at least 2 streams",
    )
    names = _configurations(complete)
    repeated = pd.DataFrame(
        {"name": names[measured.index], "stream": streams, "value": measured[metric]}
        | {name: measured[name] for name in REPETITION}
    )
    by_pair = repeated.groupby(["name", "stream", *REPETITION])["value"].mean()
    table = by_pair.groupby(level=[0, 1]).mean().unstack()
    left_out = _left_out(table, names, metric)
    means = table.dropna()
    require(
        len(means) >= 3,
        f"rank needs at least 3 configurations that occur in all {count} streams, and there are {len(means)}"
        + (f"; left out: {', '.join(f'{name} ({why})' for name, why in left_out[:5])}" if left_out else ""),
    )
    return _ranked(means, metric, left_out, _differing(complete, names, means.index))


def critical_difference(ranked: int, streams: int) -> float:
    """The difference of two mean ranks that Nemenyi's test finds significant at 5 %, of so many ranked in so many."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(LEVEL, ranked, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(ranked * (ranked + 1) / (6 * streams))


def holm(values: "np.ndarray") -> "np.ndarray":
    """P values corrected for their number by Holm's method."""
    import numpy as np

    order = np.argsort(values)
    corrected = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    found = np.empty(len(values))
    found[order] = np.minimum(corrected, 1.0)
    return found


def _ranked(means: "pd.DataFrame", metric: str, left_out: list[tuple[str, str]], differing: list[str]) -> Ranking:
    from scipy import stats

    sign = 1 if metric in LESS_IS_BETTER else -1
    ranks = (sign * means).round(_DIGITS).rank(axis=0)
    order = ranks.mean(axis=1).sort_values(kind="stable").index
    means, ranks = means.loc[order], ranks.loc[order]
    mean_ranks = ranks.mean(axis=1)
    size, streams = means.shape
    statistic = None
    if (ranks.nunique() > 1).any():
        statistic = float(stats.friedmanchisquare(*ranks.to_numpy()).statistic)
    difference = critical_difference(size, streams)
    caveats = list(differing)
    if streams <= _ENOUGH_STREAMS or size <= _ENOUGH_RANKED:
        caveats.insert(
            0,
            f"{streams} streams and {size} configurations: Friedman's p and the critical difference are right for more"
            f" than about {_ENOUGH_STREAMS} and {_ENOUGH_RANKED}; take them as a hint",
        )
    pairs, smallest = size * (size - 1) // 2, 2.0 ** (1 - streams)
    if smallest * pairs > 1 - LEVEL:
        caveats.append(
            f"with {streams} streams Wilcoxon's p can't be below {smallest:.3g}, nor {min(smallest * pairs, 1):.3g}"
            f" once corrected for {pairs} pairs, so it can't tell any two apart"
        )
    return Ranking(
        metric=metric,
        means=means,
        ranks=ranks,
        mean_ranks=mean_ranks,
        friedman=statistic,
        friedman_p=None if statistic is None else float(stats.chi2.sf(statistic, size - 1)),
        critical_difference=difference,
        alike=_alike(mean_ranks, difference),
        pairs=_pairs(sign * means),
        left_out=left_out,
        caveats=caveats,
    )


def _alike(mean_ranks: "pd.Series", difference: float) -> list[tuple[str, str]]:
    """The largest groups of neighbours whose mean ranks differ by less than `difference`, by their ends."""
    names, values = list(mean_ranks.index), mean_ranks.to_numpy()
    found: list[tuple[int, int]] = []
    for start, value in enumerate(values):
        end = int((values < value + difference).sum()) - 1
        if end > start and (not found or end > found[-1][1]):
            found.append((start, end))
    return [(names[start], names[end]) for start, end in found]


def _pairs(losses: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    rows = []
    for one, other in combinations(losses.index, 2):
        differences = (losses.loc[one] - losses.loc[other]).round(_DIGITS).to_numpy()
        better, worse = int((differences < 0).sum()), int((differences > 0).sum())
        rows.append((one, other, better, worse, signed_rank(differences)))
    found = pd.DataFrame(rows, columns=["a", "b", "streams_better", "streams_worse", "p"])
    return found.assign(holm=holm(found["p"].to_numpy()))


def _streams(runs: "pd.DataFrame") -> "pd.Series":
    """Each run's stream in words: its benchmark, and as much of its setting and data as tells streams apart."""
    import pandas as pd

    forms = {"benchmark": "", "backbone": "", "experiences": " experiences", "evaluated_on": " images", "stream": ""}
    texts = pd.DataFrame({name: [_text(value) for value in runs[name]] for name in SETTING}, index=runs.index)
    within = texts.groupby("benchmark")
    told = ["benchmark", *(name for name in SETTING[1:] if (within[name].nunique() > 1).any())]
    data = pd.Series([_text(value)[:8] for value in runs["data"]], index=runs.index)
    several = data.groupby([texts[name] for name in SETTING]).transform("nunique") > 1
    return pd.Series(
        [
            ", ".join([f"{row[name]}{forms[name]}" for name in told if row[name]] + [f"data {found}"] * is_told)
            for row, found, is_told in zip(texts.to_dict("records"), data, several, strict=True)
        ],
        index=runs.index,
    )


def _configurations(runs: "pd.DataFrame") -> "pd.Series":
    """Each run's configuration in words: strategy and depth, and the choices that differ within one stream."""

    kind = ["strategy", "freeze_depth"]
    counts = runs.groupby([*SETTING, *kind], dropna=False)[list(CHOICES)].nunique(dropna=False)
    differing = (counts > 1).groupby(level=kind, dropna=False).any()
    tells = {
        tuple(map(_text, key)): row for key, row in zip(differing.index, differing.to_dict("records"), strict=True)
    }
    groups = runs.groupby([*kind, *CHOICES], dropna=False, sort=False).ngroup()
    words = {}
    for number, (_, row) in zip(dict.fromkeys(groups), runs.loc[~groups.duplicated()].iterrows(), strict=True):
        told = [
            _text(row[name]) if name == "variant" else f"{name.replace('_', ' ')} {_text(row[name]) or 'none'}"
            for name in CHOICES
            if tells[tuple(_text(row[one]) for one in kind)][name]
        ]
        words[number] = f"{title(row)} ({', '.join(filter(None, told))})" if any(told) else title(row)
    return groups.map(words)


def _left_out(table: "pd.DataFrame", names: "pd.Series", metric: str) -> list[tuple[str, str]]:
    found = []
    for name in dict.fromkeys(names.sort_values()):
        if name not in table.index:
            found.append((name, f"has no {metric}"))
        elif table.loc[name].isna().any():
            lacks = table.loc[name].isna()
            lacking, having = table.columns[lacks], table.columns[~lacks]
            few = len(lacking) <= len(having)
            found.append((name, f"{'not' if few else 'only'} on {'; '.join(lacking if few else having)}"))
    return found


def _differing(runs: "pd.DataFrame", names: "pd.Series", ranked: "pd.Index") -> list[str]:
    """What the ranked configurations were trained with that differs between streams, in words."""
    known = runs[names.isin(ranked)]
    found = []
    for name in ("norm", "front_norm", "epochs"):
        several = known.groupby(names[known.index])[name].unique()
        users = [f"{user} ({', '.join(map(_text, values))})" for user, values in several.items() if len(values) > 1]
        if users:
            more = f" and {len(users) - 3} more" if len(users) > 3 else ""
            found.append(f"{name.replace('_', ' ')} differs between streams: {', '.join(users[:3])}{more}")
    return found


def _text(value: object) -> str:
    value = plain_cell(value)
    return "" if value is None else str(value)
