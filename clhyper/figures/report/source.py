"""What a report is made of: runs and their files, from a folder of runs or from published archives."""

import functools
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from clhyper.errors import UserError
from clhyper.runs.archive import ARCHIVE, load_archives
from clhyper.runs.files import read_json, read_object
from clhyper.runs.folder import CONFIG, ENVIRONMENT, EXPERIENCES, MATRIX
from clhyper.runs.results import load

Matrix = list[list[float | None]]
_SEED = re.compile(r"^seed = \d+\n", re.M)


@dataclass(frozen=True)
class Record:
    """What a run's files say beside its row: as they stand, empty where they are absent or damaged; no seed.

    `losses`: for each experience the mean training loss of each epoch.
    """

    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    matrix: Matrix = field(default_factory=list)
    losses: Matrix = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """Runs as `load` gives them, with names instead of paths as `folder`; their records by name; what is unread.

    `waiting`: why there are no runs yet, in a sentence.
    """

    title: str
    runs: pd.DataFrame
    records: dict[str, Record]
    unread: dict[str, str]
    waiting: str = ""


def read_source(folder: Path) -> Source:
    """Reads a folder of runs, or else every `runs.jsonl` in it or below.

    Raises:
        UserError: no such folder, or no run in it.
    """
    archives = [] if _has_runs(folder) else sorted(folder.rglob(ARCHIVE)) if folder.is_dir() else []
    if archives:
        runs, _ = load_archives(archives)
        return Source(_title(folder), runs, _published(archives), dict(runs.attrs["unread"]))
    runs = load(folder)
    runs["folder"] = [Path(path).name for path in runs["folder"]]
    records = {name: _record(folder / name) for name in runs["folder"]}
    return Source(_title(folder), runs, records, dict(runs.attrs["unread"]))


def read_or_wait(folder: Path) -> Source:
    """`read_source`, but without runs where there are none yet; raises `UserError` if this is no folder."""
    try:
        return read_source(folder)
    except UserError as error:
        if folder.exists() and not folder.is_dir():
            raise
        return Source(_title(folder), pd.DataFrame(), {}, {}, str(error))


def _has_runs(folder: Path) -> bool:
    try:
        return any((one / CONFIG).is_file() for one in folder.iterdir())
    except OSError:
        return False


def _title(folder: Path) -> str:
    """The last two parts of the folder's path, which name a study without naming the machine's folders."""
    return "/".join(folder.resolve().parts[-2:]).lstrip("/") or "results"


@functools.lru_cache(maxsize=1000)
def _but_for_seed(text: str) -> dict[str, Any]:
    """What a configuration says; repetitions share it."""
    return tomllib.loads(text)


def _record(folder: Path) -> Record:
    try:
        config = _but_for_seed(_SEED.sub("", (folder / CONFIG).read_text(encoding="utf-8"), count=1))
    except (OSError, ValueError, RecursionError):
        config = {}
    return Record(config, read_object(folder / ENVIRONMENT), _sound(read_json(folder / MATRIX)), _losses(folder))


def _published(archives: list[Path]) -> dict[str, Record]:
    """The records of archives by the run's name, as `load_archives` chooses among lines of one name."""
    lines: dict[str, dict[str, Any]] = {}
    for line in _lines(archives):
        if "result" not in lines.get(line["run"], {}):
            lines[line["run"]] = line
    return {
        Path(name).name: Record(line["config"], line.get("environment") or {}, _sound(line.get("matrix")))
        for name, line in lines.items()
    }


def _lines(archives: list[Path]) -> Iterator[dict[str, Any]]:
    for file in archives:
        for text in file.read_text(encoding="utf-8").splitlines()[1:]:
            yield json.loads(text)


def _losses(folder: Path) -> Matrix:
    try:
        texts = (folder / EXPERIENCES).read_text(encoding="utf-8").splitlines()
        records = [json.loads(text) for text in texts]
    except (OSError, ValueError, RecursionError):
        return []
    found = [record.get("cost", {}).get("loss_by_epoch") for record in records if isinstance(record, dict)]
    return _sound([values or [] for values in found], most=1e30) if any(found) else []


def _sound(rows: Any, most: float = 1.0) -> Matrix:
    """Rows of finite numbers up to `most` or None; empty if they are anything else."""
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return []
    good = all(value is None or (type(value) in (int, float) and abs(value) <= most) for row in rows for value in row)
    return rows if good else []
