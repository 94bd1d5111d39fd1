"""The report: results as one HTML page that works offline, and the same page served while a sweep runs."""

from clhyper.figures.report.page import write_page
from clhyper.figures.report.source import read_source

__all__ = ["read_source", "write_page"]
