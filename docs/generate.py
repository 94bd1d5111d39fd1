"""Parts of pages made from the code: what the registry finds, options, costs and each command's help."""

import ast
import contextlib
import dataclasses
import io
import textwrap
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from equations import as_tex, marked_up

from clhyper.cli.main import VERBS, main
from clhyper.options import DepthOptions, StreamOptions, TrainingOptions
from clhyper.registry import Entry, entries, field_help


def strategies() -> str:
    """Every strategy: summary, source, loss, options of its own."""
    return "\n".join(_entry(entry, DepthOptions) for entry in entries("strategy").values())


def streams() -> str:
    """Every stream: summary, images, options of its own."""
    return "\n".join(_entry(entry, StreamOptions) for entry in entries("benchmark").values())


def backbones() -> str:
    """Every backbone: its stages, and what is frozen and left at each depth."""
    return "\n".join(f"{_entry(entry)}\n{_stages(entry)}" for entry in entries("backbone").values())


def training_options() -> str:
    """Options that all strategies share."""
    return _options(TrainingOptions)


def depth_options() -> str:
    """Options that all strategies with a freeze depth share."""
    return _options(DepthOptions, known=TrainingOptions)


def stream_options() -> str:
    """Options that all streams share."""
    return _options(StreamOptions)


def costs() -> str:
    """Every cost with its unit."""
    from clhyper.evaluation.cost import COSTS

    return _table(("cost", "unit", "means"), ((f"`{name}`", _unit(name), text) for name, text in COSTS.items()))


def columns() -> str:
    """The columns of the data frames of results, with their units."""
    from clhyper.evaluation.cost import COSTS
    from clhyper.runs.columns import OF_CELLS, OF_EXPERIENCES, OF_RUNS

    frames = {"load": OF_RUNS, "load_experiences": OF_EXPERIENCES, "load_matrix": OF_CELLS}
    tables = []
    for name, known in frames.items():
        said = {column: (_unit(column), COSTS[column]) if column in COSTS else texts for column, texts in known.items()}
        rows = ((f"`{column}`", unit, marked_up(text)) for column, (unit, text) in said.items())
        tables.append(f"### {name}\n\n{_table(('column', 'unit', 'means'), rows)}")
    return "\n".join(tables)


def commands() -> str:
    """The help of every command, and of a run with a stream and a strategy."""
    words = [[verb] for verb in VERBS]
    return "\n".join(
        f"## clhyper {' '.join(word)}\n\n{_block(_help(*word))}"
        for word in (*words, ["run", "split-digits", "partial-hypernetwork"])
    )


def overview() -> str:
    """The help of the command itself."""
    return _block(_help())


PARTS = {
    name.replace("_", "-"): part
    for name, part in list(globals().items())
    if not name.startswith("_") and getattr(part, "__module__", "") == __name__
}


def _entry(entry: Entry, shared: type[Any] | None = None) -> str:
    text = ast.get_docstring(entry.tree) or ""
    summary = text.partition("\n")[0].partition(": ")[2] or entry.summary
    rest = text.partition("\n")[2].strip()
    public = next(node for node in entry.tree.body if getattr(node, "name", None) == entry.exported)
    assert isinstance(public, ast.ClassDef | ast.FunctionDef)
    parts = [f"## {entry.name}", marked_up(summary[:1].upper() + summary[1:]), marked_up(rest)]
    parts.append(_prose(ast.get_docstring(public) or ""))
    if shared:
        options = entry.options()
        extends = set(shared.__mro__) & set(options.__mro__) != {object}
        table = _options(options, known=shared if extends else None)
        parts.append(table or "No options but the shared ones.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _prose(docstring: str) -> str:
    """A docstring as Markdown: an indented block is a formula; what is raised is left to the reference."""
    blocks = []
    for block in docstring.split("\n\n"):
        if block.startswith("    "):
            blocks += [_equation(line) for line in textwrap.dedent(block).replace("\n ", " ").splitlines()]
        else:
            lines = [line for line in block.splitlines() if not line.startswith(("Keyword arguments", "Raises"))]
            blocks.append(marked_up("\n".join(f"\n{line}" if line.startswith("Source") else line for line in lines)))
    return "\n\n".join(blocks)


def _equation(line: str) -> str:
    """A line of text as a formula; as it is, if it is none."""
    try:
        tex2mathml(as_tex(line))
    except MathError:
        return f"```text\n{line}\n```"
    return f"$$\n{as_tex(line)}\n$$"


def _options(options: type[Any], known: type[Any] | None = None) -> str:
    """A table of the options that `known` doesn't have, or has with another default."""
    before = {field.name: field.default for field in dataclasses.fields(known)} if known else {}
    hints, texts = typing.get_type_hints(options), field_help(options)
    rows = [
        (
            _flag(field.name, hints[field.name]),
            _values(hints[field.name]),
            _default(field.default),
            marked_up(texts[field.name]),
        )
        for field in dataclasses.fields(options)
        if field.name not in before or field.default != before[field.name]
    ]
    return _table(("option", "values", "default", "means"), rows) if rows else ""


def _flag(name: str, hint: Any) -> str:
    flag = name.replace("_", "-")
    return f"`--{flag}`, `--no-{flag}`" if hint is bool else f"`--{flag}`"


def _values(hint: Any) -> str:
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if typing.get_origin(hint) is tuple:
        return ("words" if str in parts else "numbers") if Ellipsis in parts else f"{len(parts)} numbers"
    names = {bool: "", int: "whole number", float: "number", str: "text", Path: "path", type(None): ""}
    return ", ".join(filter(None, (names.get(part, _values(part)) for part in parts))) if parts else names[hint]


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    text = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return "" if value is None or not text else f"`{text}`"


def _unit(cost: str) -> str:
    units = {
        "macs": "multiply-accumulates",
        "seconds": "s",
        "joules": "J",
        "bytes": "bytes",
        "parameters": "numbers",
        "ms": "ms",
    }
    return next(unit for word, unit in units.items() if word in cost.split("_"))


def _stages(entry: Entry) -> str:
    backbone = entry.load()(classes=10)
    sizes = [sum(p.numel() for p in stage.parameters()) for stage in backbone.children()]
    names = ["", *(f"`{name}`" for name, _ in backbone.named_children())]
    return _table(
        ("freeze depth", "stage that joins the front", "parameters of the front", "parameters of the back, 10 classes"),
        (
            (str(depth), names[depth], f"{sum(sizes[:depth]):,}", f"{sum(sizes[depth:]):,}")
            for depth in range(backbone.depth + 1)
        ),
    )


def _help(*words: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    lines = printed.getvalue().strip().splitlines()
    return "\n".join(textwrap.fill(line, 112) if len(line) > 118 else line for line in lines)


def _block(text: str) -> str:
    return f"```text\n{text}\n```\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    head = list(head)
    return "\n".join([line(head), line("---" for _ in head), *map(line, rows)]) + "\n"
