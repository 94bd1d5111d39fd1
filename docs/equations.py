"""Docstrings' plain text as Markdown and formulas; formulas as MathML, which browsers draw by themselves."""

import html
import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

_GREEK = ("alpha", "beta", "gamma", "delta", "theta", "lambda", "sigma", "tau", "phi", "psi", "omega")
_OPERATORS = ("sum", "log", "exp", "max", "min")


def marked_up(text: str) -> str:
    """Prose of a docstring as Markdown: Greek letters written by name as letters, subscripts, flags as code."""
    name = rf"(?<![A-Za-z-])({'|'.join(_GREEK)})(?![A-Za-z-])"
    parts = re.split(r"(`[^`]*`)", text)
    for number in range(0, len(parts), 2):
        part = re.sub(name, _letter, parts[number])
        part = re.sub(r"(?<!\w)(\w\*?)_(\w+)", r"\1<sub>\2</sub>", part)
        parts[number] = re.sub(r"(?<![\w-])--[a-z][a-z-]*(?: [A-Z]+)?", r"`\g<0>`", part)
    return "".join(parts)


def _letter(found: re.Match[str]) -> str:
    return html.unescape(f"&{found[1]};")


def as_tex(text: str) -> str:
    """A loss as a docstring writes it, in TeX: Greek letters by name, words upright, |a| a norm, psi* a star."""
    text = text.replace(" || ", r"\,\parallel\,").replace("||", "|")
    text = re.sub(r"\|([^|]*)\|", r"\\left\\lVert \1 \\right\\rVert", text)
    text = re.sub(r"(?<=\w)\*", "^*", text).replace("'", r"^{\prime}").replace(" * ", r"\,")
    text = re.sub(rf"(?<![\\A-Za-z])({'|'.join(_GREEK + _OPERATORS)})(?![A-Za-z])", r"\\\1 ", text)
    word = r"[A-Za-z]{2,}(?:-[A-Za-z]+)*"
    return re.sub(rf"(?<![\\A-Za-z]){word}(?: {word})*", _upright, text)


def _upright(words: re.Match[str]) -> str:
    return rf"\mathrm{{{words[0]}}}" if words[0].isupper() else rf"\text{{ {words[0]} }}"


def draw(self: Any, node: nodes.Element) -> None:
    """Writes a math node; for Sphinx's HTML translator."""
    block = isinstance(node, nodes.math_block)
    formula = tex2mathml(node.astext(), as_block=block)
    self.body.append(f"<div class='formula'>{formula}</div>" if block else formula)
    raise nodes.SkipNode
