"""writes one HTML page with tables and charts of all results, which works offline"""

import sys
from pathlib import Path

from clhyper.cli.common import RESULTS, check_output, folder_and_flags
from clhyper.cli.flags import Flag
from clhyper.errors import UserError, require


def main(arguments: list[str]) -> int:
    """Reads results, writes the page and prints its file."""
    folder, values = folder_and_flags(
        "report",
        f"Writes one HTML file with the runs in DIR (default {RESULTS}), or with those of every runs.jsonl in it or\n"
        "below, as studies write them. The file needs no network and nothing beside it.\n\nExamples:\n"
        f"  clhyper report {RESULTS} -o report.html\n  clhyper report results/generators --output generators.html",
        [Flag("output", Path | None, None, "file for the page, also -o; without it, DIR/report.html")],
        ["--output" if word == "-o" else word.replace("-o=", "--output=", 1) for word in arguments],
    )
    output: Path = values["output"] or folder / "report.html"
    require(not output.is_dir(), f"output {output}: is a folder; give a file such as {output / 'report.html'}")
    from clhyper.figures.report import read_source, write_page
    from clhyper.runs.results import unread_note

    source = read_source(folder)
    check_output(output.absolute().parent)
    try:
        write_page(source, output)
    except OSError as error:
        raise UserError(f"output {output}: can't be written ({(error.strerror or '').lower()})") from None
    if source.unread:
        print(f"clhyper: {unread_note(source.unread)}", file=sys.stderr)
    print(output)
    return 0
