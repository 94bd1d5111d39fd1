"""Every command that the README, CONTRIBUTING and the site show is one that the command line takes as it stands."""

import re
import shlex
from pathlib import Path

import pytest
import tyro

from clhyper.cli.main import VERBS, main
from clhyper.registry import entries

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown(page: Path) -> list[str]:
    """The command lines in the page's blocks, without `clhyper` itself."""
    blocks = re.findall(r"^```(?:sh|bash)?\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return re.findall(r"^(?:\.venv/bin/)?clhyper (.*?)(?:\s+#.*)?$", "\n".join(blocks), re.M)


COMMANDS = sorted({command for page in PAGES for command in shown(page)})


class ParsedError(BaseException):
    """The flags were taken; what follows would train."""


@pytest.fixture
def only_parsed(monkeypatch, tmp_path):
    """Commands end once tyro has taken all of their flags."""
    real = tyro.cli

    def cli(*arguments, **keywords):
        real(*arguments, **keywords)
        raise ParsedError

    monkeypatch.setattr(tyro, "cli", cli)
    monkeypatch.chdir(tmp_path)
    for name in ("FILE.toml", "results/runs/RUN/config.toml"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text('benchmark = "split-digits"\nstrategy = "naive"\n')


@pytest.mark.parametrize("command", [command for command in COMMANDS if "split-shapes" not in command])
def test_a_command_that_is_shown_parses(command, only_parsed):
    if command == "list":
        assert main(["list"]) == 0
        return
    with pytest.raises((ParsedError, SystemExit)) as end:
        main(shlex.split(command))
    assert end.type is (SystemExit if "--help" in command else ParsedError)
    assert "--help" not in command or end.value.code in (0, None)


def test_a_command_with_a_wrong_flag_would_be_found(only_parsed, capsys):
    assert main(["run", "split-digits", "naive", "--epoch", "3"]) == 2
    assert "--epochs" in capsys.readouterr().err


def test_the_site_shows_every_verb_but_the_ones_that_make_runs():
    assert {command.split()[0] for command in COMMANDS} >= set(VERBS) - {"demo"}


def test_every_option_that_pages_name_is_one():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(re.findall(r"`--(?:no-)?([a-z][a-z-]*)", text))
    options = {field for kind in ("benchmark", "strategy") for e in entries(kind).values() for field in fields(e)}
    of_verbs = {
        flag.removeprefix("no-")
        for source in (ROOT / "clhyper" / "cli").glob("*.py")
        for flag in re.findall(r'"([a-z_]+)"', source.read_text(encoding="utf-8"))
    }
    assert {name.replace("-", "_") for name in named} <= options | of_verbs | {"help", "version"}


def fields(entry) -> list[str]:
    return list(entry.options().__dataclass_fields__)
