"""Help and lists answer at once, since they import nothing heavy."""

import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "avalanche", "pandas", "matplotlib", "sklearn", "torchvision", "optuna")
PROBE = """
import sys
from clhyper.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code or 0
print("heavy:", *(name for name in {heavy} if name in sys.modules), file=sys.stderr)
sys.exit(code)
"""


def of_processes() -> float:
    """Processor seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("words", ["--help", "list"])
def test_help_and_list_answer_in_under_half_a_second_of_the_processor(words, command):
    def seconds() -> float:
        start = of_processes()
        answer = subprocess.run([command, words], capture_output=True, text=True, check=True)
        assert "partial-hypernetwork" in answer.stdout
        return of_processes() - start

    assert min(seconds() for _ in range(5)) < 0.5


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "list",
        "run --help",
        "run split-digits partial-hypernetwork --help",
        "run split-digits latent-replay --epochs ten",
        "sweep --help",
        "study --help",
        "study freeze-depth --help",
        "study freeze-depth --streams digits --dry-run --device cpu",
        "leaderboard --help",
        "sweep split-digits naive partial-hypernetwork --freeze-depth 0-2 --seeds 3 --dry-run --device cpu",
        "tune --help",
        "tune split-digits naive --search learning_rate=1e-4..1e-1:log --dry-run --device cpu",
        "pretrain --help",
        "pretrain split-cifar100 --help",
        "evaluate --help",
        "export --help",
        "table --help",
        "plot --help",
        "report --help",
        "serve --help",
        "demo --help",
    ],
)
def test_nothing_heavy_is_imported_before_a_run_starts(words):
    answer = subprocess.run(
        [sys.executable, "-c", PROBE.format(heavy=HEAVY), *words.split()], capture_output=True, text=True, check=False
    )
    assert answer.stderr.splitlines()[-1].split() == ["heavy:"]
    assert answer.returncode == (2 if words.endswith("ten") else 0)


def test_help_of_a_run_shows_each_option_with_type_default_and_example(call):
    code, text, error = call("run", "split-digits", "partial-hypernetwork", "--help")
    assert (code, error) == (0, "")
    for piece in (
        "--freeze-depth INT",
        "(default: 2)",
        "--norm {batch,group,instance}",
        "--epochs INT",
        "Example:",
    ):
        assert piece in text, piece


@pytest.mark.parametrize(
    "verb",
    [
        *("run", "sweep", "tune", "study", "pretrain", "evaluate", "export"),
        *("table", "plot", "leaderboard", "report", "serve", "demo", "list"),
    ],
)
def test_every_verb_explains_itself(verb, call):
    code, text, error = call(verb, "--help")
    assert (code, error) == (0, "")
    assert text.lower().startswith("usage: clhyper " + verb)
