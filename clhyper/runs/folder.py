"""A run's folder: files replaced atomically, one process at a time, resumable from the last finished experience.

The checkpoint is the truth: it has the number of finished experiences and their records, and the readable files beside
it are written from it. A kill between any two writes costs at most the experience that was under way.
"""

import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clhyper.errors import RunError, UserError, require
from clhyper.measures import ACCURACY
from clhyper.runs.config import SCHEMA, RunConfig, read_toml
from clhyper.runs.files import read_object, uninterrupted, write, write_json
from clhyper.runs.fronts import located

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

    `config`: as given, but with the threads that an unfinished run was begun with, which its numbers depend on, and
    with the path of a front that a study trained. What is written names that front as given, wherever `results` are.
    """

    def __init__(self, results: Path, config: RunConfig) -> None:
        self.path = results / config.name
        self._given = config
        if (self.path / CHECKPOINT).exists():
            with contextlib.suppress(UserError):
                begun_with = read_toml(self.path / CONFIG).get("threads", config.threads)
                self._given = dataclasses.replace(config, threads=begun_with)
        self.config = located(self._given, results)

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

    def check_defaults(self) -> None:
        """Raises `UserError` if the run was begun under another default of an option, which its name doesn't tell."""
        try:
            begun_with = read_toml(self.path / CONFIG)
        except UserError:
            return
        now = self._given.as_dict()
        for table in ("benchmark_options", "strategy_options"):
            for name, value in begun_with.get(table, {}).items():
                flag = f"--{name.replace('_', '-')} {value}"
                require(
                    now[table].get(name, value) == value,
                    f"{self.path}: was begun with {name} {value}, and {now[table].get(name)} is the default now; move"
                    f" the folder away to run it anew, or give {flag} to run that in a folder of its own",
                )

    @property
    def complete(self) -> bool:
        """Whether the run has ended and its result can be read."""
        return is_complete(read_object(self.path / RESULT))

    def start(self, environment: dict[str, Any]) -> None:
        """Writes what is run and on what; forgets an earlier failure and what a kill left half written."""
        for name in (CONFIG, ENVIRONMENT, EXPERIENCES, MATRIX, CHECKPOINT, RESULT, FAILURE):
            for leftover in self.path.glob(f".{name}.*"):
                leftover.unlink(missing_ok=True)
        write(self.path / CONFIG, self._given.to_toml().encode())
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
        write_json(self.path / MATRIX, as_content(records[-1].get("measure"), matrix) if records else matrix)

    def finish(self, result: dict[str, Any]) -> None:
        """Makes the run complete."""
        write_json(self.path / RESULT, {"schema": SCHEMA, "status": "complete", **result})

    def fail(self, reason: str, details: str = "") -> None:
        """Notes why the run stopped, if it can; the next start goes on from its last finished experience."""
        with contextlib.suppress(RunError):  # the reason may be that nothing can be written
            if self.path.is_dir():
                if not (self.path / CONFIG).exists():
                    write(self.path / CONFIG, self._given.to_toml().encode())
                write_json(self.path / FAILURE, {"schema": SCHEMA, "reason": reason, "details": details})


def as_content(measure: str | None, matrix: list[list[float | None]]) -> Any:
    """A matrix as its file has it: rows of accuracies as they are, of another measure with its name."""
    return matrix if measure in (None, ACCURACY.name) else {"measure": measure, "matrix": matrix}


def is_complete(result: dict[str, Any]) -> bool:
    """Whether this is the result of a run that has ended, and no damaged or foreign file."""
    sound = isinstance(result.get("metrics"), dict) and isinstance(result.get("cost"), dict)
    return result.get("status") == "complete" and sound and isinstance(result.get("engine", ""), str)
