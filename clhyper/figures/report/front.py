"""How surely each configuration is on the Pareto front of its setting, for the axes that most ask for."""

from typing import Any

import pandas as pd

from clhyper.errors import UserError
from clhyper.figures.summary import configuration_keys
from clhyper.runs.pareto import pareto

AXES = tuple((metric, cost) for metric in ("acc", "forgetting") for cost in ("train_macs", "bytes_kept"))
"""Measure and counted cost. Measured costs compare within one device and engine only, which a page may mix."""
_DIGITS = 4


def chances(runs: pd.DataFrame, summary: pd.DataFrame) -> list[dict[str, Any]]:
    """For each of `AXES` that runs have: `metric`, `cost`, and `probabilities` in the order of the summary's rows.

    A probability is that of `clhyper.runs.pareto.pareto`, None for a configuration that has none.
    """
    keys = configuration_keys(summary)
    found = []
    for metric, cost in AXES:
        try:
            front = pareto(runs, metric, cost)
        except UserError:  # no run has both
            continue
        known = dict(zip(configuration_keys(front), front["probability"], strict=True))
        values = [known.get(key) for key in keys]
        plain = [None if value is None or pd.isna(value) else round(float(value), _DIGITS) for value in values]
        if any(value is not None for value in plain):
            found.append({"metric": metric, "cost": cost, "probabilities": plain})
    return found
