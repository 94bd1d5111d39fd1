"""Runs kept for publishing: one line of JSON a run, small enough for a repository, read as results are."""

import contextlib
import json
import os
import re
import shlex
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from clhyper.errors import UserError
from clhyper.runs.config import RunConfig
from clhyper.runs.files import read_json, read_object, write
from clhyper.runs.folder import CONFIG, ENVIRONMENT, FAILURE, MATRIX, RESULT
from clhyper.runs.fronts import name_and_hash
from clhyper.runs.reading import matrix_of
from clhyper.runs.results import SETTING, load, load_matrix, without_option
from clhyper.runs.study import Planned

if TYPE_CHECKING:
    import pandas as pd

ARCHIVE = "runs.jsonl"
PRETRAINED = "pretrained on "
"""How the column `front` of a run begins whose study trained its front."""
_LARGEST = 100
"""Experiences up to which the accuracy matrix is kept, rounded to five digits: of 100 it takes 40 kB a run (ours)."""
_BEFORE_FRONT = re.compile(r"front |.*? classes [\d, -]+(?:of them in this stream)? \(")
"""What stands before a front's path in a failure's reason, and in a result."""
_VERSIONS = {"clhyper": "clhyper", "torch": "PyTorch", "python": "Python"}
_FILES = {"environment": ENVIRONMENT, "result": RESULT, "failure": FAILURE, "matrix": MATRIX}


def pack(
    planned: Sequence[Planned], results: Path, file: Path, command: str, paths: Mapping[str, str] | None = None
) -> None:
    """Writes what there is of the planned runs: configuration, environment, result or failure, accuracy matrix.

    Runs that the file has already and that aren't planned stay in it. `command`: what ran the planned ones, kept in
    the first line, after those that ran the others. `paths`: the user's paths by name; instead of them the names in
    braces are written.
    """
    lines: dict[str, dict[str, Any]] = {}
    for one in planned:
        folder = results / one.config.name
        try:
            config = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            config = one.config.as_dict()
        for options in (config["benchmark_options"], config["strategy_options"]):
            options |= {name: value for name, value in one.unfilled.items() if name in options}
        given = _published_front(config, one)
        command = _without_front(command, given[1]) if given[1] else command
        line = {"run": one.config.name, "stream": one.stream, "config": config}
        line |= {key: value for key, name in _FILES.items() if (value := read_json(folder / name)) is not None}
        if "matrix" in line:
            line["matrix"] = _rounded(line["matrix"]) if len(matrix_of(line["matrix"])[1]) <= _LARGEST else []
        if "failure" in line:  # its details are a traceback, which names the machine's folders
            line["failure"] = {"reason": read_object(folder / FAILURE).get("reason")}
        for key, text in (("failure", "reason"), ("result", "front")):
            if isinstance(part := line.get(key), dict) and isinstance(part.get(text), str):
                said = _without_results(part[text].replace(*given), one, results)
                part[text] = _without_paths(said, paths or {})
        lines[_identity(line)] = line
    with contextlib.suppress(UserError):  # nothing to keep of an archive that is absent or damaged
        commands, before = _read(file)
        runs = {line["run"] for line in lines.values()}
        kept = {name: line for name, line in before.items() if name not in lines and line["run"] not in runs}
        if kept:
            command, lines = "\n".join(dict.fromkeys([*commands.splitlines(), command])), kept | lines
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = [json.dumps({"command": command}), *(json.dumps(line, separators=(",", ":")) for line in lines.values())]
    write(file, ("\n".join(texts) + "\n").encode())


def _without_results(text: str, one: Planned, results: Path) -> str:
    """A text with the file's name of the run's front in place of its path, were the results elsewhere or not."""
    if one.front is None:
        return text
    text, file = text.replace(f"{results}{os.sep}", ""), re.escape(one.front.file)
    if (known := _BEFORE_FRONT.match(text)) and one.front.file in text:
        return known[0] + re.sub(rf".*{file}", one.front.file, text[known.end() :], count=1)
    return re.sub(rf"(?:(?<![^\s(]){re.escape(os.sep)}.*|[^\s(]*){file}", one.front.file, text)


def _published_front(config: dict[str, Any], one: Planned) -> tuple[str, str]:
    """Leaves of the path of the user's own front its file's name; returns the two, both empty without such a front."""
    options = config["strategy_options"]
    front = options.get("front")
    if not isinstance(front, str) or name_and_hash(front) or "front" in one.unfilled:
        return "", ""
    options["front"] = Path(front).name
    return front, options["front"]


def _without_front(command: str, name: str) -> str:
    """A command with a front's name in place of its path."""
    return shlex.join(f"front={name}" if word.startswith("front=") else word for word in shlex.split(command))


def _identity(line: Mapping[str, Any]) -> str:
    """What is run, wherever its data are: the run's name, had it been configured with names in braces for paths.

    A front of the user's own is known by its file's name and its content.
    """
    config = line["config"]
    name = RunConfig(**{name: value for name, value in config.items() if name != "schema"}).name
    front = config["strategy_options"].get("front")
    return f"{name} {_digest(line)}" if front and not name_and_hash(front) else name


def _digest(line: Mapping[str, Any]) -> str:
    """The SHA-256 of the front of a run's result; empty where there is none."""
    result = line.get("result")
    return str(result.get("front_digest") or "") if isinstance(result, dict) else ""


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, 5) if isinstance(value, float) else value


def _without_paths(text: str, paths: Mapping[str, str]) -> str:
    for name, path in paths.items():
        if re.search(r"\w", path):
            text = re.sub(rf"(?<!\w){re.escape(str(Path(path)))}(?!\w)", f"{{{name}}}", text)
    return text


def command_of(file: Path) -> str:
    """The commands that made an archive, one a line; raises `UserError` if it can't be read."""
    return _read(file)[0]


def _read(file: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """The commands of an archive, and its lines by what is run."""
    damaged = UserError(f"runs {file}: damaged; run the study again, which trains only what is missing")
    try:
        header, *lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        command, found = str(header["command"]), {_identity(line): line for line in lines}
    except OSError as error:
        raise UserError(f"runs {file}: {(error.strerror or 'unreadable').lower()}; run the study first") from None
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise damaged from None
    if not found or not all(line.keys() >= {"run", "stream"} for line in lines):
        raise damaged
    return command, found


def load_archives(files: Sequence[Path]) -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """`load`'s and `load_matrix`'s frames of archives, with the runs' names as `folder`; none occurs twice.

    The first has besides `study_stream`, the study's name of the stream; `archives`, a tuple of the files that have the
    run; `date`, the day of the run, and `versions`; and a column for each option that has none, so that it can be drawn
    against. `front` is `pretrained on NAME` of a front that a study trained, also where the run has no result, and
    `front_from` says what it was trained on, its file and its content's SHA-256, with which `front` ends where fronts
    of several contents are called the same. `stream` ends with `data=` and the fingerprint where the stream has several
    data sets.

    Raises:
        UserError: no such file, or it is damaged.
    """
    import numpy as np
    import pandas as pd

    lines: dict[str, dict[str, Any]] = {}
    holders: dict[str, list[Path]] = {}
    names: dict[str, str] = {}
    for file in files:
        for identity, line in _read(file)[1].items():
            name = names.setdefault(identity, line["run"])
            holders.setdefault(name, []).append(file)
            if "result" not in lines.get(name, {}):
                lines[name] = line
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
    learned = [len(line.get("matrix", ())) for line in kept]
    unfinished = (runs["status"] == "interrupted") & (np.array(learned) > 0)
    runs["reason"] = runs["reason"].mask(
        unfinished, [f"after {count} experience{'s'[: count - 1]}" for count in learned]
    )
    columns: dict[str, list[Any]] = {
        "study_stream": [line["stream"] for line in kept],
        "archives": [tuple(holders[name]) for name in runs["folder"]],
    }
    options = [{**line["config"].get("benchmark_options", {}), **line["config"]["strategy_options"]} for line in kept]
    for name in dict.fromkeys(name for values in options for name in values if name not in runs):
        columns[name] = [values.get(name) for values in options]
    machines = [line.get("environment", {}) for line in kept]
    columns |= {"front": _fronts(runs, kept), "front_from": [_source(line) for line in kept]}
    where = runs[list(SETTING)].astype(str).assign(of=columns["study_stream"])
    data = runs["data"].groupby([where[name] for name in where], dropna=False).transform("nunique") > 1
    runs["stream"] = [
        f"{stream} data={found[:8]}".strip() if several and isinstance(found, str) else stream
        for stream, found, several in zip(runs["stream"], runs["data"], data, strict=True)
    ]
    runs["variant"] = without_option(runs["variant"], "front")  # which has a column
    columns["date"] = [machine.get("date") for machine in machines]
    columns["versions"] = [
        ", ".join(f"{title} {machine[key]}" for key, title in _VERSIONS.items() if key in machine)
        for machine in machines
    ]
    attributes = dict(runs.attrs)
    runs = pd.concat([runs.drop(columns="front"), pd.DataFrame(columns, index=runs.index)], axis=1)
    runs.attrs.update(attributes)
    return runs, matrix


def _fronts(runs: "pd.DataFrame", lines: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """In words, the front of each run: a study's by its name, with its hash where several have that name.

    With the beginning of its content's SHA-256 where fronts with the same words have several contents.
    Beside runs with such a front, those without a result say what theirs would have been, to be mixed with no others.
    """
    import pandas as pd

    options = [line["config"]["strategy_options"].get("front") for line in lines]
    found = [name_and_hash(option) for option in options]
    names = [known[0] for known in dict.fromkeys(found) if known]
    words: list[str | None] = []
    for known, option, row in zip(found, options, runs.itertuples(), strict=True):
        said = row.front if isinstance(row.front, str) else None
        if known:
            said = PRETRAINED + (known[0] if names.count(known[0]) == 1 else "-".join(known))
        elif names and row.status != "complete":
            frozen = pd.notna(row.freeze_depth) and row.freeze_depth > 0
            said = str(option) if option else "first experience" if frozen else None
        words.append(said)
    digests = [_digest(line) for line in lines]
    contents: dict[str | None, set[str]] = {}
    for said, digest in zip(words, digests, strict=True):
        contents.setdefault(said, set()).update([digest] if digest else [])
    return [
        f"{said} (SHA-256 {digest[:8]})" if said and digest and len(contents[said]) > 1 else said
        for said, digest in zip(words, digests, strict=True)
    ]


def _source(line: Mapping[str, Any]) -> str | None:
    """Of a complete run, what its study's front was trained on, the file and its content's SHA-256."""
    if not name_and_hash(line["config"]["strategy_options"].get("front")) or "result" not in line:
        return None
    return f"{line['result'].get('front')}, SHA-256 {line['result'].get('front_digest')}"
