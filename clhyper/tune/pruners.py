"""What stops hopeless trials: Optuna's pruners, on values that fall as more experiences are learned."""

import copy
from typing import Any

import optuna

__all__ = ["SameStepMedian", "pruner"]


class SameStepMedian(optuna.pruners.MedianPruner):
    """Compares a trial's latest value with the others' median after as many experiences.

    Optuna's own takes a trial's best value so far, which is nearly always the one after the first experience.
    """

    def prune(self, study: Any, trial: Any) -> bool:
        """Whether the trial is below the median."""
        if trial.last_step is None:
            return False
        latest = copy.copy(trial)
        latest.intermediate_values = {trial.last_step: trial.intermediate_values[trial.last_step]}
        return bool(super().prune(study, latest))


def pruner(name: str) -> Any:
    """Optuna's pruner for median, halving or none."""
    if name == "median":
        return SameStepMedian()
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    return optuna.pruners.NopPruner()
