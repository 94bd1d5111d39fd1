"""A part of a study's page: what it is made from, and its figures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from clhyper.errors import UserError
from clhyper.figures.against_cost import accuracy_against_cost, check_cost, forgetting_against_cost
from clhyper.figures.against_depth import accuracy_and_forgetting_against_depth
from clhyper.figures.curves import curve
from clhyper.figures.matrices import accuracy_matrices
from clhyper.figures.stream import accuracy_over_stream
from clhyper.figures.style import save
from clhyper.figures.summary import settings
from clhyper.figures.units import COSTS
from clhyper.runs.archive import ARCHIVE


@dataclass(frozen=True)
class Part:
    """What a part of the page is made from. `name` begins the names of its files."""

    show: dict[str, Any]
    name: str
    runs: pd.DataFrame
    matrix: pd.DataFrame
    output: Path
    command: str


def heading(part: Part, words: str) -> list[str]:
    """The part's title, or `words` where the study gives it none, and the stream."""
    of = "" if part.name == part.show["kind"] else f": {part.name}"
    return [f"## {part.show.get('title', words)}{of}", ""]


Made = tuple[list[str], list[Path]]


def figures(part: Part, words: str, drawn: Iterator[tuple[str, Callable[[], Figure]]]) -> Made:
    """Figures with the command under each; one that can't be drawn is replaced by the reason."""
    lines, files = heading(part, words), []
    for name, draw in drawn:
        try:
            figure = draw()
        except UserError as error:
            lines += [f"*{name}: {error}*", ""]
            continue
        files += [file for file in save(figure, part.output / name) if file.suffix == ".png"]
        (part.output / f"{name}.svg").unlink(missing_ok=True)  # ten times the size, and pages show the other
        lines += [f"![{words}, {part.name}]({name}.png)", "", f"*`{part.command}` draws it from {ARCHIVE}.*", ""]
    return lines[:-1], files


def _by_setting(part: Part, name: str, draw: Callable[[pd.DataFrame], Figure]) -> Iterator[tuple[str, Any]]:
    for one in settings(part.runs[part.runs["status"] == "complete"]):
        yield f"{part.name}-{one.prefix}{name}", lambda rows=one.rows: draw(rows)


def against_cost(part: Part) -> Made:
    """Accuracy or forgetting against a cost, a figure a setting."""
    cost, measure = part.show["cost"], part.show["measure"]

    def draw(rows: pd.DataFrame) -> Figure:
        check_cost(cost, rows)
        return (forgetting_against_cost if measure == "forgetting" else accuracy_against_cost)(rows, cost)

    words = f"{'Forgetting' if measure == 'forgetting' else 'Accuracy'} against {COSTS[cost].label}"
    return figures(part, words, _by_setting(part, f"{measure}-against-{cost.replace('_', '-')}", draw))


def against_depth(part: Part) -> Made:
    """Accuracy and forgetting against the freeze depth, a figure a setting."""
    drawn = _by_setting(part, "against-depth", accuracy_and_forgetting_against_depth)
    return figures(part, "Accuracy and forgetting against the freeze depth", drawn)


def over_stream(part: Part) -> Made:
    """Accuracy as the stream goes on, a figure a setting."""
    drawn = _by_setting(part, "over-stream", lambda rows: accuracy_over_stream(rows, part.matrix))
    return figures(part, "Accuracy over the stream", drawn)


def matrices(part: Part) -> Made:
    """Accuracy matrices, a figure a setting."""
    # One page of matrices is enough for a page of a study; the others are in the archive.
    drawn = _by_setting(part, "matrices", lambda rows: accuracy_matrices(rows, part.matrix)[0])
    return figures(part, "Accuracy matrices", drawn)


def draw_curve(part: Part) -> Made:
    """A measure along an option, all settings of a stream in one figure."""
    along, measure = part.show["along"], part.show["measure"]
    x = part.show.get("x", along)
    name = f"{part.name}-{measure}-against-{x}".replace("_", "-")
    words = f"{measure.replace('_', ' ')} against {x.replace('_', ' ')}".capitalize().replace("Acc ", "ACC ")
    return figures(part, words, iter([(name, lambda: curve(part.runs, along, measure, x))]))
