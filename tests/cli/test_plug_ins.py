"""Entries of third parties and files dropped in are listed and run like our own; what fails in one is said."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from installed_package import install

import strategies
from clhyper.runs import load

ROOT = Path(__file__).parents[2]
FAILING = '''"""Stumbles: raises an error in its second experience."""

from dataclasses import dataclass

from clhyper.options import TrainingOptions
from strategies.naive import Naive

__all__ = ["Stumbles"]


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Hyperparameters of what stumbles."""

    courage: float = 0.5
    """how much of it there is"""


class Stumbles(Naive):
    Options = Options

    def prepare_experience(self):
        if self.experiences_learned == 1:
            raise ZeroDivisionError("no way\\nand a second line")
'''
BROKEN_STREAM = '''"""Breaks: raises an error as soon as it is made."""

from dataclasses import dataclass

from clhyper.options import StreamOptions

__all__ = ["Breaks"]


@dataclass(frozen=True, kw_only=True)
class Options(StreamOptions):
    """Options of what breaks."""


def Breaks(**options):
    raise LookupError("no such thing")
'''


@pytest.fixture(scope="module")
def third_party(tmp_path_factory) -> Path:
    """A folder with a package whose strategy and stream fail."""
    modules = {"stumbling": FAILING, "breaking": BROKEN_STREAM}
    entry_points = "[strategies]\nstumbles = third_party.stumbling\n[benchmarks]\nbreaks = third_party.breaking\n"
    return install(tmp_path_factory.mktemp("site"), "third_party", modules, entry_points)


@pytest.fixture
def installed(third_party, monkeypatch):
    monkeypatch.syspath_prepend(third_party)


def test_a_third_party_s_entries_are_in_the_list_of_the_real_command(third_party, command):
    environment = {**os.environ, "PYTHONPATH": str(third_party)}
    answer = subprocess.run([command, "list"], capture_output=True, text=True, check=True, env=environment)
    assert "  stumbles               Stumbles: raises an error in its second experience.\n" in answer.stdout
    assert "  breaks                 Breaks: raises an error as soon as it is made.\n" in answer.stdout
    assert answer.stderr == ""


def test_a_third_party_s_options_are_flags(installed, call):
    code, out, _ = call("run", "split-digits", "stumbles", "--help")
    assert code == 0
    assert "--courage FLOAT" in out
    assert "how much of it there is (default: 0.5)" in " ".join(out.split())
    code, _, error = call("run", "split-digits", "stumbls")
    assert (code, "did you mean 'stumbles'" in error) == (2, True)


def test_a_run_that_fails_exits_with_1_and_says_why(installed, call, of_tiny, tmp_path):
    code, out, error = call("run", "split-npz", "stumbles", *of_tiny, "--results", tmp_path)
    assert (code, error) == (1, "")
    assert "failed: ZeroDivisionError: no way" in out
    assert "Traceback" not in out
    (folder,) = tmp_path.iterdir()
    assert len((folder / "experiences.jsonl").read_text().splitlines()) == 1
    assert "Traceback" in (folder / "failure.json").read_text()


def test_the_rest_of_a_sweep_goes_on_and_the_table_has_the_failure(installed, call, of_tiny, tmp_path):
    code, out, error = call("sweep", "split-npz", "stumbles", "naive", *of_tiny, "--jobs", 2, "--results", tmp_path)
    assert (code, error) == (1, "")
    assert "stumbles seed 0: failed: ZeroDivisionError: no way\n" in out or "no way (" in out
    assert "naive depth 0 seed 0: complete" in out
    assert "1 of 2 runs complete, 1 failed" in out
    runs = load(tmp_path).set_index("strategy")
    assert runs.status.to_dict() == {"stumbles": "failed", "naive": "complete"}
    code, out, error = call("table", tmp_path)
    assert (code, error) == (0, "")
    markdown = (tmp_path / "table.md").read_text()
    assert "ZeroDivisionError: no way" in " ".join(out.split()) or "ZeroDivisionError: no way" in markdown
    assert "stumbles" in markdown


def test_a_stream_that_breaks_fails_its_runs(installed, call, tmp_path):
    code, out, error = call("sweep", "breaks", "naive", "joint", "--jobs", 2, "--results", tmp_path / "r")
    assert code == 1, error
    assert out.count("failed: LookupError: no such thing") == 2
    assert (tmp_path / "r").is_dir()


@pytest.mark.slow
def test_whatever_fails_in_a_sweep_the_real_command_prints_no_traceback(third_party, command, of_tiny, tmp_path):
    for words in ("sweep breaks naive", f"sweep split-npz stumbles {' '.join(of_tiny)}"):
        answer = subprocess.run(
            [command, *words.split(), "--results", tmp_path / "r"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(third_party)},
        )
        assert (answer.returncode, answer.stderr) == (1, "")
        assert ": failed: " in answer.stdout
        assert "Traceback" not in answer.stdout


def test_a_file_dropped_into_the_folder_is_one_more_entry_and_runs(call, of_tiny, tmp_path, monkeypatch):
    source = FAILING.replace("== 1", "== 99").replace("Stumbles: raises", "Walks: never raises")
    (tmp_path / "walks.py").write_text(source.replace("Stumbles", "Walks"))
    (tmp_path / "notes.txt").write_text("no entry")
    (tmp_path / "helper.py").write_text("value = 3\n")
    (tmp_path / "half_written.py").write_text("def half(")
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    monkeypatch.setattr(strategies.__spec__, "submodule_search_locations", strategies.__path__)
    code, out, _ = call("list")
    assert code == 0
    assert "  walks                  Walks: never raises an error in its second experience.\n" in out
    assert not any(word in out for word in ("notes", "helper", "half"))
    code, out, error = call("run", "split-npz", "walks", *of_tiny, "--courage", 1, "--results", tmp_path / "r")
    assert code == 0, error
    assert "walks seed 0: complete" in out
    assert strategies.Walks.__name__ == "Walks"


def test_a_copy_of_the_repository_lists_the_files_in_its_own_folders(tmp_path):
    for package in ("clhyper", "strategies", "benchmarks"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "strategies" / "walks.py").write_text(FAILING)
    (tmp_path / "benchmarks" / "split_nothing.py").write_text(BROKEN_STREAM)
    (tmp_path / "benchmarks" / "split_cifar100.py").unlink()
    answer = subprocess.run(
        [sys.executable, "-m", "clhyper.cli.main", "list"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    names = [line.split()[0] for line in answer.stdout.splitlines() if line.startswith("  ")]
    assert {"walks", "split-nothing", "naive", "split-digits"} <= set(names)
    assert "split-cifar100" not in names
