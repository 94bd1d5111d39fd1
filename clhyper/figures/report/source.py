"""What a report is made of: runs and their records, from a folder of runs or from published archives."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from clhyper.errors import UserError
from clhyper.figures.report.records import Record, published_record, read_record
from clhyper.runs.archive import ARCHIVE, load_archives
from clhyper.runs.folder import CONFIG
from clhyper.runs.index import Indexed
from clhyper.runs.results import as_frame, read_runs
from clhyper.runs.variants import printable

__all__ = ["Memory", "Record", "Source", "archives_in", "read_or_wait", "read_source"]


@dataclass(frozen=True)
class Source:
    """Runs as `load` gives them, with names instead of paths as `folder`; their records by name; what is unread.

    Names can be printed, and no two are alike. `waiting`: why there are no runs yet, in a sentence.
    """

    title: str
    runs: pd.DataFrame
    records: dict[str, Record]
    unread: dict[str, str]
    waiting: str = ""


@dataclass(frozen=True)
class Memory:
    """What was read of a folder of runs, and by which files, to read next time only what has changed."""

    runs: Indexed = field(default_factory=dict)
    records: dict[str, tuple[str, Record]] = field(default_factory=dict)


def read_source(folder: Path, memory: Memory | None = None) -> Source:
    """Reads a folder of runs, or else every `runs.jsonl` in it or below.

    memory: of the reading before, renewed by this one; with it nothing is written, without it `load`'s index is.

    Raises:
        UserError: no such folder, or no run in it.
    """
    if archives := archives_in(folder):
        runs, _ = load_archives(archives)
        records = _published(archives)
        return Source(_title(folder), runs, records, dict(runs.attrs["unread"]) | _faults(records, {}))
    found, unread = read_runs(folder, memory.runs if memory else None)
    runs = as_frame(folder, found, {})
    names = dict(zip(found, _told_apart(map(printable, found)), strict=True))
    records = {names[name]: record for name, record in _records(folder, found, memory)}
    runs["folder"] = list(names.values())
    seen = {names[name]: reading.faults for name, reading in found.items()}
    return Source(_title(folder), runs, records, unread | _faults(records, seen))


def read_or_wait(folder: Path, memory: Memory | None = None) -> Source:
    """`read_source`, but without runs where there are none yet; raises `UserError` if this is no folder."""
    try:
        return read_source(folder, memory)
    except UserError as error:
        if folder.exists() and not folder.is_dir():
            raise
        return Source(_title(folder), pd.DataFrame(), {}, {}, str(error))


def archives_in(folder: Path) -> list[Path]:
    """The archives that the report of a folder is made of; none if it has runs of its own."""
    return [] if _has_runs(folder) or not folder.is_dir() else sorted(folder.rglob(ARCHIVE))


def _has_runs(folder: Path) -> bool:
    try:
        return any((one / CONFIG).is_file() for one in folder.iterdir())
    except OSError:
        return False


def _title(folder: Path) -> str:
    """The folder's name alone: a page that is passed around says nothing of where it was made."""
    return printable(folder.resolve().name).strip() or "results"


def _told_apart(names: Iterable[str]) -> list[str]:
    """The names, with a number where one has been there before."""
    taken: dict[str, None] = {}
    for name in names:
        one, count = name, 1
        while one in taken:
            count += 1
            one = f"{name} ({count})"
        taken[one] = None
    return list(taken)


def _records(folder: Path, names: Iterable[str], memory: Memory | None) -> Iterator[tuple[str, Record]]:
    """The records of runs by the folder's own name; those in memory whose files are as they were aren't read again."""
    before = dict(memory.records) if memory else {}
    if memory:
        memory.records.clear()
    for name in names:
        stamp = memory.runs[name][0] if memory and name in memory.runs else ""
        known = before.get(name)
        record = known[1] if known and known[0] == stamp else read_record(folder / name)
        if memory and stamp:
            memory.records[name] = (stamp, record)
        yield name, record


def _faults(records: dict[str, Record], seen: dict[str, list[str]]) -> dict[str, str]:
    """In words, by name, what was of no use; `seen`: what reading the rows has found."""
    faults = {name: dict.fromkeys((*seen.get(name, ()), *record.faults)) for name, record in records.items()}
    return {name: ", ".join(several) for name, several in faults.items() if several}


def _published(archives: list[Path]) -> dict[str, Record]:
    """The records of archives by the run's name, as `load_archives` chooses among lines of one name."""
    lines: dict[str, dict[str, Any]] = {}
    for line in _lines(archives):
        if "result" not in lines.get(line["run"], {}):
            lines[line["run"]] = line
    return {Path(name).name: published_record(line) for name, line in lines.items()}


def _lines(archives: list[Path]) -> Iterator[dict[str, Any]]:
    for file in archives:
        for text in file.read_text(encoding="utf-8").splitlines()[1:]:
            yield json.loads(text)
