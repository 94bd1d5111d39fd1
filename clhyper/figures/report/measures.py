"""What the page can show of a configuration: its measures, their names, units and directions."""

from typing import Any

import pandas as pd

from clhyper.figures.summary import METRICS
from clhyper.figures.units import COSTS
from clhyper.measures import BITS, LESS_IS_BETTER, measure_of

_TITLES = {
    "acc": ("ACC", "ACC: accuracy after the whole stream"),
    "bwt": ("BWT", "BWT: backward transfer"),
    "fwt": ("FWT", "FWT: forward transfer"),
    "bits": ("bits", "bits per character after the whole stream"),
    "bits_forgetting": ("forgetting in bits", "forgetting in bits per character"),
    "bits_bwt": ("BWT in bits", "BWT: backward transfer in bits"),
    "bits_fwt": ("FWT in bits", "FWT: forward transfer in bits"),
    "learning_bits": ("learning bits", "bits per character when learned"),
}
_SHORT = {"train_seconds": "seconds"}
USUAL = (
    "acc",
    "forgetting",
    "learning_accuracy",
    "bits",
    "bits_forgetting",
    "train_macs",
    "train_seconds",
    "bytes_kept",
)
"""Columns of the leaderboard unless others are chosen."""
PARTS = ("generation_macs", "back_macs", "front_macs", "drift_macs", "other_macs")
"""What training's MACs are made of, where a run tells."""
TIMES = ("train_seconds", "evaluation_seconds", "loading_seconds", "compilation_seconds")


def measures(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each measure that a configuration has: `name`, `short`, `long`, `kind`, `unit`, `better`, `measured`.

    `kind`: fraction, bits, count, seconds or milliseconds, which says how people read it. `measured`: whether it
    depends on device and engine.
    """
    known = [name for name in (*METRICS, *COSTS) if name in summary and summary[name].notna().any()]
    return [_metric(name) if name in METRICS else _cost(name) for name in known]


def _metric(name: str) -> dict[str, Any]:
    words = name.replace("_", " ").replace("class incremental", "class-incremental")
    short, long = _TITLES.get(name, (words, words))
    better = "lower" if name in LESS_IS_BETTER else "higher"
    kind, unit = "bits" if name in BITS.metrics else "fraction", measure_of(name).unit
    return {"name": name, "short": short, "long": long, "kind": kind, "unit": unit, "better": better} | {
        "measured": False,
        "usual": name in USUAL,
    }


def _cost(name: str) -> dict[str, Any]:
    cost = COSTS[name]
    kinds = {"s": "seconds", "ms": "milliseconds"}
    return {
        "name": name,
        "short": _SHORT.get(name, name.replace("_", " ").replace("macs", "MACs")),
        "long": cost.label,
        "kind": kinds.get(cost.unit, "count"),
        "unit": cost.unit,
        "better": "lower",
        "measured": cost.measured,
        "usual": name in USUAL,
    }
