"""A run's files on their way between the folder of a node and the one results folder."""

from pathlib import Path

from clhyper.runs.files import write
from clhyper.runs.folder import CHECKPOINT, CONFIG, ENVIRONMENT, EXPERIENCES, FAILURE, MATRIX, RESULT

FILES = (CONFIG, ENVIRONMENT, EXPERIENCES, MATRIX, CHECKPOINT, RESULT, FAILURE)
"""In the order in which they are written: a checkpoint counts, so what goes with it is there first."""

Files = dict[str, bytes | None]
"""Contents by name; None for a file that is gone."""


def read_files(folder: Path) -> Files:
    """All that a run goes on from."""
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}


def whole(folder: Path) -> Files:
    """All that a folder has, in place of what was known of it before."""
    return {FAILURE: None, **read_files(folder)}


def write_files(folder: Path, files: Files) -> None:
    """Replaces each file atomically; raises `RunError` if one can't be written."""
    for name in FILES:
        content = files.get(name)
        if content is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / name, content)
        elif name in files:
            (folder / name).unlink(missing_ok=True)


class Changes:
    """The files of a folder that have changed since they were taken last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known = self._marks()

    def take(self) -> Files:
        """Contents of what has changed; None for a failure that is gone, as no other file of a run ever is."""
        marks = self._marks()
        changed = [n for n in FILES if marks.get(n) != self._known.get(n) and (n in marks or n == FAILURE)]
        self._known = marks
        return {name: (self.folder / name).read_bytes() if name in marks else None for name in changed}

    def _marks(self) -> dict[str, tuple[int, int]]:
        """Files are replaced, never rewritten: each content has a number of its own in the file system."""
        stats = {name: (self.folder / name).stat() for name in FILES if (self.folder / name).is_file()}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}
