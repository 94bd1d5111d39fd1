"""What the site makes from the code has every strategy with its loss and source, every stream, cost and command."""

import re
import sys
from pathlib import Path

import pytest

from clhyper.registry import entries, field_help

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
pytest.importorskip("sphinx")
import equations  # noqa: E402
import generate  # noqa: E402


def sections(page: str) -> dict[str, str]:
    """A page's text under each heading of the second level."""
    parts = re.split(r"^## (.+)$", page, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", entries("strategy"))
def test_a_strategy_has_its_loss_as_a_formula_and_its_source(name):
    section = sections(generate.strategies())[name]
    assert re.search(r"^\$\$\n.+\n\$\$$", section, re.M)
    assert re.search(r"(Source|Sources): .*\d{4}", section, re.S)


@pytest.mark.parametrize(("kind", "page"), [("strategy", "strategies"), ("benchmark", "streams")])
def test_a_page_has_every_entry_and_every_option_s_help(kind, page):
    shared = generate.training_options() + generate.depth_options() + generate.stream_options()
    found = sections(generate.PARTS[page]())
    assert set(found) == set(entries(kind))
    for name, entry in entries(kind).items():
        for field, text in field_help(entry.options()).items():
            row = f"`--{field.replace('_', '-')}`"
            assert row in found[name] + shared
            assert equations.marked_up(text).replace("|", "\\|") in found[name] + shared


def test_a_backbone_has_a_row_for_each_depth_and_its_parameters():
    rows = [line.split("|") for line in sections(generate.backbones())["slim-resnet18"].splitlines() if "," in line]
    counted = {row[1].strip(): (row[3].strip(), row[4].strip()) for row in rows if len(row) > 4}
    assert counted["0"] == ("0", "1,094,750")
    assert counted["2"] == ("66,740", "1,028,010")
    assert counted["4"] == ("1,093,140", "1,610")


def test_every_cost_has_a_unit_and_is_explained():
    from clhyper.evaluation.cost import COSTS

    page = (ROOT / "docs" / "costs.md").read_text(encoding="utf-8")
    table = generate.costs()
    for name in COSTS:
        assert re.search(rf"^\| `{name}` \| [a-zA-Z-]+ \| .+ \|$", table, re.M), name
        assert f"`{name}`" in page, name


def test_every_column_of_a_frame_of_results_is_explained_and_a_number_has_its_unit():
    from clhyper.runs.columns import COSTS, METRICS, OF_CELLS, OF_EXPERIENCES, OF_RUNS

    table = generate.columns()
    for name in (*OF_RUNS, *OF_EXPERIENCES, *OF_CELLS):
        assert re.search(rf"^\| `{name}` \| [^|]* \| [^|]+ \|$", table, re.M), name
    for name in (*METRICS, *COSTS):
        assert re.search(rf"^\| `{name}` \| [^| ]+ \| [^|]+ \|$", table, re.M), name


def test_every_command_s_help_is_on_the_page():
    from clhyper.cli.main import VERBS

    found = sections(generate.commands())
    for verb in VERBS:
        assert "usage: clhyper" in found[f"clhyper {verb}"], verb
    assert "--freeze-depth" in found["clhyper run split-digits partial-hypernetwork"]


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("|a - b|^2", r"\left\lVert a - b \right\rVert^2"),
        ("beta/2 * psi*", r"\beta /2\,\psi ^*"),
        ("sum_{s<t} CE(z || y)", r"\sum _{s<t} \mathrm{CE}(z\,\parallel\,y)"),
        ("mean over tasks s of e_s", r"\text{ mean over tasks } s \text{ of } e_s"),
        ("lambda sum_i F_i/(t-1)", r"\lambda  \sum _i F_i/(t-1)"),
    ],
)
def test_a_loss_as_text_becomes_a_formula(text, tex):
    assert equations.as_tex(text) == tex


def test_greek_letters_and_flags_are_marked_up_but_in_code():
    shown = equations.marked_up("H_psi(e_t), beta and `beta`, --beta")
    assert shown == "H<sub>ψ</sub>(e<sub>t</sub>), β and `beta`, `--beta`"
