"""An index of a results folder, so that the next `load` reads only what has changed; it can be thrown away.

The file has two lines of JSON: what wrote it, with the checksum of the second; and what was read of each run, with the
stamp of its files. An index that is damaged, or of another version of what reads runs, counts as none.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clhyper.errors import RunError
from clhyper.registry import Kind, entries
from clhyper.runs.files import write
from clhyper.runs.reading import Facts, Reading, Stamp
from clhyper.runs.variants import Learner

INDEX = ".index.json"
_FORMAT = 1
_READERS = ("columns", "config", "folder", "index", "reading", "variants")
_KINDS: tuple[Kind, ...] = ("benchmark", "strategy")

Indexed = dict[str, tuple[str, Reading]]
"""By a folder's name, the digest of its stamp and what was read."""


def digest(stamp: Stamp) -> str:
    """A stamp in few characters."""
    return hashlib.blake2b(repr(tuple(stamp)).encode(), digest_size=12).hexdigest()


def read_index(results: Path) -> Indexed:
    """What the index of a results folder knows; empty if there is none of use."""
    path = results / INDEX
    try:
        if not path.is_file():
            return {}
        head, _, body = path.read_bytes().partition(b"\n")
        if json.loads(head) != _head(body):
            return {}
        content = json.loads(body)
        facts = [Facts(columns, Learner(*learner)) for columns, learner in content["facts"]]
        names = content["columns"]
        return {
            name: (stamp, Reading(facts[index], dict(zip(names, values, strict=True)), faults))
            for name, (stamp, index, values, faults) in content["runs"].items()
        }
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return {}


def write_index(results: Path, readings: Mapping[str, tuple[Stamp, Reading]]) -> None:
    """Replaces the index; leaves things as they are where it can't be written."""
    facts: dict[int, int] = {}
    said: list[Any] = []
    runs: dict[str, Any] = {}
    columns: list[str] = []
    for name, (stamp, reading) in readings.items():
        if id(reading.facts) not in facts:
            facts[id(reading.facts)] = len(said)
            said.append(reading.facts)
        columns = columns or list(reading.columns)
        values = [reading.columns[column] for column in columns]
        runs[name] = (digest(stamp), facts[id(reading.facts)], values, reading.faults)
    # An option may be of a type that JSON lacks, and a link may lead to itself.
    with contextlib.suppress(RunError, OSError, ValueError, TypeError, RuntimeError):
        body = json.dumps({"columns": columns, "facts": said, "runs": runs}, separators=(",", ":")).encode()
        write(results / INDEX, json.dumps(_head(body)).encode() + b"\n" + body)


def _head(body: bytes) -> dict[str, Any]:
    return {"clhyper index": _FORMAT, "read by": _readers(), "sha256": hashlib.sha256(body).hexdigest()}


def _readers() -> str:
    """The hash of the code that makes columns of files: ours, and every strategy's and stream's options."""
    here = Path(__file__)
    files = [here.with_name(f"{name}.py") for name in _READERS]
    files += [here.parents[1] / "options.py", here.parents[1] / "registry.py"]
    known = [entry for kind in _KINDS for entry in entries(kind).values()]
    files += sorted({path for entry in known for path in (entry.path, *entry.path.parent.glob("*.py"))})
    names = [f"{entry.kind} {entry.name} {entry.path.name}" for entry in known]
    parts = ["\n".join(names).encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
