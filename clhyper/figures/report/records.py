"""What a run's files say beside its row, as far as it is sound."""

import functools
import json
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clhyper.measures import ACCURACY
from clhyper.runs.files import read_json
from clhyper.runs.folder import CONFIG, ENVIRONMENT, EXPERIENCES, MATRIX
from clhyper.runs.reading import matrix_of, number
from clhyper.runs.variants import printable

Matrix = list[list[float | None]]
_SEED = re.compile(r"^seed = \d+\n", re.M)
_LARGEST_LOSS = 1e30
_DAMAGED = (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True)
class Record:
    """A run's files: empty where they are absent or damaged; no seed; numbers that aren't finite as text.

    `matrix`: of accuracies; none of another measure. `losses`: for each experience the mean training loss of each
    epoch, None where it isn't finite. `faults`: in words, what was of no use.
    """

    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    matrix: Matrix = field(default_factory=list)
    losses: Matrix = field(default_factory=list)
    faults: tuple[str, ...] = ()


def read_record(folder: Path) -> Record:
    """The record of a run's folder."""
    faults: list[str] = []
    config = _sound(_config(folder), CONFIG, faults)
    there = os.path.exists(folder / ENVIRONMENT)
    environment = _sound(read_json(folder / ENVIRONMENT) if there else {}, ENVIRONMENT, faults)
    stored = read_json(folder / MATRIX) if os.path.exists(folder / MATRIX) else []
    measure, matrix = matrix_of(stored)
    if not matrix and stored != []:
        faults.append(f"{MATRIX} damaged")
    losses = _losses(folder, faults)
    return Record(config, environment, matrix if measure is ACCURACY else [], losses, _words(faults))


def published_record(line: Mapping[str, Any]) -> Record:
    """The record of an archive's line."""
    faults: list[str] = []
    config = _sound(line["config"], CONFIG, faults)
    environment = _sound(line.get("environment") or {}, ENVIRONMENT, faults)
    measure, matrix = matrix_of(line.get("matrix"))
    return Record(config, environment, matrix if measure is ACCURACY else [], faults=_words(faults))


def _words(faults: list[str]) -> tuple[str, ...]:
    return tuple(map(printable, faults))


def _config(folder: Path) -> Any:
    try:
        return _but_for_seed(_SEED.sub("", (folder / CONFIG).read_text(encoding="utf-8"), count=1))
    except (OSError, ValueError, RecursionError):
        return None


@functools.lru_cache(maxsize=1000)
def _but_for_seed(text: str) -> dict[str, Any]:
    """What a configuration says; repetitions share it."""
    return tomllib.loads(text)


def _losses(folder: Path, faults: list[str]) -> Matrix:
    if not os.path.exists(folder / EXPERIENCES):
        return []
    try:
        lines = (folder / EXPERIENCES).read_text(encoding="utf-8").splitlines()
        rows = [_losses_in(line) for line in lines]
    except (OSError, ValueError):
        rows = [None]
    if None in rows:
        faults.append(f"{EXPERIENCES} damaged")
    return [row or [] for row in rows] if any(rows) else []


def _losses_in(line: str) -> list[float | None] | None:
    """The losses by epoch of an experience's line; empty if it has none, None if it is damaged."""
    try:
        values = json.loads(line)["cost"].get("loss_by_epoch")
    except _DAMAGED:
        return None
    if values is None:
        return []
    return [number(value, _LARGEST_LOSS) for value in values] if isinstance(values, list) else None


def _sound(values: Any, file: str, faults: list[str]) -> dict[str, Any]:
    """An object as JSON can have it, empty if it is none; notes what was of no use."""
    found: list[str] = []
    try:
        sound = _finite(values, "", found) if isinstance(values, dict) else None
    except RecursionError:
        sound = None
    faults += [f"{file}: {what}" for what in found] if sound is not None else [f"{file} damaged"]
    return sound or {}


def _finite(value: Any, name: str, found: list[str]) -> Any:
    """With numbers that aren't finite as text, noted under the name that has them."""
    if isinstance(value, dict):
        return {key: _finite(one, key, found) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one, name, found) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        found.append(f"{name} {value}"[:80])
        return str(value)
    return value
