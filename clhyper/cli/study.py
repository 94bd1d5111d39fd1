"""answers one of the suite's questions: runs all of a study, then writes its table, figures and page"""

import os
import shlex
import tomllib
from pathlib import Path
from typing import Any

from clhyper.cli.common import (
    RESULTS,
    check_output,
    cores,
    resolve_device,
    run_flags,
)
from clhyper.cli.executors import ELSEWHERE, PROCESSES, chosen_executor
from clhyper.cli.flags import Flag, asks_for_help, parse, split_positionals
from clhyper.cli.fronts import checked_fronts, train_fronts, without_failed
from clhyper.cli.list import listed_studies
from clhyper.cli.sweep import execute_and_show
from clhyper.errors import UserError, require
from clhyper.registry import studies
from clhyper.runs.study import Study, expand, read_study

OUTPUT = Path("results")
_HELP = """usage: clhyper study NAME|FILE.toml [options]

Runs a study, several runs at once, then writes its page into results/NAME: README.md, table.csv, figures, and
runs.jsonl with what each run was and gave. What is finished is skipped and what was interrupted goes on, so the same
command may be started again at any time. All options:

  clhyper study freeze-depth --help

Examples:
  clhyper study freeze-depth --streams digits --seeds 2 --set epochs=3 --output try
  clhyper study freeze-depth --data cifar10=DIR glyphs=glyphs.npz --device cuda --runs-per-device auto
  clhyper study freeze-depth --seeds 10 --executor ray --address auto
  clhyper study freeze-depth --page-only

Exit codes: 0 done, 1 a run failed (the others went on), 2 bad input, 130 stopped by Ctrl-C."""


def main(arguments: list[str]) -> int:
    """Plans, trains, keeps the results in one file and writes the page from it."""
    words, flags = split_positionals(arguments)
    if asks_for_help(words, flags):
        print(f"{_HELP}\n\nStudies:\n{listed_studies()}")
        return 0
    if not words:
        raise UserError(f"missing study: clhyper study NAME, one of {', '.join(studies())}, or a TOML file")
    require(len(words) < 2, f"study takes one name, and {words[-1]!r} is too much")
    names = [flag.partition("=")[0] for flag in flags if flag.startswith("--")]
    for name in names:
        require(names.count(name) == 1, f"{name} is given twice: give it once, with all its values after it")
    study = read_study(words[0], references="--page-only" not in names)
    given = [
        Flag("data", tuple[str, ...], (), "where data are, as NAME=PATH: " + _listed(study.data)),
        Flag(
            "streams",
            tuple[str, ...],
            (),
            f"streams to run, of {', '.join(study.streams)}; without it, {_usual(study)}",
        ),
        Flag("seeds", str | None, None, f"number of seeds, or the seeds as 1,7,9; without it, {study.seeds}"),
        Flag("set", tuple[str, ...], (), "options in place of the study's, as NAME=VALUE, for all that have them"),
    ]
    runs_flags = [flag for flag in run_flags({}) if flag.name != "results"]
    training = [
        *PROCESSES,
        *[flag for flag in runs_flags if flag.name != "quiet"],
    ]
    running = [
        *given,
        *training,
        *ELSEWHERE,
        Flag("results", Path, RESULTS / study.name, "folder that has one folder a run"),
        Flag("dry_run", bool, False, "print what would run, and run nothing"),
    ]
    values = parse(
        f"clhyper study {words[0]}",
        f"{study.title}\n\n{study.question.strip()}\n\nExample:\n  clhyper study {words[0]} --seeds 2 --dry-run",
        [
            *running,
            Flag("output", Path, OUTPUT / study.name, "folder for the page"),
            Flag("page_only", bool, False, "renew the page from the runs.jsonl in its folder, and run nothing"),
            *[flag for flag in runs_flags if flag.name == "quiet"],
        ],
        flags,
    )
    output = values["output"]
    check_output(output)
    name = _portable(words[0]) if words[0].endswith(".toml") else words[0]
    place = ["--output", _portable(output)] if output != OUTPUT / study.name else []
    for flag in running if values["page_only"] else []:
        require(
            values[flag.name] == flag.default,
            f"--page-only and --{flag.name.replace('_', '-')} contradict each other: the page is renewed from what was"
            " run before; leave one of them out",
        )
    code = 0
    if not values["page_only"]:
        paths = _pairs("data", values["data"])
        device = resolve_device(values["device"])
        chosen = chosen_executor(values, device)
        planned = expand(
            study,
            paths,
            values["streams"],
            values["seeds"],
            {name: _value(text) for name, text in _pairs("set", values["set"]).items()},
            device=device,
            threads=chosen.threads,
            loading=values["loading"],
            engine=values["engine"],
        )
        for data, path in paths.items():
            require(Path(path).exists(), f"--data {data}={path}: no such file or folder; give {study.data[data]}")
        fronts = checked_fronts(planned)
        if values["dry_run"]:
            print("\n".join([*(f"front {front.file}" for front in fronts), *(one.config.name for one in planned)]))
            print(f"{len(planned)} runs, {chosen.at_once}, {chosen.threads} CPU threads each, on {device}")
            return 0
        from clhyper.runs.archive import ARCHIVE, pack

        failed = train_fronts(fronts, values["results"], values["threads"] or cores(), values["quiet"])
        able = without_failed(planned, failed, values["results"])
        code = execute_and_show(able, values["results"], chosen.executor, values["quiet"]) if able else 0
        code = 1 if failed else code
        shown = _command(name, values, [*given, *training], paths)
        pack(planned, values["results"], output / ARCHIVE, shown, paths)
    from clhyper.figures.study_page import write_page

    files = write_page(study, output, shlex.join(["clhyper", "study", name, "--page-only", *place]))
    if not values["quiet"]:
        print("\n".join(map(str, files)))
    return code


def _listed(data: dict[str, str]) -> str:
    return "; ".join(f"{name}, {what}" for name, what in data.items()) or "this study needs none"


def _usual(study: Study) -> str:
    return ", ".join(label for label, stream in study.streams.items() if not stream.get("optional"))


def _pairs(flag: str, texts: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        require(bool(name and equals and value), f"--{flag} {text}: give NAME=VALUE")
        name = name.replace("-", "_") if flag == "set" else name
        require(name not in found, f"--{flag} {text}: {name} is given twice; give it one value")
        found[name] = value
    return found


def _portable(path: Path | str) -> str:
    """A path as others can type it: from the working directory if it is in there, else its last part."""
    whole = Path(os.path.abspath(path))
    return whole.relative_to(Path.cwd()).as_posix() if whole.is_relative_to(Path.cwd()) else whole.name


def _value(text: str) -> Any:
    """A value as TOML has it, or text that needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _command(name: str, values: dict[str, Any], flags: list[Flag], paths: dict[str, str]) -> str:
    """The command as others would type it: without paths and without what is at its default."""
    words = ["clhyper", "study", name]
    for flag in flags:
        value = values[flag.name]
        if value == flag.default:
            continue
        texts = (
            [f"{one}=PATH" for one in paths] if flag.name == "data" else value if isinstance(value, tuple) else [value]
        )
        words += [f"--{flag.name.replace('_', '-')}", *map(str, texts)]
    return shlex.join(words)
