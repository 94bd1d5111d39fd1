"""One run, a sweep of them, and the results on disk."""

from clhyper.runs.config import RunConfig, make_config
from clhyper.runs.local import execute
from clhyper.runs.results import load, load_experiences, load_matrix
from clhyper.runs.sweep import plan

__all__ = ["RunConfig", "execute", "load", "load_experiences", "load_matrix", "make_config", "plan"]
