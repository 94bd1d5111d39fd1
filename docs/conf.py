"""Configuration of the site: `make docs`. Needs no network, neither to build nor to be read."""

import os
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}  # how wide and how plain a command's help is

import equations
import generate

import clhyper

project, author, copyright = "clhyper", "The clhyper authors", "The clhyper authors"
version = release = clhyper.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme, html_title, html_static_path, html_css_files = "furo", "clhyper", ["static"], ["site.css"]
html_math_renderer = "mathml"
html_copy_source = html_show_sphinx = False
highlight_language = "none"
templates_path: list[str] = []

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 4
default_role = "literal"  # docstrings put names in single backquotes
autodoc_member_order, autodoc_inherit_docstrings = "bysource", False
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_use_rtype = False
# Types of other packages have no page here, and neither have ours that a module doesn't make public.
nitpick_ignore_regex = [(r"py:.*", r"(?!clhyper\.|strategies\.|benchmarks\.).*"), (r"py:.*", r".*(T|_[A-Za-z]+)$")]


def fill(app: Any, page: str, source: list[str]) -> None:
    """Puts what is generated in the place of lines `% generated: NAME`."""
    source[0] = re.sub(r"^% generated: ([\w-]+)$", lambda found: generate.PARTS[found[1]](), source[0], flags=re.M)


def as_restructured_text(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text: shields what reStructuredText would read as markup, sets off what is indented."""
    if what in ("attribute", "data", "property"):
        lines[:1] = [line.replace(": ", " - ", 1) for line in lines[:1]]  # napoleon would read a type before a colon
    in_section = False  # of arguments or errors, which napoleon reads
    shielded: list[str] = []
    for line in list(lines):
        indented = line.startswith("    ")
        if line and not indented:
            in_section = line.endswith(":") and line[:-1].isalpha()
        if indented and not in_section:
            shielded += [*(["::", ""] if not shielded[-1] else []), line]
        else:
            line = re.sub(r"(?<![\w`-])--[a-z][a-z-]*", r"`\g<0>`", line)
            outside = re.split(r"(`[^`]*`)", line)
            outside[::2] = [re.sub(r"([*|]|(?<=\w)_(?!\w))", r"\\\1", text) for text in outside[::2]]
            shielded.append("".join(outside))
    lines[:] = shielded


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", as_restructured_text, priority=1)
    app.add_html_math_renderer("mathml", (equations.draw, None), (equations.draw, None))
