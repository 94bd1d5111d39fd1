"""One run's folder as a row; what its configuration says is worked out once for all of its seeds."""

import errno
import os
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from clhyper.errors import UserError, require
from clhyper.measures import ACCURACY, MEASURES, Measure, measure_of
from clhyper.runs.columns import COSTS, METRICS, TRAINING
from clhyper.runs.config import RunConfig, config_from_dict, parse_toml, read_toml
from clhyper.runs.files import read_json, read_object
from clhyper.runs.folder import CHECKPOINT, CONFIG, ENVIRONMENT, EXPERIENCES, FAILURE, MATRIX, RESULT, is_complete
from clhyper.runs.variants import Learner, learner_of, plain, printable, stream_words

_TYPES = {
    **dict.fromkeys(("norm", "front_norm", "backbone"), str),
    **dict.fromkeys(("freeze_depth", "epochs", "experiences", "order_seed"), int),
}
_MOST_DEPTH = 1000
"""No network has more stages; a depth beyond it is a damaged file's."""
_SEED = re.compile(r"^seed = (0|[1-9][0-9]{0,17})\n", re.MULTILINE)
_ATTEMPTS = 20
"""How often a run is read again that changes while it is read."""
_SETTLED_NS = 2_000_000_000
"""A file younger than this may change again without its time of modification telling (FAT's is to two seconds)."""
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


class Stamp(NamedTuple):
    """What a run's files are: for each its times, size and inode, or None; equal stamps mean equal files."""

    files: tuple[tuple[int, ...] | None, ...]

    @property
    def empty(self) -> bool:
        """Whether there is none of the files."""
        return not any(self.files)

    @property
    def settled(self) -> bool:
        """Whether a change from now on would change the stamp."""
        return max((file[0] for file in self.files if file), default=0) < time.time_ns() - _SETTLED_NS


class Facts(NamedTuple):
    """What a configuration says, equal for all of its seeds: columns of `load`, and what variants are told by."""

    columns: dict[str, Any]
    learner: Learner


class Reading(NamedTuple):
    """A run: what its configuration says, the other columns of its row, and which files were of no use."""

    facts: Facts
    columns: dict[str, Any]
    faults: list[str]


def stamp_of(folder: str) -> Stamp | None:
    """The stamp of a folder's files, or None if it can't be told."""
    files: list[tuple[int, ...] | None] = []
    for name in (CONFIG, RESULT, ENVIRONMENT, MATRIX, EXPERIENCES, FAILURE, CHECKPOINT):
        try:
            found = os.stat(f"{folder}/{name}")
        except OSError as error:
            if error.errno not in _ABSENT:
                return None
            files.append(None)
        else:
            files.append((found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino))
    return Stamp(tuple(files))


class Reader:
    """Reads folders of runs, each as it was at one moment."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Facts, dict[str, Any]]] = {}

    def read(self, folder: Path) -> tuple[Reading | None, Stamp | None]:
        """The run in a folder, None where there is none, and its stamp.

        Raises:
            UserError: there seems to be a run, and its configuration says nothing.
            OSError: its configuration can't be read.
        """
        before = stamp_of(str(folder))
        for _ in range(_ATTEMPTS):
            try:
                reading = self._read(folder)
            except UserError:
                if stamp_of(str(folder)) == before:
                    raise
                reading = None
            after = stamp_of(str(folder))
            if after == before:
                return reading, after
            before = after
        return self._read(folder), None

    def _read(self, folder: Path) -> Reading | None:
        if not (folder / CONFIG).is_file():
            require(not any((folder / name).is_file() for name in (RESULT, CHECKPOINT)), f"no {CONFIG}")
            return None
        facts, own = self._configured(folder / CONFIG)
        columns, faults = _columns(folder)
        return Reading(facts, own | columns, faults)

    def _configured(self, path: Path) -> tuple[Facts, dict[str, Any]]:
        """What a configuration file says, and its seed and threads."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return _said(read_toml(path))  # which says what is wrong
        head, found, tables = text.partition("\n[")
        # Where no value spans lines, the line of the seed can be told without parsing the others again.
        seeds = _SEED.findall(head) if not any(sign in head for sign in ("[", '"""', "'''")) else []
        if len(seeds) != 1:
            return _said(parse_toml(text, path))
        key = _SEED.sub("", head) + found + tables
        if key not in self._known:
            self._known[key] = _said(parse_toml(text, path))
        facts, own = self._known[key]
        return facts, own | {"seed": int(seeds[0])}


def _said(content: dict[str, Any]) -> tuple[Facts, dict[str, Any]]:
    require({"benchmark", "strategy"} <= set(content), "names no benchmark or no strategy")
    return _facts(_config(content)), {"seed": content.get("seed", 0), "threads": content.get("threads", 1)}


def _config(content: dict[str, Any]) -> RunConfig:
    """The configuration; as it stands if this version, or what is installed, no longer knows all of it."""
    try:
        return config_from_dict(content)
    except UserError:
        return RunConfig(**content)


def _facts(config: RunConfig) -> Facts:
    """Raises `UserError` for an option of which no version has such a value."""
    options = config.benchmark_options | config.strategy_options
    for name, value in options.items():
        if name in _TYPES and value is not None:
            right = type(value) is _TYPES[name]
            if isinstance(value, int):
                right = right and 0 <= value <= (_MOST_DEPTH if name == "freeze_depth" else 2**62)
            require(right, f"{name} {str(value)[:40]!r}")
    stream, order = stream_words(config)
    columns = {
        "benchmark": config.benchmark,
        "strategy": config.strategy,
        "family": config.family,
        "freeze_depth": config.freeze_depth,
        **{name: options.get(name) for name in TRAINING},
        "backbone": options.get("backbone"),
        "experiences": options.get("experiences"),
        "order_seed": options.get("order_seed"),
        "evaluated_on": "validation" if options.get("validation") else "test",
        "device": config.device.partition(":")[0],
        "stream": stream,
        "order": order,
    }
    return Facts(_shown(plain(columns)), learner_of(config))


def _columns(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Columns that aren't the configuration's, and which of the run's files or numbers were of no use."""
    result, failure, machine = (read_object(folder / name) for name in (RESULT, FAILURE, ENVIRONMENT))
    complete = is_complete(result)
    result = result if complete else {}
    status = "complete" if complete else "failed" if failure else "interrupted"
    reason = failure.get("reason") if not complete else None
    if status == "interrupted" and not (folder / CHECKPOINT).exists():
        reason = "no experience finished yet"
    sound = {RESULT: complete, FAILURE: bool(failure), MATRIX: not complete or bool(matrix_in(folder))}
    faults = [f"{name} damaged" for name, good in sound.items() if not good and (folder / name).exists()]
    numbers: dict[str, float | None] = {}
    for part, names in (("metrics", METRICS), ("cost", COSTS)):
        values: Any = result.get(part)
        values = values if isinstance(values, dict) else {}
        for name in names:
            numbers[name] = number(values.get(name), measure_of(name).most if part == "metrics" else 1e30)
            if numbers[name] is None and values.get(name) is not None:
                faults.append(f"{RESULT}: {name} {str(values[name])[:40]!r}")
    similarity = result.get("similarity")
    numbers["similarity"] = number(similarity.get("mean"), 1.0) if isinstance(similarity, dict) else None
    runs_at_once = number(result.get("runs_at_once"), 1e6)
    columns: dict[str, Any] = {
        "status": status,
        "reason": reason,
        "front": result.get("front") if result.get("front") != "none" else None,  # nothing is frozen
        "engine": result.get("engine", "eager") if complete else None,
        "data": result.get("data"),
        "machine": machine.get("processor" if machine.get("device") == "cpu" else "device"),
        "runs_at_once": runs_at_once if runs_at_once is None else int(runs_at_once),
    }
    return _shown(columns) | numbers, [printable(fault) for fault in faults]


def _shown(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: printable(v) if isinstance(v, str | list | dict) else v for name, v in columns.items()}


def matrix_in(folder: Path) -> list[list[float | None]]:
    """The run's accuracy matrix, fractions or bits or None; empty if it is absent, damaged or no such matrix."""
    return matrix_of(read_json(folder / MATRIX))[1]


def matrix_of(content: Any) -> tuple[Measure, list[list[float | None]]]:
    """The measure of a matrix and its rows, of numbers or None, as a file has them; no rows if it has anything else.

    Rows alone are of accuracies; `folder.as_content` says what others are.
    """
    measure, rows = ACCURACY, content
    if isinstance(content, dict):
        measure, rows = MEASURES.get(str(content.get("measure")), ACCURACY), content.get("matrix")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return measure, []
    whole = all(value is None or number(value, measure.most) is not None for row in rows for value in row)
    return measure, rows if whole else []


def number(value: Any, most: float) -> float | None:
    """A finite number of at most this size, or None."""
    return float(value) if type(value) in (int, float) and abs(value) <= most else None
