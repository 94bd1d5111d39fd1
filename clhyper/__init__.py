"""clhyper: partial hypernetworks for continual learning, forgetting and cost measured together."""

from importlib import metadata
from typing import Any

__all__ = ["AccuracyMatrix", "CostMeter", "TaskInference", "UserError", "compare", "load", "load_exported", "trained"]
__version__ = metadata.version("clhyper")

_HOMES = {
    "AccuracyMatrix": "clhyper.evaluation",
    "CostMeter": "clhyper.evaluation",
    "TaskInference": "clhyper.evaluation",
    "UserError": "clhyper.errors",
    "compare": "clhyper.runs.compare",
    "load": "clhyper.runs.results",
    "load_exported": "clhyper.runs.exported",
    "trained": "clhyper.runs.trained",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'clhyper' has no attribute {name!r}")
