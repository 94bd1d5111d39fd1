"""The page: one HTML file with its content, style, scripts and Plotly in it, and a policy that allows no request."""

import base64
import functools
import gzip
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

from clhyper.figures.report.content import content
from clhyper.figures.report.source import Source
from clhyper.registry import read_once
from clhyper.runs.files import write

SCRIPTS = (
    *(
        "format",
        "data",
        "selection",
        "names",
        "elements",
        "table",
        "library",
        "charts",
        "legend",
        "trade_off",
        "front",
        "curves",
        "matrices",
        "cost",
    ),
    *("comparison", "run", "controls", "live", "main"),
)
"""In the order in which the page runs them, as one script."""


def write_page(source: Source, output: Path) -> None:
    """Writes the page of a source to a file, atomically; raises `RunError` if it can't be written."""
    with read_once():
        text = page(as_json(content(source)))
    output.parent.mkdir(parents=True, exist_ok=True)
    write(output, text.encode())


def as_json(values: dict[str, Any]) -> str:
    """Compact JSON that may stand in a script element: without `<`, which could end it or begin a comment in it."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def page(data: str, live: str = "") -> str:
    """The page with its content as `as_json` gives it. `live`: the content's tag, if a server has newer content."""
    from jinja2 import Environment, select_autoescape
    from markupsafe import Markup

    template = Environment(autoescape=select_autoescape(default=True)).from_string(_asset("page.html"))
    return template.render(
        title=json.loads(data)["title"],
        policy=policy(live=bool(live)),
        style=Markup(_asset("style.css")),
        data=Markup(data),
        script=Markup(_script()),
        plotly=_packed_plotly(),
        live=live,
    )


def policy(live: bool = False) -> str:
    """The Content-Security-Policy: the page's own two scripts and nothing else; a live one asks its own server."""
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in (_script(), _plotly()))
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:;"
        f" connect-src {_SELF if live else _NOBODY}; base-uri 'none'; form-action 'none'"
    )


_SELF, _NOBODY = "'self'", "'none'"


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@functools.cache
def _script() -> str:
    return "(() => {\n'use strict';\n" + "\n".join(_asset(f"{name}.js") for name in SCRIPTS) + "\n})();\n"


@functools.cache
def _plotly() -> str:
    return resources.files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")


@functools.cache
def _packed_plotly() -> str:
    """Compressed, a third of the size."""
    return base64.b64encode(gzip.compress(_plotly().encode(), mtime=0)).decode()


def _asset(name: str) -> str:
    return resources.files("clhyper.figures.report").joinpath("assets", name).read_text(encoding="utf-8")
