"""A paired comparison in words."""

import math

from clhyper.figures.summary import setting_title
from clhyper.figures.units import COSTS, difference_unit, human_count, human_metric, human_seconds
from clhyper.measures import measure_of
from clhyper.runs.compare import Comparison, Interval

__all__ = ["describe", "sentence"]

_WORDS = {
    "acc": ("is {} points more accurate than", "is {} points less accurate than", "final accuracy"),
    "forgetting": ("forgets {} points more than", "forgets {} points less than", "forgetting"),
    "bwt": ("has a backward transfer {} points above", "has a backward transfer {} points below", "backward transfer"),
    "fwt": ("has a forward transfer {} points above", "has a forward transfer {} points below", "forward transfer"),
    "learning_accuracy": (
        "learns each experience {} points better than", "learns each experience {} points worse than",
        "learning accuracy",
    ),
}  # fmt: skip
_WORDS |= {
    "bits": ("takes {} bits per character more than", "takes {} bits per character less than", "final bits"),
    "bits_forgetting": ("forgets {} bits more than", "forgets {} bits less than", "forgetting in bits"),
    "bits_bwt": ("has a backward transfer {} bits above", "has a backward transfer {} bits below", "backward transfer"),
    "bits_fwt": ("has a forward transfer {} bits above", "has a forward transfer {} bits below", "forward transfer"),
    "learning_bits": (
        "learns each experience to {} bits more than", "learns each experience to {} bits less than",
        "bits when learned",
    ),
}  # fmt: skip
_WORDS |= {
    f"{measure}_by_{method}": (
        f"{does} by {method} {{}} points better than",
        f"{does} by {method} {{}} points worse than",
        f"{subject} by {method}",
    )
    for measure, does, subject in (
        ("class_incremental_accuracy", "tells all classes apart", "class-incremental accuracy"),
        ("task_inference_accuracy", "infers the task", "task-inference accuracy"),
    )
    for method in ("entropy", "features")
}


def sentence(comparison: Comparison) -> str:
    """What the comparison means, in one sentence."""
    higher, lower, subject = _words(comparison.metric)
    a, b, difference, interval = comparison.a, comparison.b, comparison.difference, comparison.t
    pairs = _pairs(comparison)
    unit = f" {difference_unit(comparison.metric)}" if comparison.metric in _WORDS else ""
    size = _amount(comparison.metric, abs(difference))
    said = f"{a} {(higher if difference > 0 else lower).format(size)} {b}"
    if len(comparison.pairs) == 1:
        spread = "1 pair: no interval, so other seeds may say the opposite"
    elif interval is None:
        spread = f"the same in all {pairs}, which gives no interval"
    elif interval.low == interval.high:
        spread = f"exactly that in each of {pairs}"
    else:
        spread = f"95 % interval {_span(comparison.metric, interval)}, {pairs}"
    if difference == 0 or (interval and interval.low <= 0 <= interval.high):
        return (
            f"No difference in {subject} between {a} and {b} is shown: the mean difference is"
            f" {_amount(comparison.metric, difference)}{unit} ({spread})."
        )
    if interval is None or interval.low == interval.high:
        return f"{said} ({spread})."
    ends = sorted(abs(end) for end in (interval.low, interval.high))
    return f"{said} (95 % interval {_span(comparison.metric, Interval(*ends))}, {pairs})."


def describe(comparison: Comparison) -> list[str]:
    """The sentence, then every number behind it, a line each."""
    one = comparison
    unit = f" {difference_unit(one.metric)}" if one.metric in _WORDS else ""
    lines = [
        sentence(one),
        *(f"note: {caveat}" for caveat in one.caveats),
        "",
        f"{one.metric}, {one.a} minus {one.b}; {setting_title(one.setting)}",
        *(f"{name.replace('_', ' ')}: {first} and {second}" for name, first, second in one.differ),
        f"mean of {one.a}: {_mean(one.metric, one.values_a)}; of {one.b}: {_mean(one.metric, one.values_b)}",
        f"mean difference: {_amount(one.metric, one.difference)}{unit}",
    ]
    if one.t and one.t.low == one.t.high:
        lines.append("95 % interval: the difference itself, as each pair has exactly this one")
    elif one.t and one.bootstrap:
        lines.append(f"95 % interval, Student t: {_span(one.metric, one.t)}")
        narrow = " (too narrow for fewer than about 20 pairs)" if len(one.pairs) < 20 else ""
        lines.append(f"95 % interval, bootstrap: {_span(one.metric, one.bootstrap)}{narrow}")
    elif len(one.pairs) > 1:
        lines.append("95 % interval: none, as all pairs differ by the same amount and say nothing of how others vary")
    lacking = "none, as all pairs differ by the same amount" if len(one.pairs) > 1 else "needs 2 pairs"
    lines.append(f"paired t test: {lacking if one.t_p is None else f'p = {one.t_p:.3g}'}")
    if one.wilcoxon_p is None or one.smallest_p is None:
        lines.append(f"Wilcoxon signed-rank test: {'all pairs are equal' if len(one.pairs) > 1 else 'needs 2 pairs'}")
    else:
        least = f"; with {one.higher + one.lower} pairs it can't be below {one.smallest_p:.3g}"
        lines.append(f"Wilcoxon signed-rank test: p = {one.wilcoxon_p:.3g}{least if one.smallest_p > 0.01 else ''}")
    lines.append(f"signs: higher in {one.higher}, lower in {one.lower}, equal in {one.equal} of {len(one.pairs)} pairs")
    for name, seeds in ((one.a, one.only_a), (one.b, one.only_b)):
        if seeds:
            lines.append(f"only {name} has: {', '.join(seeds)}")
    return lines


def _words(metric: str) -> tuple[str, str, str]:
    if metric in _WORDS:
        return _WORDS[metric]
    label = COSTS[metric].label
    less = "fewer" if "parameters" in label else "less"
    return f"takes {{}} more {label} than", f"takes {{}} {less} {label} than", label


def _pairs(comparison: Comparison) -> str:
    noun = "pairs of seed and class order" if any(" " in pair[5:] for pair in comparison.pairs) else "seeds"
    return f"{len(comparison.pairs)} {noun}"


def _mean(metric: str, values: list[float]) -> str:
    return _amount(metric, math.fsum(values) / len(values)) + (
        f" {measure_of(metric).unit}" if metric in _WORDS else ""
    )


def _span(metric: str, interval: Interval) -> str:
    return f"{_amount(metric, interval.low)} to {_amount(metric, interval.high)}"


def _amount(metric: str, value: float) -> str:
    if metric in _WORDS:
        return human_metric(metric, value)
    if metric.endswith("_seconds"):
        return f"-{human_seconds(-value)}" if value < 0 else human_seconds(value)
    return human_count(value, COSTS[metric].unit)
