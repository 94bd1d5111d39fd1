"""draws forgetting against cost, depth curves, matrices and learning over the stream"""

from pathlib import Path

from clhyper.cli.common import RESULTS, check_output, folder_and_flags, load_runs
from clhyper.cli.flags import Flag, choice_of
from clhyper.errors import UserError


def main(arguments: list[str]) -> int:
    """Reads results, writes each figure as PNG and SVG and prints the files."""
    from clhyper.figures.units import COSTS

    axis = choice_of(COSTS)
    folder, values = folder_and_flags(
        "plot",
        f"Draws the runs in DIR (default {RESULTS}).\n\nExample:\n  clhyper plot {RESULTS} --cost bytes-kept",
        [
            Flag("cost", axis, "train-macs", "the cost on the horizontal axis"),
            Flag("output", Path | None, None, "folder for the figures; without it, DIR/figures"),
        ],
        arguments,
    )
    for path in draw(folder, values["output"] or folder / "figures", values["cost"].replace("-", "_")):
        print(path)
    return 0


def draw(folder: Path, output: Path, cost: str) -> list[Path]:
    """Writes all figures of the runs in a folder and returns their paths."""
    from clhyper.figures.plots import plot_all
    from clhyper.runs.results import load_matrix

    runs = load_runs(folder)
    check_output(output)
    try:
        return plot_all(runs, load_matrix(folder), output, cost)
    except OSError as error:
        raise UserError(f"output {output}: can't be made ({(error.strerror or '').lower()})") from None
