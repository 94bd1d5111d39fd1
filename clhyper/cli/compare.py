"""compares two strategies over the seeds they share: difference, intervals, paired tests"""

import dataclasses
from pathlib import Path

from clhyper.cli.common import RESULTS, check_output, load_runs, words_and_flags
from clhyper.cli.flags import Flag, choice_of, parse
from clhyper.errors import UserError, require
from clhyper.registry import entries

_HELP = f"""Compares A with B over the runs in DIR (default {RESULTS}) that share a seed and an order of classes.

A and B are rows of the table: STRATEGY[@DEPTH][,NAME=VALUE...], where an option or a column of the table tells apart
what shares strategy and depth.

Examples:
  clhyper compare partial-hypernetwork@2 latent-replay@2 --metric forgetting
  clhyper compare {RESULTS} partial-hypernetwork@1,beta=0.1 partial-hypernetwork@1,beta=1.0 --output beta.json"""


def main(arguments: list[str]) -> int:
    """Reads results, says in a sentence how the two differ, prints the numbers and writes them if asked."""
    from clhyper.runs.results import COSTS, METRICS

    metrics = choice_of((*METRICS, *COSTS))
    words, flags = words_and_flags(arguments)
    values = parse(
        "clhyper compare DIR A B",
        _HELP,
        [
            Flag("metric", metrics, "acc", "accuracy, forgetting or cost to compare"),
            Flag("output", Path | None, None, "JSON file for the numbers"),
        ],
        flags,
    )
    require(2 <= len(words) <= 3, f"compare takes [DIR] A B, and {len(words)} words were given: clhyper compare --help")
    folder = Path(words[0]) if len(words) == 3 else RESULTS
    if len(words) == 2 and Path(words[0]).is_dir() and words[0] not in entries("strategy"):
        raise UserError(
            f"compare takes [DIR] A B, and after the folder {words[0]} there is {words[1]} alone: name B too"
        )

    from clhyper.figures.compare import describe, sentence
    from clhyper.runs.compare import compare
    from clhyper.runs.files import write_json

    output = values["output"]
    if output is not None:
        require(not output.is_dir(), f"output {output}: a folder; give a file")
        require(output.parent.is_dir(), f"output {output}: {output.parent} is no folder")
        check_output(output.parent)
    found = compare(load_runs(folder), words[-2], words[-1], values["metric"].replace("-", "_"))
    if output is not None:
        write_json(output, {"sentence": sentence(found), **dataclasses.asdict(found)})
    print("\n".join(describe(found)))
    if output is not None:
        print(output)
    return 0
