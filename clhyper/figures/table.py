"""The table of a study: on screen, as CSV, as Markdown; `clhyper.figures.latex` writes it as LaTeX."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from clhyper.figures.summary import (
    BY_NUMBER,
    CONFIGURATION,
    FRACTIONS,
    MEASURES,
    Setting,
    measure_in,
    repetitions,
    settings,
    sharing,
    summarise,
)
from clhyper.figures.units import COSTS, human_count, human_metric, human_seconds
from clhyper.measures import BITS, measure_of
from clhyper.runs.files import write
from clhyper.runs.results import CHOICES

__all__ = ["Column", "columns_of", "show", "summarise", "to_csv", "to_markdown"]

DROPPED_FIRST = (
    *("front norm", "engine", "device", "epochs", "task by entropy %", "task by features %", "FWT %", "BWT %"),
    *("FWT bits", "BWT bits", "learning bits"),
    *("class incremental by entropy %", "class incremental by features %", "learning accuracy %"),
    *("seconds", "bytes kept", "train MACs", "class order", "front", "norm"),
)
"""What a narrow terminal does without, in this order."""

IN_WORDS = ("engine", "front", "norm")
"""What is told below the table where it has no column."""

NOTE_WIDTH = 24
"""A note column narrower than this is moved below the table."""


@dataclass(frozen=True)
class Column:
    """A column as people read it: text cells under a header."""

    header: str
    cells: list[str]
    numeric: bool = True

    @functools.cached_property
    def widest(self) -> "Column":
        """The column with no cells but those that its width depends on."""
        sizes = (len, cell_len, lambda text: max(map(cell_len, text.split()), default=0))
        return Column(self.header, [max(self.cells, key=size, default="") for size in sizes], self.numeric)


def show(summary: pd.DataFrame, console: Console) -> None:
    """Prints one table a setting. A terminal too narrow for all columns shows fewer and says which are left out."""
    for setting in settings(summary):
        every, shared = columns_of(setting)
        columns = every
        below: list[str] = []
        if not _fits(columns, console):
            below = [
                f"{row.strategy}{'' if pd.isna(row.freeze_depth) else f' k={row.freeze_depth}'}: {row.note}"
                for row in setting.rows.itertuples()
                if row.note
            ]
            columns = [column for column in columns if column.header != "note"]
        columns, hidden = narrowed(columns, console)
        below += [_in_words(every, header) for header in IN_WORDS if header in hidden]
        console.print(Text(f"\n{setting.title}", style="bold"))
        console.print(rich_table(columns))
        left_out = [header for header in hidden if header not in IN_WORDS]
        lines = ["; ".join(shared), *below, *([f"no room for: {', '.join(left_out)}"] if left_out else [])]
        console.print(Text("\n".join(line for line in lines if line), style="dim"))


def narrowed(columns: list[Column], console: Console) -> tuple[list[Column], list[str]]:
    """The columns that the console has room for, and the headers of those left out, by `DROPPED_FIRST`."""
    hidden: list[str] = []
    for header in DROPPED_FIRST:
        if not _fits(columns, console) and header in {column.header for column in columns}:
            columns = [column for column in columns if column.header != header]
            hidden.append(header)
    return columns, hidden


def _in_words(columns: list[Column], header: str) -> str:
    """A column as a line, such as `front none: naive k=0; front pretrained: ewc k=2`."""
    cells = {column.header: column.cells for column in columns}
    users: dict[str, list[str]] = {}
    for strategy, depth, kind in zip(cells["strategy"], cells["depth"], cells[header], strict=True):
        users.setdefault(kind or "none", []).append(f"{strategy}{f' k={depth}' if depth else ''}")
    return "; ".join(f"{header} {kind}: {', '.join(dict.fromkeys(names))}" for kind, names in users.items())


def _fits(columns: list[Column], console: Console) -> bool:
    shown = rich_table([column.widest for column in columns])
    return Measurement.get(console, console.options.update(width=10_000), shown).minimum <= console.width


def rich_table(columns: list[Column]) -> Table:
    """A table for the screen, in which numbers never wrap."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        note = column.header == "note"  # wraps; numbers never do
        width = NOTE_WIDTH if note else max(len(text) for text in (*column.header.split(), *column.cells))
        header = Text(column.header.replace(" ", "\n"))
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        table.add_column(header, justify=justify, vertical="top", min_width=width, no_wrap=not note)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(cell) for cell in cells))
    return table


def to_csv(summary: pd.DataFrame, path: Path) -> None:
    """Writes plain numbers, every column, its unit in the header: `acc [fraction]`, `train_macs [MAC]`.

    `<measure>_interval` is the half-width of the 95 % Student t interval over seeds.
    """
    units = dict.fromkeys(FRACTIONS, "fraction") | dict.fromkeys(BITS.metrics, "bits")
    units |= {name: cost.unit.replace("B", "bytes") or "count" for name, cost in COSTS.items()}
    measures = [name for name in MEASURES if name not in BITS.metrics or summary[name].notna().any()]
    headers = {name + suffix: f"{name}{suffix} [{units[name]}]" for name in measures for suffix in ("", "_interval")}
    plain = summary[[*CONFIGURATION, "orders", "seeds", "failed", "interrupted", "runs_at_once", *headers, "note"]]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write(Path(path), plain.rename(columns=headers).to_csv(index=False).encode())


def to_markdown(summary: pd.DataFrame, path: Path) -> None:
    """Writes one GitHub table a setting, with the columns that `show` has room for on a wide terminal."""
    lines: list[str] = []
    for setting in settings(summary):
        columns, shared = columns_of(setting)
        lines += [f"### {setting.title}", "", *markdown(columns), "", "; ".join(shared) + ".", ""]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write(Path(path), "\n".join(lines).encode())


def markdown(columns: list[Column]) -> list[str]:
    """The lines of a GitHub table."""
    lines = [[column.header for column in columns], ["---:" if column.numeric else ":---" for column in columns]]
    lines += map(list, zip(*(column.cells for column in columns), strict=True))
    return [_markdown_row(cells) for cells in lines]


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def columns_of(setting: Setting) -> tuple[list[Column], list[str]]:
    """The columns worth showing and, in words, what all rows share instead of a column each."""
    rows = setting.rows
    columns, shared = identity_columns(rows)
    several = repetitions(rows)[1]
    columns.append(Column("seeds" if several == "seeds" else "repetitions", [str(count) for count in rows["seeds"]]))
    for name, header in (
        ("acc", "ACC %"),
        ("forgetting", "forgetting %"),
        ("learning_accuracy", "learning accuracy %"),
        ("bwt", "BWT %"),
        ("fwt", "FWT %"),
        ("class_incremental_accuracy_by_entropy", "class incremental by entropy %"),
        ("class_incremental_accuracy_by_features", "class incremental by features %"),
        ("task_inference_accuracy_by_entropy", "task by entropy %"),
        ("task_inference_accuracy_by_features", "task by features %"),
        ("bits", "bits"),
        ("bits_forgetting", "forgetting bits"),
        ("learning_bits", "learning bits"),
        ("bits_bwt", "BWT bits"),
        ("bits_fwt", "FWT bits"),
    ):
        pairs = zip(rows[name], rows[f"{name}_interval"], strict=True)
        signed = name in measure_of(name).signed
        _add(columns, rows, name, header, [human_metric(name, *pair, signed=signed) for pair in pairs])
    formats: dict[str, tuple[str, Callable[[float], str]]] = {
        "train_macs": ("train MACs", human_count),
        "train_seconds": ("seconds", human_seconds),
        "bytes_kept": ("bytes kept", lambda value: human_count(value, "B")),
    }
    for name, (header, formatted) in formats.items():
        _add(columns, rows, name, header, [formatted(value) for value in rows[name]])
    if rows["note"].any():
        columns.append(Column("note", [_text(note) for note in rows["note"]], numeric=False))
    if rows["engine"].nunique() > 1:
        shared.append("seconds can be compared within one engine only")
    if remark := sharing(rows):
        shared.append(remark)
    if (rows["seeds"] > 1).any():
        shared.append(f"mean ± half-width of the 95 % confidence interval over {several} (Student t)")
    unfinished = [f"{rows[state].sum()} {state}" for state in ("failed", "interrupted") if rows[state].sum()]
    return columns, shared + ([f"runs without a result: {', '.join(unfinished)}"] if unfinished else [])


def identity_columns(rows: pd.DataFrame) -> tuple[list[Column], list[str]]:
    """The columns that tell configurations apart and, in words, what all rows share."""
    columns = [
        Column("strategy", [str(name) for name in rows["strategy"]], numeric=False),
        Column("depth", [_text(depth) for depth in rows["freeze_depth"]]),
    ]
    shared: list[str] = []
    # The norm leads: a comparison names the norm of each row.
    for name in ("norm", *(choice for choice in CHOICES if choice != "norm"), "orders"):
        if name not in rows:
            continue
        header = "class order" if name == "orders" else name.replace("_", " ")
        values = [_text(value) for value in rows[name]]
        known = {value for value in values if value}
        if known == {BY_NUMBER}:
            continue
        # At depth 0 there is no front to describe: a missing value alone is no difference.
        if len(known) > 1 or (name == "variant" and known):
            columns.append(Column(header, values, numeric=name == "epochs"))
        elif known:
            shared.append(f"{header} {known.pop()}")
    return columns, shared


def _add(columns: list[Column], rows: pd.DataFrame, name: str, header: str, cells: list[str]) -> None:
    """A column that nobody measured isn't shown, unless it is what the stream is measured by."""
    if name == measure_in(rows).metrics[0] or rows[name].notna().any():
        columns.append(Column(header, cells))


def _text(value: object) -> str:
    return "" if value is None or pd.isna(value) else str(value)
