"""Files replaced whole or not at all, and JSON that may be damaged."""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clhyper.errors import RunError

__all__ = ["read_json", "read_object", "uninterrupted", "wait_for_writing", "write", "write_json"]

_WRITING = threading.RLock()
_LONGEST_WAIT = 30.0


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside, Ctrl-C and a request to terminate wait until the end, so that what is being written is finished.

    Other threads than the main one get no signals; there, the process that has them must `wait_for_writing`.
    """
    if threading.current_thread() is not threading.main_thread():
        with _WRITING:
            yield
        return
    waiting: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: waiting.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if waiting:
            signal.raise_signal(waiting[0])


def wait_for_writing() -> None:
    """Returns when no other thread is `uninterrupted`, and lets none be any more: the process is to end now."""
    _WRITING.acquire(timeout=_LONGEST_WAIT)


def write(path: Path, content: bytes) -> None:
    """Replaces a file atomically: a reader, or a kill at any moment, finds the old content or the new.

    A symbolic link stays, and what it points at is replaced.

    Raises:
        RunError: the disk is full, there is something that is no ordinary file, or it can't be written for another
            reason.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise RunError(f"{path}: can't be written (it is no ordinary file)")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise RunError(f"{path}: can't be written ({(error.strerror or str(error)).lower()})") from error
        raise


def write_json(path: Path, content: Any) -> None:
    """`write` of indented JSON."""
    write(path, (json.dumps(content, indent=1) + "\n").encode())


def read_json(path: Path) -> Any:
    """The file's content, or None if it is absent, damaged or no ordinary file."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):  # JSON can be nested deeper than Python reads
        return None


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file; empty if it is absent, damaged or holds something else."""
    content = read_json(path)
    return content if isinstance(content, dict) else {}
