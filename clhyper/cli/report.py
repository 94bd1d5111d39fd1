"""writes one HTML page with tables and charts of all results, which works offline"""

import re
import sys
from pathlib import Path
from typing import Annotated, Any

from clhyper.cli.common import RESULTS, check_output, folder_and_flags
from clhyper.cli.flags import Flag
from clhyper.errors import UserError, require

_SHORT = re.compile(r"^-o(=|(?=.))", re.DOTALL)
"""The flag written together with its file."""


def main(arguments: list[str]) -> int:
    """Reads results, writes the page and prints its file."""
    from tyro.conf import arg

    file: Any = Annotated[Path | None, arg(aliases=["-o"], metavar="FILE")]
    folder, values = folder_and_flags(
        "report",
        f"Writes one HTML file with the runs in DIR (default {RESULTS}), or with those of every runs.jsonl in it or\n"
        "below, as studies write them. The file needs no network and nothing beside it.\n\nExamples:\n"
        f"  clhyper report {RESULTS} -o report.html\n  clhyper report results/generators --output generators.html",
        [Flag("output", file, None, "file for the page; without it, DIR/report.html")],
        [_SHORT.sub("--output=", word) for word in arguments],
    )
    output: Path = values["output"] or folder / "report.html"
    require(not output.is_dir(), f"output {output}: is a folder; give a file such as {output / 'report.html'}")
    from clhyper.figures.report import read_source, write_page
    from clhyper.runs.results import unread_note
    from clhyper.runs.variants import printable

    source = read_source(folder)
    check_output(output.absolute().parent)
    try:
        write_page(source, output)
    except OSError as error:
        raise UserError(f"output {output}: can't be written ({(error.strerror or '').lower()})") from None
    if source.unread:
        print(f"clhyper: {unread_note(source.unread)}", file=sys.stderr)
    print(printable(output))
    return 0
