"""The command line: `clhyper VERB`, one file a verb. Imports a verb's own file only, and nothing heavy before that."""

import ast
import importlib
import os
import sys
from pathlib import Path

from clhyper.errors import RunError, UserError, unknown

VERBS = (
    *("demo", "list", "pretrain", "run", "sweep", "tune", "study", "evaluate", "export"),
    *("table", "compare", "pareto", "rank", "plot", "leaderboard", "report", "serve"),
)
EXIT_FAILED, EXIT_MISUSE, EXIT_INTERRUPTED = 1, 2, 130
_STOPPED = {
    **dict.fromkeys(
        ("run", "sweep", "tune", "study", "demo"), "the same command goes on from the last finished experiences"
    ),
    "pretrain": "nothing was written",
}
"""What to know after Ctrl-C, by verb."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 1 if a run failed, 2 for bad input, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _dispatch(arguments)
    except UserError as error:
        print(f"clhyper: {error}", file=sys.stderr)
        return EXIT_MISUSE
    except RunError as error:
        print(f"clhyper: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        note = _STOPPED.get(arguments[0]) if arguments else None
        print(f"\nclhyper: stopped{f'; {note}' if note else ''}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if "CLHYPER_DEBUG" in os.environ:
            raise
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        print(f"clhyper: unexpected {reason} (CLHYPER_DEBUG=1 shows where)", file=sys.stderr)
        return EXIT_FAILED


def _dispatch(arguments: list[str]) -> int:
    verb, *rest = arguments or ["--help"]
    if verb in ("--help", "-h", "help"):
        print(_help())
        return 0
    if verb == "--version":
        from importlib.metadata import version

        print(f"clhyper {version('clhyper')}")
        return 0
    if verb not in VERBS:
        raise unknown("command", verb, VERBS)
    return importlib.import_module(f"clhyper.cli.{verb}").main(rest)


def _help() -> str:
    lines = [
        "usage: clhyper COMMAND [options]",
        "",
        "Partial hypernetworks for continual learning: forgetting and cost, measured together.",
        "",
        "commands:",
        *(f"  {verb:11} {_summary(verb)}" for verb in VERBS),
        "",
        "Each command explains itself: clhyper COMMAND --help. First steps:",
        "  clhyper demo",
        "  clhyper run split-digits partial-hypernetwork --freeze-depth 1 --epochs 20",
    ]
    return "\n".join(lines)


def _summary(verb: str) -> str:
    source = Path(__file__).with_name(f"{verb}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
