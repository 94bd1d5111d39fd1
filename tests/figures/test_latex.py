"""The table of a study as LaTeX."""

import re
from pathlib import Path

import pytest
from frames import frame, run, study

from clhyper.figures.latex import escape, to_latex
from clhyper.figures.summary import settings, summarise
from clhyper.figures.table import columns_of, to_markdown

PLAIN = {
    "\\textbackslash{}": "\\", "\\textasciitilde{}": "~", "\\textasciicircum{}": "^", "\\textless{}": "<",
    "\\textgreater{}": ">", "\\textbar{}": "|", "\\ldots{}": "…", "$\\pm$": "±", "$-$": "-", "-{}-": "--",
}  # fmt: skip


def written(runs, folder: Path) -> str:
    to_latex(summarise(runs), folder / "new" / "table.tex")
    return (folder / "new" / "table.tex").read_text(encoding="utf-8")


def tabulars(text: str) -> list[str]:
    return re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", text, flags=re.DOTALL)


def cells(tabular: str) -> list[list[str]]:
    """The body's cells, as a reader sees them."""
    body = tabular.split("\\midrule\n")[1].split("\n\\bottomrule")[0]
    rows = [re.split(r"(?<!\\) & ", line.removesuffix(" \\\\")) for line in body.splitlines()]
    return [[seen(cell) for cell in row] for row in rows]


def seen(cell: str) -> str:
    cell = cell.removeprefix("{}")
    for code, plain in PLAIN.items():
        cell = cell.replace(code, plain)
    return re.sub(r"\\([&%$#_{}])", r"\1", cell).strip()


def test_latex_has_the_columns_and_cells_of_markdown(tmp_path: Path) -> None:
    summary = summarise(study())
    (tabular,) = tabulars(written(study(), tmp_path))
    to_markdown(summary, tmp_path / "table.md")
    lines = [line for line in (tmp_path / "table.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells(tabular) == [[cell.replace("\u2013", "--") for cell in row] for row in rows]
    shown = re.search(r"\\toprule\n(.*?) \\\\\n\\midrule", tabular, flags=re.DOTALL)[1].split(" & ")
    assert [
        re.sub(r"\\shortstack\[.\]|[{}]", "", one).replace("\\\\", " ").replace("\\%", "%") for one in shown
    ] == header


def test_there_is_one_tabular_a_setting_with_its_rules_and_a_caption_of_what_is_shared(tmp_path: Path) -> None:
    runs = frame(run("naive", 1, 0), run("naive", 1, 0, benchmark="split_other", evaluated_on="validation"))
    text = written(runs, tmp_path)
    assert len(tabulars(text)) == 2
    for rule in ("toprule", "midrule", "bottomrule", "centering", "end{table}"):
        assert text.count(f"\\{rule}") == 2
    for one, setting in zip(tabulars(text), settings(summarise(runs)), strict=True):
        columns, _ = columns_of(setting)
        assert re.match(r"\\begin\{tabular\}\{([lr]+)\}", one)[1] == "".join("lr"[c.numeric] for c in columns)
    assert "\\caption{split\\_other, 3 experiences, mlp, validation images; norm batch; " in text
    assert len(set(re.findall(r"\\label\{(.*?)\}", text))) == 2


def test_a_hostile_name_or_reason_breaks_no_table(tmp_path: Path) -> None:
    reason = "100 % of $x_1^2$ & #3 {~} \\end{tabular} | <b> [x] --data"
    runs = frame(run("[na]ive*", 1, 0), run("*x", 1, 0), run("[na]ive*", 1, 1, status="failed", reason=reason))
    text = written(runs, tmp_path)
    (tabular,) = tabulars(text)
    found = cells(tabular)
    assert [row[0] for row in found] == ["*x", "[na]ive*"]
    assert found[1][-1] == f"failed (seed 1): {reason}"
    assert "{}[na]ive*" in tabular
    assert "{}*x" in tabular
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}")
    assert all(line.count(" & ") == 12 - 2 for line in tabular.splitlines() if line.endswith("\\\\"))


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a&b%c$d#e_f{g}h", r"a\&b\%c\$d\#e\_f\{g\}h"),
        ("\\ ~ ^", r"\textbackslash{} \textasciitilde{} \textasciicircum{}"),
        ("78.5 ± 6.4", r"78.5 $\pm$ 6.4"),
        ("-10.7 to -3", "$-$10.7 to $-$3"),
        ("latent-replay-2", "latent-replay-2"),
        ("--data ---", "-{}-data -{}-{}-"),
        ("é Ö ß", "é Ö ß"),
        ("ő 漢 😀 ﬁ ²", "o ? ? fi 2"),
        ("two\nlines\tand\x07bell", "two lines and bell"),
    ],
)
def test_text_is_written_so_that_latex_prints_it(text: str, latex: str) -> None:
    assert escape(text) == latex


def test_no_value_is_in_bold(tmp_path: Path) -> None:
    assert "bf" not in written(study(), tmp_path)
