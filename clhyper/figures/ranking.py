"""A ranking over streams: on screen, as CSV and Markdown, and as a critical-difference diagram."""

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.text import Text

from clhyper.figures.style import COLOURS, add_caption, new_figure, save, styled
from clhyper.figures.table import Column, markdown, narrowed, rich_table
from clhyper.figures.units import human_metric, in_words
from clhyper.measures import measure_of
from clhyper.runs.files import write
from clhyper.runs.ranking import Ranking

__all__ = ["critical_difference_diagram", "show_ranking", "write_ranking"]

_MOST_ON_SCREEN = 12
"""Pairs of configurations that are printed; the file has all."""
_ENDS = {"arrowstyle": "|-|,widthA=0.25,widthB=0.25", "lw": 1, "shrinkA": 0, "shrinkB": 0}


def show_ranking(ranking: Ranking, console: Console) -> None:
    """Prints mean ranks, the smallest corrected p of pairs, and what is to be known of them."""
    columns, _ = narrowed(_columns(ranking, streams=False), console)
    console.print(Text(f"\n{in_words(ranking.metric)}, ranked within each of {_streams(ranking)}", style="bold"))
    console.print(rich_table(columns))
    surest = ranking.pairs.sort_values(["holm", "p"], kind="stable").head(_MOST_ON_SCREEN)
    console.print(rich_table([column for column in _pair_columns(surest) if column.header != "p"]))
    if len(ranking.pairs) > len(surest):
        console.print(Text(f"{len(surest)} of {len(ranking.pairs)} pairs; the file has all", style="dim"))
    for line in _remarks(ranking):
        console.print(Text(line))


def write_ranking(ranking: Ranking, folder: Path) -> list[Path]:
    """Writes `rank-<metric>` as CSV (mean ranks, and the mean on each stream), Markdown and a figure.

    Raises:
        OSError: the folder can't be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"rank-{ranking.metric}".replace("_", "-")
    files = [folder / f"{name}.csv", folder / f"{name}.md"]
    numbers = pd.concat(
        [ranking.mean_ranks.rename("mean rank"), ranking.means.add_prefix(f"{ranking.metric} [fraction], ")], axis=1
    )
    write(files[0], numbers.rename_axis("configuration").to_csv().encode())
    lines = [f"### {in_words(ranking.metric)}, ranked within each of {_streams(ranking)}", ""]
    lines += [*markdown(_columns(ranking, streams=True)), "", *markdown(_pair_columns(ranking.pairs)), ""]
    lines += [f"- {line}" for line in _remarks(ranking)]
    write(files[1], "\n".join([*lines, ""]).encode())
    return files + save(critical_difference_diagram(ranking), folder / name)


@styled
def critical_difference_diagram(ranking: Ranking) -> Figure:
    """Mean ranks on a line, the best at the left; bars join what Nemenyi's test doesn't tell apart (Demsar 2006)."""
    names, ranks = list(ranking.mean_ranks.index), ranking.mean_ranks.to_list()
    size = len(names)
    depth = len(ranking.alike) * 0.32 + 0.5
    rows = -(-size // 2)
    height = 0.9 + depth + 0.42 * rows
    margin = 0.35 + 0.065 * max(map(len, names))  # inches for a name and its mean rank
    width = max(8.6, 2 * margin + 3.5)
    figure = new_figure(width, 1.2 + 0.42 * height, f"{in_words(ranking.metric)}: mean rank over {_streams(ranking)}")
    axes = figure.subplots()
    axes.set_axis_off()
    best, worst = 1.0, float(size)
    room = (worst - best) * margin / (width - 2 * margin)
    axes.set_xlim(best - room, worst + room)
    axes.set_ylim(-depth - 0.42 * rows, 1.1)
    axes.plot([best, worst], [0, 0], color="black", linewidth=1)
    for tick in range(1, size + 1, -(-size // 20)):
        axes.plot([tick, tick], [0, 0.1], color="black", linewidth=0.8)
        axes.text(tick, 0.16, str(tick), ha="center", va="bottom", fontsize=8)
    _bar(axes, best, min(best + ranking.critical_difference, worst + room), ranking.critical_difference)
    for place, (first, last) in enumerate(ranking.alike):
        at = -0.3 - 0.32 * place
        ends = ranking.mean_ranks[first] - 0.03 * size / 5, ranking.mean_ranks[last] + 0.03 * size / 5
        axes.plot(ends, [at, at], color=COLOURS[0], linewidth=4, solid_capstyle="round", alpha=0.75)
    for place, (name, value) in enumerate(zip(names, ranks, strict=True)):
        left = place < rows
        at = -depth - 0.42 * (place if left else size - 1 - place)
        edge = best - 0.04 * room if left else worst + 0.04 * room
        axes.plot([value, value, edge], [0, at, at], color="#555555", linewidth=0.8, zorder=1)
        axes.plot(value, 0, marker="o", markersize=4, color="black")
        text = f"{name}  {value:.2f}" if left else f"{value:.2f}  {name}"
        axes.text(
            edge,
            at,
            f"{text} " if left else f" {text}",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
            parse_math=False,
        )
    lines = ["1 is best. A bar joins configurations whose mean ranks differ by less than the critical difference (CD)."]
    add_caption(figure, *lines, *_remarks(ranking)[:2])
    return figure


def _bar(axes: Axes, start: float, end: float, difference: float) -> None:
    """The critical difference as a length."""
    axes.annotate("", (start, 0.72), (end, 0.72), arrowprops=_ENDS)
    axes.text((start + end) / 2, 0.8, f"CD = {difference:.2f}", ha="center", va="bottom", fontsize=8)


def _columns(ranking: Ranking, streams: bool) -> list[Column]:
    metric = ranking.metric
    unit = measure_of(metric).unit
    columns = [
        Column("configuration", list(ranking.means.index), numeric=False),
        Column("mean rank", [f"{value:.2f}" for value in ranking.mean_ranks]),
        Column(
            f"mean {in_words(metric)} {unit}", [human_metric(metric, value) for value in ranking.means.mean(axis=1)]
        ),
    ]
    for name in ranking.means if streams else ():
        cells = zip(ranking.means[name], ranking.ranks[name], strict=True)
        texts = [f"{human_metric(metric, value)} ({place:g})" for value, place in cells]
        columns.append(Column(f"{name}: {unit} (rank)", texts))
    return columns


def _pair_columns(pairs: pd.DataFrame) -> list[Column]:
    return [
        Column("pair", [f"{one} – {other}" for one, other in zip(pairs["a"], pairs["b"], strict=True)], numeric=False),  # noqa: RUF001
        Column("better", [str(count) for count in pairs["streams_better"]]),
        Column("worse", [str(count) for count in pairs["streams_worse"]]),
        Column("p", [f"{value:.3g}" for value in pairs["p"]]),
        Column("Holm p", [f"{value:.3g}" for value in pairs["holm"]]),
    ]


def _streams(ranking: Ranking) -> str:
    return f"{ranking.means.shape[1]} streams"


def _remarks(ranking: Ranking) -> list[str]:
    """Tests, caveats and what was left out, a line each."""
    said = "all tie in all streams" if ranking.friedman_p is None else f"p = {ranking.friedman_p:.3g}"
    chi = "" if ranking.friedman is None else f" (chi-squared {ranking.friedman:.2f}, {len(ranking.means) - 1} degrees)"
    return [
        f"Friedman's test that all are equal: {said}{chi}; critical difference by Nemenyi's test at 5 %:"
        f" {ranking.critical_difference:.2f}.",
        *(f"Note: {caveat}." for caveat in ranking.caveats),
        f"Streams: {'; '.join(ranking.means)}.",
        *(f"Left out: {name}, {why}." for name, why in ranking.left_out),
    ]
