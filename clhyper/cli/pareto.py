"""tells the Pareto front of a measure and a cost, and how surely each configuration is on it"""

from pathlib import Path

from clhyper.cli.common import RESULTS, check_output, folder_and_flags, load_runs_or_archive
from clhyper.cli.flags import Flag, choice_of
from clhyper.errors import UserError

_HELP = f"""Reads the runs in DIR (default {RESULTS}), or the runs.jsonl that a study published in it.

A configuration is on the front if no other of its stream has a better measure for at most the same cost. How surely,
is told by resampling repetitions: seeds and class orders that configurations share are resampled together.

Examples:
  clhyper pareto {RESULTS} --metric forgetting --cost train-macs
  clhyper pareto results/freeze-depth --metric acc --cost bytes-kept --output fronts"""


def main(arguments: list[str]) -> int:
    """Reads results, prints the table, writes it as CSV and Markdown with a figure, and prints the files."""
    from clhyper.runs.columns import COSTS, METRICS

    metrics, costs = choice_of(METRICS), choice_of(COSTS)
    folder, values = folder_and_flags(
        "pareto",
        _HELP,
        [
            Flag("metric", metrics, "forgetting", "accuracy or forgetting"),
            Flag("cost", costs, "train-macs", "what it costs"),
            Flag("output", Path | None, None, "folder for the tables and the figure; without it, DIR"),
        ],
        arguments,
    )
    from rich.console import Console

    from clhyper.figures.pareto import show_front, write_front
    from clhyper.runs.pareto import pareto

    metric, cost, output = (values[name] for name in ("metric", "cost", "output"))
    metric, cost, output = metric.replace("-", "_"), cost.replace("-", "_"), output or folder
    runs = load_runs_or_archive(folder)
    check_output(output)
    front = pareto(runs, metric, cost)
    try:
        files = write_front(runs, front, metric, cost, output)
    except OSError as error:
        raise UserError(f"output {output}: can't be made ({(error.strerror or '').lower()})") from None
    show_front(front, metric, cost, Console())
    print(", ".join(map(str, files)))
    return 0
