"""What the page can show of a configuration: its measures, their names, units and directions."""

from typing import Any

import pandas as pd

from clhyper.figures.summary import FRACTIONS
from clhyper.figures.units import COSTS

_TITLES = {
    "acc": ("ACC", "ACC: accuracy after the whole stream"),
    "bwt": ("BWT", "BWT: backward transfer"),
    "fwt": ("FWT", "FWT: forward transfer"),
}
_SHORT = {"train_seconds": "seconds"}
USUAL = ("acc", "forgetting", "learning_accuracy", "train_macs", "train_seconds", "bytes_kept")
"""Columns of the leaderboard unless others are chosen."""
PARTS = ("generation_macs", "back_macs", "front_macs", "drift_macs", "other_macs")
"""What training's MACs are made of, where a run tells."""
TIMES = ("train_seconds", "evaluation_seconds", "loading_seconds", "compilation_seconds")


def measures(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each measure that a configuration has: `name`, `short`, `long`, `kind`, `unit`, `better`, `measured`.

    `kind`: fraction, count, seconds or milliseconds, which says how people read it. `measured`: whether it depends on
    device and engine.
    """
    known = [name for name in (*FRACTIONS, *COSTS) if name in summary and summary[name].notna().any()]
    return [_fraction(name) if name in FRACTIONS else _cost(name) for name in known]


def _fraction(name: str) -> dict[str, Any]:
    words = name.replace("_", " ").replace("class incremental", "class-incremental")
    short, long = _TITLES.get(name, (words, words))
    better = "lower" if name == "forgetting" else "higher"
    return {"name": name, "short": short, "long": long, "kind": "fraction", "unit": "%", "better": better} | {
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
