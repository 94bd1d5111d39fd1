"""Runs kept for publishing: one line of JSON a run, small enough for a repository, read as results are."""

import json
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from clhyper.errors import UserError, require
from clhyper.runs.files import read_json, write
from clhyper.runs.folder import CONFIG, ENVIRONMENT, FAILURE, MATRIX, RESULT
from clhyper.runs.results import load, load_matrix
from clhyper.runs.study import Planned

if TYPE_CHECKING:
    import pandas as pd

ARCHIVE = "runs.jsonl"
_LARGEST = 31
"""Experiences up to which the accuracy matrix is kept, rounded to five digits: of 100 it takes 60 kB a run (ours)."""
_VERSIONS = {"clhyper": "clhyper", "torch": "PyTorch", "python": "Python"}
_FILES = {"environment": ENVIRONMENT, "result": RESULT, "failure": FAILURE, "matrix": MATRIX}


def pack(
    planned: Sequence[Planned], results: Path, file: Path, command: str, paths: Mapping[str, str] | None = None
) -> None:
    """Writes what there is of the planned runs: configuration, environment, result or failure, accuracy matrix.

    `command`: what ran them, kept in the first line. `paths`: the user's paths by name, instead of which the names in
    braces are written.
    """
    names = {path: f"{{{name}}}" for name, path in (paths or {}).items()}
    lines = [json.dumps({"command": command}) + "\n"]
    for one in planned:
        folder = results / one.config.name
        try:
            config = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            config = one.config.as_dict()
        line = {"run": one.config.name, "stream": one.stream, "config": _without_paths(config, names)}
        line |= {key: value for key, name in _FILES.items() if (value := read_json(folder / name)) is not None}
        if "matrix" in line:
            line["matrix"] = _rounded(line["matrix"]) if len(line["matrix"]) <= _LARGEST else []
        lines.append(json.dumps(line, separators=(",", ":")) + "\n")
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file, "".join(lines).encode())


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 5) if isinstance(value, float) else value


def _without_paths(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def command_of(file: Path) -> str:
    """The command that made an archive; raises `UserError` if it can't be read."""
    return str(_read(file)[0]["command"])


def _read(file: Path) -> list[dict[str, Any]]:
    """The objects in an archive, first the one that has the command."""
    try:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise UserError(f"runs {file}: {(error.strerror or 'unreadable').lower()}; run the study first") from None
    except (ValueError, RecursionError):
        lines = [None]
    keys = [{"command"}, *[{"run", "stream", "config"}] * (len(lines) - 1)]
    sound = all(isinstance(line, dict) and line.keys() >= must for line, must in zip(lines, keys, strict=False))
    require(sound and len(lines) > 1, f"runs {file}: damaged; run the study again, which trains only what is missing")
    return lines


def load_archives(files: Sequence[Path]) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """`load`'s and `load_matrix`'s frames of archives, with the runs' names as `folder`; none occurs twice.

    The first has besides `study_stream`, the study's name of the stream; `archives`, a tuple of the files that have the
    run; `date`, the day of the run, and `versions`; and a column for each option that has none, so that it can be drawn
    against.

    Raises:
        UserError: no such file, or it is damaged.
    """
    import pandas as pd

    lines: dict[str, dict[str, Any]] = {}
    holders: dict[str, list[Path]] = {}
    for file in files:
        for line in _read(file)[1:]:
            holders.setdefault(line["run"], []).append(file)
            if "result" not in lines.get(line["run"], {}):
                lines[line["run"]] = line
    with tempfile.TemporaryDirectory() as temporary:
        for name, line in lines.items():
            folder = Path(temporary) / Path(name).name
            folder.mkdir()
            (folder / CONFIG).write_text(tomli_w.dumps(line["config"]), encoding="utf-8")
            for key, part in _FILES.items():
                if key in line:
                    (folder / part).write_text(json.dumps(line[key]), encoding="utf-8")
        runs, matrix = load(temporary), load_matrix(temporary)
    for frame in (runs, matrix):
        frame["folder"] = [Path(folder).name for folder in frame["folder"]]
    kept = [lines[name] for name in runs["folder"]]
    columns: dict[str, list[Any]] = {
        "study_stream": [line["stream"] for line in kept],
        "archives": [tuple(holders[name]) for name in runs["folder"]],
    }
    options = [{**line["config"].get("benchmark_options", {}), **line["config"]["strategy_options"]} for line in kept]
    for name in dict.fromkeys(name for values in options for name in values if name not in runs):
        columns[name] = [values.get(name) for values in options]
    machines = [line.get("environment", {}) for line in kept]
    columns["date"] = [machine.get("date") for machine in machines]
    columns["versions"] = [
        ", ".join(f"{title} {machine[key]}" for key, title in _VERSIONS.items() if key in machine)
        for machine in machines
    ]
    attributes = dict(runs.attrs)
    runs = pd.concat([runs, pd.DataFrame(columns, index=runs.index)], axis=1)
    runs.attrs.update(attributes)
    return runs, matrix
