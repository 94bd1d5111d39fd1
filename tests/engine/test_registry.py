import dataclasses
import importlib
import subprocess
import sys
import typing

import pytest

from clhyper.errors import UserError
from clhyper.registry import entries, field_help, find, option_defaults

ENTRIES = [entry for kind in ("strategy", "benchmark") for entry in entries(kind).values()]
NAMES = [f"{entry.kind} {entry.name}" for entry in ENTRIES]


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_reading_an_entry_gives_the_options_that_importing_it_gives(entry):
    read, imported = entry.options(), importlib.import_module(entry.module).Options
    assert read is not imported
    described = [
        [(field.name, field.default, field.kw_only) for field in dataclasses.fields(options)]
        for options in (read, imported)
    ]
    assert described[0] == described[1]
    assert described[0]
    assert typing.get_type_hints(read) == typing.get_type_hints(imported)
    assert option_defaults(read) == option_defaults(imported)


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_every_option_has_its_help(entry):
    texts = field_help(entry.options())
    for field in dataclasses.fields(entry.options()):
        assert len(texts.get(field.name, "")) > 10, field.name


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_the_options_an_entry_uses_are_its_own(entry):
    loaded = entry.load()
    assert entry.summary.endswith(".")
    if entry.kind == "strategy":
        assert loaded.Options is importlib.import_module(entry.module).Options
        for name in ("needs_task_labels", "depth_zero_of", "offline"):
            assert (entry.constant(name) or None) == (getattr(loaded, name, None) or None)


def test_a_help_text_under_a_redefined_option_wins_over_that_of_the_base():
    texts = field_help(find("strategy", "partial-hypernetwork").options())
    assert texts["norm"] == "normalisation of the generated back; batch keeps running statistics a task"
    assert texts["epochs"] == "passes over an experience's images"
    assert find("strategy", "partial-hypernetwork").options()().norm == "instance"
    assert find("strategy", "naive").options()().norm == "batch"


def test_names_options_and_summaries_are_read_without_torch_or_avalanche():
    program = (
        "import sys\n"
        "from clhyper.registry import entries, field_help\n"
        "for kind in ('strategy', 'benchmark'):\n"
        "    for entry in entries(kind).values():\n"
        "        field_help(entry.options()), entry.summary, entry.constant('needs_task_labels')\n"
        "        entry.options()()\n"
        "print(sorted({'torch', 'avalanche', 'numpy', 'pandas'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        ("strategy", "latent-reply", "unknown strategy 'latent-reply': did you mean 'latent-replay'?"),
        ("benchmark", "split-cifar", "unknown benchmark 'split-cifar': did you mean 'split-cifar10'"),
        ("strategy", "zzzz", "unknown strategy 'zzzz': known: agem, der"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_or_all(kind, name, sentence):
    with pytest.raises(UserError, match=sentence):
        find(kind, name)


def test_a_file_dropped_in_is_one_more_entry(tmp_path, monkeypatch):
    import strategies

    (tmp_path / "mine_own.py").write_text(
        '"""Mine: does nothing."""\n'
        "from dataclasses import dataclass\n"
        "import torch\n"
        "from strategies.naive import Options as NaiveOptions\n"
        '__all__ = ["Mine"]\n'
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Options(NaiveOptions):\n"
        '    """Options."""\n'
        "    patience: int = 3\n"
        '    """epochs to wait"""\n'
        "class Mine:\n"
        "    Options = Options\n"
        "    needs_task_labels = True\n"
    )
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "helper.py").write_text("x = 1\n")
    before = set(entries("strategy"))
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    monkeypatch.setattr(strategies.__spec__, "submodule_search_locations", strategies.__path__)
    found = entries("strategy")
    assert set(found) - before == {"mine-own"}
    mine = found["mine-own"]
    assert mine.summary == "Mine: does nothing."
    assert mine.constant("needs_task_labels") is True
    assert option_defaults(mine.options())["patience"] == 3
    assert option_defaults(mine.options())["freeze_depth"] == 0
    assert field_help(mine.options())["patience"] == "epochs to wait"
    assert mine.load().__name__ == "Mine"
    sys.modules.pop("strategies.mine_own")
