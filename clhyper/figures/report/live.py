"""What a live page shows: a folder's content, read anew when its files have changed, but not without rest."""

import contextlib
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from clhyper.figures.report.content import content
from clhyper.figures.report.page import as_json
from clhyper.figures.report.source import Memory, archives_in, read_or_wait
from clhyper.registry import read_once

REST = 4.0
"""Rest after each look at the files, in times what the look took: of a processor a fifth is enough (ours)."""


class Results:
    """The content of a folder as JSON and its tag; of the folder's files only those are read that have changed.

    rest: in times what a look at the files took. clock: seconds.
    """

    def __init__(self, folder: Path, rest: float = REST, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.rest = folder, rest
        self._clock = clock
        self._lock = threading.Lock()
        self._memory = Memory()
        self._seen = ""
        self._shown = ("", "")
        self._error: Exception | None = None
        self._next = -float("inf")

    def now(self) -> tuple[str, str]:
        """The content as JSON, and its tag, which differs if anything but the time differs.

        While another thread reads, and for a while after, the content is that of before, and so is the error.

        Raises:
            UserError: there is no such folder, but something else.
        """
        if self._lock.acquire(blocking=not self._shown[0]):
            try:
                if self._clock() >= self._next:
                    self._look()
            finally:
                self._lock.release()
        if error := self._error:
            raise error.with_traceback(None)
        return self._shown

    def begin(self) -> None:
        """Starts reading, so that who asks waits less."""

        def read() -> None:
            with contextlib.suppress(Exception):  # who asks is told
                self.now()

        threading.Thread(target=read, daemon=True).start()

    def _look(self) -> None:
        start = self._clock()
        try:
            seen = fingerprint(self.folder)
            if seen != self._seen or not self._shown[0]:
                with read_once():
                    found = content(read_or_wait(self.folder, self._memory))
                tag = hashlib.sha256(as_json(found | {"when": ""}).encode()).hexdigest()[:20]
                if f'"{tag}"' != self._shown[1]:
                    self._shown = (as_json(found), f'"{tag}"')
                self._seen = seen
            self._error = None
        except Exception as error:
            self._seen, self._error = "", error
        end = self._clock()
        self._next = end + self.rest * (end - start)


def fingerprint(folder: Path) -> str:
    """Changes when a file that a report is made of is written, replaced or removed.

    Those are the files in the folder, those in its folders, and archives further below.
    """
    found = hashlib.sha256()
    with contextlib.suppress(OSError):
        for archive in archives_in(folder):
            found.update(_state(str(archive)))
    found.update(_state(str(folder)))
    for one in _entries(str(folder)):
        found.update(_state(one.path))
        for below in _entries(one.path) if _is_folder(one) else ():
            found.update(_state(below.path))
    return found.hexdigest()


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """By name; without what is half written, and the index."""
    try:
        with os.scandir(folder) as entries:
            return sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: one.name)
    except OSError:  # gone, or not ours to read
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _state(path: str) -> bytes:
    """A file as it is, or a link that leads nowhere, or nothing; of a folder only which it is."""
    state = None
    for follow in (True, False):
        with contextlib.suppress(OSError):
            state = os.stat(path, follow_symlinks=follow)
            break
    if state is None:
        return os.fsencode(f"{path}\0\n")
    is_file = not stat.S_ISDIR(state.st_mode)
    times = (state.st_mtime_ns, state.st_size) if is_file else ()
    return os.fsencode(f"{path}\0{state.st_mode}\0{state.st_ino}\0{times}\n")
