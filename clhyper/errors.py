"""The one kind of error that is the user's to mend."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input, said in one sentence: the thing, what is wrong with it, what would be right.

    The command line prints it without a traceback and exits with code 2.
    """


class RunError(Exception):
    """Why a run can't go on, said in one sentence: its training diverged, the disk is full.

    The run is failed, the others of a sweep go on, and the command line exits with code 1.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """An unknown name of some `kind`, with the nearest right one."""
    choices = sorted(known)
    nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(choices)}"
    return UserError(f"unknown {kind} {name!r}: {hint}")


def require(condition: bool, message: str) -> None:
    """Raises `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)
