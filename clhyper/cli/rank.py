"""ranks strategies over several streams, with Friedman's, Nemenyi's and Wilcoxon's tests"""

from pathlib import Path

from clhyper.cli import common
from clhyper.cli.flags import Flag, choice_of, parse
from clhyper.errors import UserError

_HELP = f"""Reads the runs in each DIR (default {common.RESULTS}), or the runs.jsonl that a study published in it.

Ranked is every configuration that has runs on all streams of all DIRs; the others are named with what they lack.

Examples:
  clhyper rank results/digits results/cifar --metric forgetting
  clhyper rank results/freeze-depth results/noise --output ranks"""


def main(arguments: list[str]) -> int:
    """Reads results, prints the ranking, writes it as CSV and Markdown with its diagram, and prints the files."""
    from clhyper.runs.columns import METRICS

    metrics = choice_of(METRICS)
    words, flags = common.words_and_flags(arguments)
    values = parse(
        "clhyper rank DIR ...",
        _HELP,
        [
            Flag("metric", metrics, "acc", "accuracy or forgetting to rank by"),
            Flag("output", Path | None, None, "folder for the tables and the figure; without it, the first DIR"),
        ],
        flags,
    )
    folders = [Path(word) for word in words] or [common.RESULTS]
    twice = [str(folder) for folder in folders if folders.count(folder) > 1]
    if twice:
        raise UserError(f"rank: {twice[0]} is given twice; name each folder once")
    import pandas as pd
    from rich.console import Console

    from clhyper.figures.ranking import show_ranking, write_ranking
    from clhyper.runs.ranking import rank

    output = values["output"] or folders[0]
    runs = pd.concat([common.load_runs_or_archive(folder) for folder in folders], ignore_index=True)
    common.check_output(output)
    ranking = rank(runs, values["metric"].replace("-", "_"))
    try:
        files = write_ranking(ranking, output)
    except OSError as error:
        raise UserError(f"output {output}: can't be made ({(error.strerror or '').lower()})") from None
    show_ranking(ranking, Console())
    print(", ".join(map(str, files)))
    return 0
