"""What a sweep or a run that was killed left behind, known by the host and process in its name."""

import os
import shutil
import socket
from pathlib import Path

SWEEP, RUN = ".clhyper-sweep-", "clhyper-run-"
"""How the names begin of the file by which nodes know a sweep's results, and of a folder that a node works in."""


def prefix(kind: str) -> str:
    """The beginning of a name that says that this process made it."""
    return f"{kind}{socket.gethostname()}-{os.getpid()}-"


def clear_away(folder: Path, kind: str) -> None:
    """Removes from `folder` what processes of this host made that have ended."""
    own = f"{kind}{socket.gethostname()}-"
    for path in folder.glob(f"{own}*"):
        process = path.name.removeprefix(own).partition("-")[0]
        if not process.isdecimal() or _lives(int(process)):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True
