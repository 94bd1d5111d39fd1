"""What several verbs share: common flags, the device, the number of processes and threads."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clhyper.cli.flags import Flag, parse, split_positionals
from clhyper.errors import UserError
from clhyper.options import EngineName, Loading
from clhyper.runs.lanes import LADDER

if TYPE_CHECKING:
    import pandas as pd

RESULTS = Path("results/runs")
Logger = Literal["interactive", "text", "csv", "tensorboard"]


def run_flags(values: dict[str, Any]) -> list[Flag]:
    """Flags of everything that trains."""
    return [
        Flag(
            "device", str, values.get("device", "auto"), "where to train: cpu, cuda, cuda:N, or auto for a GPU if any"
        ),
        Flag(
            "threads", int | None, values.get("threads"), "CPU threads a run; without it, the cores shared by the jobs"
        ),
        Flag(
            "loading",
            Loading,
            values.get("loading", "auto"),
            "where images are: whole on the device, or read by a loader as they are used, with the same numbers; auto:"
            " whole if an experience takes at most a quarter of the memory that is free",
        ),
        Flag(
            "engine",
            EngineName,
            values.get("engine", "auto"),
            "how training steps are executed: eager (one operator after another), captured (as a CUDA graph), compiled"
            " (and captured, on a GPU); auto: eager on a CPU, and on a GPU compiled where an experience has many steps,"
            " else captured",
        ),
        Flag("results", Path, RESULTS, "folder that has one folder a run"),
        Flag("quiet", bool, False, "print nothing but errors"),
    ]


def resolve_device(name: str) -> str:
    """The device to train on; `auto` takes a GPU if torch sees one. Raises `UserError` for a name that is none."""
    if name != "auto":
        kind, _, number = name.partition(":")
        if kind not in ("cpu", "cuda") or (number and not number.isdecimal()) or (kind == "cpu" and number):
            raise UserError(f"device {name!r}: give cpu, cuda, cuda:N or auto")
        return name
    if os.name == "posix" and not Path("/dev/nvidiactl").exists():
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


RunsPerDevice = int | Literal["auto"]


def runs_per_device(text: str | None) -> RunsPerDevice:
    """Runs side by side in a process: a number or auto; one without it.

    Raises:
        UserError: neither a number from 1 nor auto.
    """
    if text is None:
        return 1
    if text == "auto":
        return "auto"
    if not (text.isdecimal() and len(text) < 5 and int(text) >= 1):
        raise UserError(f"runs_per_device {text}: give a number from 1 to 9999, or auto")
    return int(text)


def jobs_and_threads(
    jobs: int | None, threads: int | None, device: str, lanes: RunsPerDevice = 1, devices: int = 1
) -> tuple[int, int]:
    """Processes at once (on a CPU as many as cores, on a GPU one) and CPU threads for each run.

    lanes: runs side by side in each process, which share its cores; auto counts as 16. devices: how many have as many
    processes each.

    Raises:
        UserError: a number below 1.
    """
    for name, value in (("jobs", jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise UserError(f"{name} {value}: at least 1")
    lanes = LADDER[-1] if lanes == "auto" else lanes
    jobs = jobs or (cores() // ((threads or 1) * lanes) or 1 if device == "cpu" else 1)
    return jobs, threads or max(1, cores() // (jobs * lanes * devices))


def words_and_flags(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The words of a command whose every flag has one value, wherever they stand, and its flags with their values."""
    words: list[str] = []
    flags: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            words.append(argument)
        elif "=" in argument or argument in ("-h", "--help"):
            flags.append(argument)
        else:
            flags += [argument, *[value for value in [next(rest, None)] if value is not None]]
    return words, flags


def folder_and_flags(
    verb: str, description: str, flags: list[Flag], arguments: list[str], default: Path = RESULTS
) -> tuple[Path, dict[str, Any]]:
    """The results folder and the flags of a verb that reads results; raises `UserError` for a second folder."""
    words, rest = words_and_flags(arguments)
    if len(words) > 1:
        raise UserError(f"{verb} takes one folder, and {words[1]!r} is a second")
    return Path(words[0]) if words else default, parse(f"clhyper {verb} DIR", description, flags, rest)


def load_runs(folder: Path) -> "pd.DataFrame":
    """The runs in a folder; says on standard error which others could not be read."""
    from clhyper.runs.results import load, unread_note

    runs = load(folder)
    if runs.attrs["unread"]:
        print(f"clhyper: {unread_note(runs.attrs['unread'])}", file=sys.stderr)
    return runs


def load_runs_or_archive(folder: Path) -> "pd.DataFrame":
    """The runs in a folder, or those of the archive that a study published in it."""
    from clhyper.runs.archive import ARCHIVE, load_archives

    return load_archives([folder / ARCHIVE])[0] if (folder / ARCHIVE).is_file() else load_runs(folder)


def check_output(folder: Path) -> None:
    """Raises `UserError` if a folder to write to can't be made or written; makes nothing, for the rest may be wrong."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"output {folder}: {existing} is a file; give another folder")
    if not os.access(existing, os.W_OK):
        raise UserError(f"output {folder}: {existing} can't be written; give another folder")


def one_run(verb: str, arguments: list[str]) -> tuple[Path, list[str]]:
    """The run's folder that a verb is given, and its flags; raises `UserError` if none or several are given."""
    words, flags = split_positionals(arguments)
    if not words:
        raise UserError(f"missing run: clhyper {verb} RUN, with the folder of a run such as results/runs/NAME")
    if len(words) > 1:
        raise UserError(f"{verb} takes one run's folder, and {words[1]!r} is a second")
    return Path(words[0]), flags
