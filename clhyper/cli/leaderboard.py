"""ranks what was published in results/, stream by stream, and writes the page results/leaderboard.md"""

from pathlib import Path

from clhyper.cli.common import check_output, folder_and_flags
from clhyper.cli.flags import Flag
from clhyper.errors import require

_FOLDER = Path("results")


def main(arguments: list[str]) -> int:
    """Reads every runs.jsonl under a folder and writes the page."""
    folder, values = folder_and_flags(
        "leaderboard",
        f"Reads every runs.jsonl under DIR (default {_FOLDER}), as studies write them, and ranks the configurations\n"
        "of each stream by their accuracy after it. The page is made from these files alone.\n\nExample:\n"
        "  clhyper leaderboard results --output leaderboard.md",
        [Flag("output", Path | None, None, "file for the page; without it, DIR/leaderboard.md")],
        arguments,
        default=_FOLDER,
    )
    require(folder.is_dir(), f"leaderboard {folder}: no such folder; give one in which `clhyper study` wrote pages")
    output = values["output"] or folder / "leaderboard.md"
    check_output(output.parent)
    from clhyper.figures.leaderboard import write_leaderboard

    write_leaderboard(folder, output)
    print(output)
    return 0
