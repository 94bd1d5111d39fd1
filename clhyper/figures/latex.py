"""The table of a study as LaTeX, for a paper."""

import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import pandas as pd

from clhyper.figures.summary import Setting, settings
from clhyper.figures.table import Column, columns_of
from clhyper.runs.files import write

__all__ = ["escape", "to_latex"]

NOTE_WIDTH = "4cm"
_ESCAPES = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "`": r"\`{}"},
    # As they are, the standard encoding prints others in their place.
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''"},
    **{"−": "$-$", "±": r"$\pm$", "–": "--", "—": "---", "…": r"\ldots{}", "×": r"$\times$"},  # noqa: RUF001
}
_ACCENTED = re.compile("[À-ÖØ-öø-ÿ]")
_NEEDS_ANOTHER_ENCODING = "ÐÞðþ"


def to_latex(summary: pd.DataFrame, path: Path) -> None:
    """Writes one `table` a setting, with the columns of `to_markdown`; needs the package booktabs.

    What all rows share is the caption. No value is set in bold: the best mean over a few seeds needn't be the best
    configuration, and intervals that overlap don't tell; `clhyper compare` does.
    """
    lines = [r"% Needs \usepackage{booktabs}."]
    for setting in settings(summary):
        lines += ["", *_table(setting)]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write(Path(path), ("\n".join(lines) + "\n").encode())


def _table(setting: Setting) -> list[str]:
    columns, shared = columns_of(setting)
    kinds = [rf"p{{{NOTE_WIDTH}}}" if column.header == "note" else "r" if column.numeric else "l" for column in columns]
    name = setting.prefix.strip("-")
    return [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape('; '.join([setting.title, *shared]))}.}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9-]', '-', name) or 'results'}}}",
        r"\small",
        r"\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{{''.join(kinds)}}}",
        r"\toprule",
        " & ".join(map(_header, columns)) + r" \\",
        r"\midrule",
        *(_row(list(cells)) for cells in zip(*(column.cells for column in columns), strict=True)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def _header(column: Column) -> str:
    """The header on as many lines as it has words, so that the numbers below decide how wide the column is."""
    words = [escape(word) for word in column.header.split()]
    stacked = r"\\".join(words)
    return rf"\shortstack[{'r' if column.numeric else 'l'}]{{{stacked}}}" if len(words) > 1 else stacked


def _row(cells: list[str]) -> str:
    # A cell that begins with [ or * would be taken for an option of the line break before it.
    return " & ".join(f"{{}}{cell}" if cell[:1] in ("[", "*") else cell for cell in map(escape, cells)) + r" \\"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is. Letters that pdfLaTeX doesn't know lose their accents, or become `?`."""
    text = re.sub(r"(?<!\w)-(?=\d)", "−", " ".join(text.split()))  # noqa: RUF001
    escaped = ("-{}" if one + following == "--" else _escaped(one) for one, following in pairwise(text + " "))
    return "".join(escaped)


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isascii():
        return character if character.isprintable() else " "
    if _ACCENTED.match(character) and character not in _NEEDS_ANOTHER_ENCODING:
        return character
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return "".join(_ESCAPES.get(one, one) for one in plain) or "?"
