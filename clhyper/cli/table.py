"""prints means and 95 % intervals over seeds, and writes them as CSV, Markdown and LaTeX"""

from pathlib import Path

from clhyper.cli.common import RESULTS, check_output, folder_and_flags, load_runs
from clhyper.cli.flags import Flag
from clhyper.errors import UserError


def main(arguments: list[str]) -> int:
    """Reads results, writes `table.csv`, `table.md` and `table.tex`, prints the table."""
    folder, values = folder_and_flags(
        "table",
        f"Reads the runs in DIR (default {RESULTS}).\n\nExample:\n  clhyper table {RESULTS}",
        [Flag("output", Path | None, None, "folder for table.csv, table.md and table.tex; without it, DIR")],
        arguments,
    )
    from rich.console import Console

    from clhyper.figures.latex import to_latex
    from clhyper.figures.table import show, summarise, to_csv, to_markdown

    output = values["output"] or folder
    summary = summarise(load_runs(folder))
    check_output(output)
    files = {to_csv: output / "table.csv", to_markdown: output / "table.md", to_latex: output / "table.tex"}
    for to_file, path in files.items():
        try:
            to_file(summary, path)
        except OSError as error:
            raise UserError(f"output {output}: can't be made ({(error.strerror or '').lower()})") from None
    # A pager may close the output before its end.
    show(summary, Console())
    print(", ".join(map(str, files.values())))
    return 0
