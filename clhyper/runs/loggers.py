"""Avalanche's loggers of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def evaluator(loggers: tuple[str, ...], folder: Path) -> Any:
    """Avalanche's evaluator with the loggers asked for (interactive, text, csv, tensorboard), or None."""
    if not loggers:
        return None
    from avalanche.evaluation.metrics import accuracy_metrics, loss_metrics
    from avalanche.logging import CSVLogger, InteractiveLogger, TensorboardLogger, TextLogger
    from avalanche.training.plugins import EvaluationPlugin

    make: dict[str, Callable[[], Any]] = {
        "interactive": InteractiveLogger,
        "text": lambda: TextLogger((folder / "log.txt").open("a", encoding="utf-8")),
        "csv": lambda: CSVLogger(str(folder / "csv")),
        "tensorboard": lambda: TensorboardLogger(str(folder / "tensorboard")),
    }
    return EvaluationPlugin(
        accuracy_metrics(epoch=True, experience=True, stream=True),
        loss_metrics(epoch=True, experience=True),
        loggers=[make[name]() for name in loggers],
    )
