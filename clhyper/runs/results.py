"""Results on disk as data frames."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clhyper.errors import UserError
from clhyper.measures import ACCURACY, MEASURES
from clhyper.registry import read_once
from clhyper.runs.columns import (
    CHOICES,
    COSTS,
    INFERRED,
    METRICS,
    OF_CELLS,
    OF_EXPERIENCES,
    OF_RUNS,
    OF_USE,
    REPETITION,
    SETTING,
    TRAINING,
)
from clhyper.runs.files import read_json
from clhyper.runs.folder import CONFIG, EXPERIENCES, MATRIX
from clhyper.runs.index import Indexed, digest, read_index, write_index
from clhyper.runs.reading import Reader, Reading, Stamp, matrix_of, number, stamp_of
from clhyper.runs.variants import differences, printable, without_option

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CHOICES",
    "COSTS",
    "INFERRED",
    "METRICS",
    "REPETITION",
    "SETTING",
    "TRAINING",
    "load",
    "load_experiences",
    "load_matrix",
    "unread_note",
    "without_option",
]

_WORTH = 50
"""Runs not in the index from which on it is written."""


def load(results: Path | str) -> "pd.DataFrame":
    """One row a run under `results`; folders and files that are none of ours are passed over.

    `status`: complete, failed (and `reason`), or interrupted. Accuracies are fractions of 1; `*_seconds`, `*_ms` and
    `*_bytes` are in these units; what could not be measured is NaN. `variant` names the options of training in
    which runs of the same strategy and depth differ, none that belong to another generator than the run's and none that
    aren't given and follow from nothing; `stream` and `order` those of the stream and of its order of classes that
    aren't its defaults. `similarity`: of the stream's experiences, mean over pairs, 0 to 1. `engine`: what executed its
    steps, several joined by commas. `data` is the data set's fingerprint, `machine` the processor or GPU that trained.
    `frame.attrs["unread"]`: why, by folder, of those that look like runs and can't be read in full. `OF_RUNS` of
    `clhyper.runs.columns` has all columns.

    An index in the folder, `.index.json`, spares reading again what hasn't changed; delete it whenever you like.

    Raises:
        UserError: no such folder, or no run in it.
    """
    results = Path(results)
    return as_frame(results, *read_runs(results))


def as_frame(results: Path, readings: dict[str, Reading], unread: dict[str, str]) -> "pd.DataFrame":
    """`load`'s frame of what `read_runs` gives, in its order; raises `UserError` if there is no run."""
    import pandas as pd

    if not readings:
        found = f" that can be read ({unread_note(unread)})" if unread else ""
        raise UserError(
            f"results {results}: no runs in this folder{found}; `clhyper run` and `clhyper sweep` write results"
        )
    faulty = {printable(name): ", ".join(reading.faults) for name, reading in readings.items() if reading.faults}
    variants = _variants(readings)
    rows = [
        reading.facts.columns
        | reading.columns
        | {"folder": printable(results / name), "variant": variants[id(reading.facts)]}
        for name, reading in readings.items()
    ]
    frame = pd.DataFrame({name: [row[name] for row in rows] for name in OF_RUNS})
    frame["freeze_depth"] = frame["freeze_depth"].astype("Int64")
    frame = frame.astype(dict.fromkeys((*METRICS, *COSTS, "similarity"), float))
    frame.attrs["unread"] = unread | faulty
    return frame


def load_matrix(results: Path | str) -> "pd.DataFrame":
    """The accuracy matrices, one row a cell: `folder`, `after` (training experience), `on` (test experience), both
    from 0, `measure`, and `accuracy`: a fraction, bits where the measure is bits, or NaN. Raises `UserError` if there
    is no such folder."""
    import pandas as pd

    results = Path(results)
    columns: dict[str, list[Any]] = {name: [] for name in OF_CELLS}
    for name in read_runs(results)[0]:
        folder = printable(results / name)
        measure, matrix = matrix_of(read_json(results / name / MATRIX))
        for after, row in enumerate(matrix):
            columns["folder"] += [folder] * len(row)
            columns["after"] += [after] * len(row)
            columns["on"] += range(len(row))
            columns["measure"] += [measure.name] * len(row)
            columns["accuracy"] += row
    return pd.DataFrame(columns).astype({"accuracy": float})


def load_experiences(results: Path | str) -> "pd.DataFrame":
    """One row a training of each run, on one experience or on several at once, whether or not the run has ended.

    `training` counts them from 0 and `experience` is the last one that it learned; `accuracy` is the mean over the
    experiences learned so far, a fraction, bits of a stream that is measured so, or NaN; costs are those of this
    training, in `load`'s units, `bytes_kept` and parameters as they are after it. `frame.attrs["unread"]`: by
    folder, why its records can't be read.

    Raises:
        UserError: no such folder.
    """
    import pandas as pd

    results = Path(results)
    rows: list[dict[str, Any]] = []
    unread = {}
    for name in read_runs(results)[0]:
        try:
            rows += [{"folder": printable(results / name)} | row for row in _records(results / name)]
        except (OSError, ValueError, RecursionError, LookupError, ArithmeticError, TypeError, AttributeError):
            unread[printable(name)] = f"{EXPERIENCES} damaged"
    frame = pd.DataFrame({name: [row[name] for row in rows] for name in OF_EXPERIENCES})
    frame = frame.astype(dict.fromkeys(("accuracy", *(name for name in COSTS if name not in OF_USE)), float))
    frame.attrs["unread"] = unread
    return frame


def unread_note(unread: dict[str, str], most: int = 3) -> str:
    """`load`'s `unread` in a sentence: how many, and of the first `most` which and why."""
    count = f"{len(unread)} folder{'s' if len(unread) > 1 else ''} could not be read in full"
    named = [f"{name} ({why})" for name, why in list(unread.items())[:most]]
    more = [f"{len(unread) - most} more"] if len(unread) > most else []
    return f"{count}: {', '.join(named + more)}"


def read_runs(results: Path, memory: Indexed | None = None) -> tuple[dict[str, Reading], dict[str, str]]:
    """The runs in `results` by folder, in order of name, and why others that look like runs can't be read.

    memory: what the call before knew, empty at first; it is made to hold what this call knows, and no index is written.
    """
    try:
        if not results.is_dir():
            what = "not a folder" if results.exists() else "no such folder"
            raise UserError(f"results {results}: {what}; `clhyper run` and `clhyper sweep` write results")
        names = sorted(os.listdir(results))
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise UserError(f"results {str(results)[:80]}: {reason}; give a folder of runs") from None
    readings: dict[str, Reading] = {}
    unread: dict[str, str] = {}
    stamps: dict[str, Stamp] = {}
    changed = 0
    with read_once():
        known, reader = dict(memory or read_index(results)), Reader()
        for name in names:
            try:
                reading, stamp, is_known = _reading(results / name, known, reader)
            except (UserError, OSError) as error:
                text = str(error) if isinstance(error, UserError) else (error.strerror or "unreadable").lower()
                unread[printable(name)] = printable(text.removeprefix(f"config {results / name / CONFIG}: "))
                continue
            if reading:
                readings[name] = reading
                if stamp and (is_known or stamp.settled):
                    stamps[name] = stamp
                    changed += not is_known
        changed += sum(name not in stamps for name in known)
        if memory is not None:
            memory.clear()
            memory.update({name: (digest(stamp), readings[name]) for name, stamp in stamps.items()})
        elif changed >= max(_WORTH, len(known) // 100):
            write_index(results, {name: (stamp, readings[name]) for name, stamp in stamps.items()})
    return readings, unread


def _reading(folder: Path, known: Indexed, reader: Reader) -> tuple[Reading | None, Stamp | None, bool]:
    """The run in a folder, if there is one, its stamp, and whether the index has it as it is."""
    stamp = stamp_of(str(folder))
    if stamp and stamp.empty:
        return None, stamp, False
    before = known.get(folder.name)
    if stamp and before and before[0] == digest(stamp):
        return before[1], stamp, True
    return *reader.read(folder), False


def _variants(readings: dict[str, Reading]) -> dict[int, str]:
    """The column `variant` by the identity of a run's facts."""
    facts = list({id(reading.facts): reading.facts for reading in readings.values()}.values())
    groups = [tuple(one.columns[name] for name in ("benchmark", "strategy", "freeze_depth")) for one in facts]
    return dict(zip(map(id, facts), differences(groups, [one.learner for one in facts]), strict=True))


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a run in `load_experiences`; raises what damaged records make Python raise."""
    path = folder / EXPERIENCES
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        last = int(record["experience"])
        most = MEASURES[record.get("measure", ACCURACY.name)].most
        learned = [number(value, most) for value in record["accuracy"][: last + 1]]
        whole = learned and None not in learned
        costs = {name: number(record["cost"].get(name), 1e30) for name in COSTS if name not in OF_USE}
        yield {
            "training": int(record["training"]),
            "experience": last,
            "accuracy": sum(value for value in learned if value is not None) / len(learned) if whole else None,
            **costs,
        }
