"""Accuracy matrix, the field's metrics, and the cost meter."""

from clhyper.evaluation.accuracy import AccuracyMatrix
from clhyper.evaluation.cost import COSTS, CostMeter
from clhyper.evaluation.metrics import all_metrics
from clhyper.evaluation.task_inference import TaskInference

__all__ = ["COSTS", "AccuracyMatrix", "CostMeter", "TaskInference", "all_metrics"]
