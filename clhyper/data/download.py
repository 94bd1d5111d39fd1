"""Downloads of data sets: once, by one process at a time, and a sentence where they fail."""

import contextlib
import http.client
import socket
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from clhyper.data.cache import cache_folder
from clhyper.errors import UserError

__all__ = ["downloaded"]

SILENCE = 30.0
"""seconds after which a download that sends nothing has failed"""
FAILURES = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    http.client.HTTPException,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def downloaded(name: str, folder: str, is_there: Callable[[Path], bool], fetch: Callable[[Path], object]) -> Path:
    """The folder of downloads, in which `fetch` has put the data set unless it was there.

    name: of the data set, for the error.
    folder: that it makes in the folder of downloads, which `is_there` and `fetch` are given.
    Raises `UserError` where the download fails.
    """
    root = cache_folder() / "downloads"
    if is_there(root):
        return root
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{folder}.lock"), _patience(SILENCE):
            # Another process may have downloaded it while this one waited.
            if not is_there(root):
                fetch(root)
    except FAILURES as error:
        reason = str(getattr(error, "reason", error)).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{name} couldn't be downloaded to {root} ({reason[-1].rstrip('.')}):"
            f" --data DIR takes files already there, as the folder that holds {folder}"
        ) from error
    return root


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """torchvision sets no time limit of its own: without one, a silent server holds the run for good."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
