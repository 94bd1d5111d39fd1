"""A run's folder: files replaced atomically, one process at a time, resumable from the last finished experience.

The checkpoint is the truth: it has the number of finished experiences and their records, and the readable files beside
it are written from it. A kill between any two writes costs at most the experience that was under way.
"""

import contextlib
import dataclasses
import io
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clhyper.errors import RunError, UserError
from clhyper.runs.config import SCHEMA, RunConfig, read_toml

CONFIG, ENVIRONMENT, EXPERIENCES = "config.toml", "environment.json", "experiences.jsonl"
MATRIX, CHECKPOINT, RESULT, FAILURE = "matrix.json", "checkpoint.pt", "result.json", "failure.json"
_PARTS = {"records", "strategy", "accuracy", "cost", "data", "loading_seconds"}
"""What a checkpoint must have for a run to go on from it."""
_LOCK = "lock"
_LOCK_SECONDS = 3.0


class BusyError(Exception):
    """Another process is at work on the run."""


class RunFolder:
    """The folder `results`/`config.name` and the files in it.

    `config`: as given, but with the threads that an unfinished run was begun with, which its numbers depend on.
    """

    def __init__(self, results: Path, config: RunConfig) -> None:
        self.path = results / config.name
        self.config = config
        if (self.path / CHECKPOINT).exists():
            with contextlib.suppress(UserError):
                begun_with = read_toml(self.path / CONFIG).get("threads", config.threads)
                self.config = dataclasses.replace(config, threads=begun_with)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes out; raises `BusyError` if one is in.

        Raises:
            UserError: the folder can't be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / _LOCK, timeout=_LOCK_SECONDS).acquire()
        except Timeout:
            raise BusyError(self.path.name) from None
        except OSError as error:
            reason = (error.strerror or "unwritable").lower()
            raise UserError(f"results {self.path.parent}: can't be written ({reason})") from None
        with lock:
            yield

    @property
    def complete(self) -> bool:
        """Whether the run has ended and its result can be read."""
        return is_complete(read_object(self.path / RESULT))

    def start(self, environment: dict[str, Any]) -> None:
        """Writes what is run and on what; forgets an earlier failure and what a kill left half written."""
        for name in (CONFIG, ENVIRONMENT, EXPERIENCES, MATRIX, CHECKPOINT, RESULT, FAILURE):
            for leftover in self.path.glob(f".{name}.*"):
                leftover.unlink(missing_ok=True)
        write(self.path / CONFIG, self.config.to_toml().encode())
        write_json(self.path / ENVIRONMENT, environment)
        (self.path / FAILURE).unlink(missing_ok=True)

    def checkpoint(self) -> dict[str, Any] | None:
        """The state after the last finished experience, or None.

        A file that is damaged, or no checkpoint of a run, is set aside and the run starts anew.

        Raises:
            UserError: the checkpoint is of another schema.
            OSError: the file is there and can't be read.
        """
        import torch

        path = self.path / CHECKPOINT
        if not path.exists():
            return None
        stored = io.BytesIO(path.read_bytes())
        try:
            content = torch.load(stored, map_location="cpu", weights_only=True)
        except Exception:  # damaged bytes can make the unpickler raise anything
            content = None
        schema = content.get("schema") if isinstance(content, dict) else None
        if schema is None or (schema == SCHEMA and not content.keys() >= _PARTS):
            path.replace(path.with_name(f"{CHECKPOINT}.damaged"))
            return None
        if schema != SCHEMA:
            raise UserError(
                f"{path}: schema {schema}, this version of clhyper reads schema {SCHEMA};"
                " move the folder away to run it anew"
            )
        return content

    def save(self, state: dict[str, Any], records: list[dict[str, Any]], matrix: list[list[float | None]]) -> None:
        """Makes an experience finished: readable files, then the checkpoint that counts. Ctrl-C waits for it."""
        import torch

        with uninterrupted():
            self.write_readable(records, matrix)
            content = io.BytesIO()
            torch.save({"schema": SCHEMA, "records": records, "matrix": matrix, **state}, content)
            write(self.path / CHECKPOINT, content.getvalue())

    def write_readable(self, records: list[dict[str, Any]], matrix: list[list[float | None]]) -> None:
        """One line an experience, and the accuracy matrix."""
        write(self.path / EXPERIENCES, "".join(json.dumps(record) + "\n" for record in records).encode())
        write_json(self.path / MATRIX, matrix)

    def finish(self, result: dict[str, Any]) -> None:
        """Makes the run complete."""
        write_json(self.path / RESULT, {"schema": SCHEMA, "status": "complete", **result})

    def fail(self, reason: str, details: str = "") -> None:
        """Notes why the run stopped, if it can; the next start goes on from its last finished experience."""
        with contextlib.suppress(RunError):  # the reason may be that nothing can be written
            if self.path.is_dir():
                if not (self.path / CONFIG).exists():
                    write(self.path / CONFIG, self.config.to_toml().encode())
                write_json(self.path / FAILURE, {"schema": SCHEMA, "reason": reason, "details": details})


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside, Ctrl-C and a request to terminate wait until the end, so that what is being written is finished."""
    if threading.current_thread() is not threading.main_thread():
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


def write(path: Path, content: bytes) -> None:
    """Replaces a file atomically: a reader, or a kill at any moment, finds the old content or the new.

    Raises:
        RunError: the disk is full, or the file can't be written for another reason.
    """
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
            raise RunError(
                f"{path}: can't be written ({(error.strerror or str(error)).lower()}); mend that and run the same"
                " command again: nothing finished is lost"
            ) from error
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


def is_complete(result: dict[str, Any]) -> bool:
    """Whether this is the result of a run that has ended, and no damaged or foreign file."""
    return result.get("status") == "complete" and isinstance(result.get("metrics"), dict)
