"""A study: the streams, strategies, depths and seeds that answer a question, and what is shown of them, as TOML."""

import itertools
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clhyper.errors import UserError, require, unknown
from clhyper.registry import find, studies
from clhyper.runs.config import RunConfig
from clhyper.runs.fronts import Front
from clhyper.runs.study_file import NOT_OPTIONS, check_study, filled, known_options
from clhyper.runs.study_fronts import plan_front
from clhyper.runs.study_reference import check_reference
from clhyper.runs.sweep import parse_numbers, parse_seeds, plan


@dataclass(frozen=True)
class Study:
    """A study as its file says it.

    `data`: what the user must give a path for, by the name that stands in braces in options of streams. `options`,
    `grid`: of every run, of streams and strategies alike; a grid's values are lists, each combination of which is run.
    `streams`: by their names in the study, `benchmark` and options; `optional` ones run only where they are named.
    `fronts`: by their names, what they are trained on (`stream`, one of the study's, or `benchmark`), `classes`,
    `seed`, and options of stream and training. A stream or runs may name one as their `front`.
    `runs`: `strategies`, and where they aren't the study's, `streams`, `depths`, `seeds`, `options`, `grid`.
    `show`: parts of the page, see `clhyper.runs.study_file.SHOWN`.
    """

    name: str
    title: str
    question: str
    data: dict[str, str]
    seeds: int | str
    options: dict[str, Any]
    grid: dict[str, list[Any]]
    streams: dict[str, dict[str, Any]]
    runs: list[dict[str, Any]]
    show: list[dict[str, Any]]
    fronts: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Planned:
    """A run of a study, the study's name for its stream, those options that the user's paths filled, unfilled, and the
    front that is to be trained for it."""

    stream: str
    config: RunConfig
    unfilled: dict[str, Any] = field(default_factory=dict)
    front: Front | None = None


def read_study(name: str, references: bool = True) -> Study:
    """The study of this name, or in this file; raises `UserError` where what it says isn't right.

    references: Look up among the runs, which takes planning them, what comparisons are with.
    """
    path = Path(name) if name.endswith(".toml") else studies().get(name)
    if path is None:
        raise unknown("study", name, studies())
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"study {path}: {(error.strerror or 'unreadable').lower()}; give a TOML file") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"study {path}: not TOML ({error})") from None
    check_study(f"study {path.stem}", content)
    defaults: dict[str, Any] = {"data": {}, "seeds": 1, "options": {}, "grid": {}}
    study = Study(name=path.stem, **defaults | content)
    for front in study.fronts:
        plan_front(study, front, _placeholders(study), {})
    if references:
        _check_references(study)
    return study


def _placeholders(study: Study) -> dict[str, str]:
    """In place of the user's paths, before they are known: their names in braces."""
    return {name: f"{{{name}}}" for name in study.data}


def _check_references(study: Study) -> None:
    """Raises `UserError` for a reference of a comparison that is none of the study's configurations."""
    shown = {number: show for number, show in enumerate(study.show, start=1) if show["kind"] == "compare"}
    if not shown:
        return
    planned = expand(study, _placeholders(study), list(study.streams), "1")
    for number, show in shown.items():
        labels = show.get("streams", study.streams)
        configs = [one.config for one in planned if one.stream in labels]
        check_reference(f"study {study.name}, show {number}", show["reference"], configs)


def expand(
    study: Study,
    paths: Mapping[str, str] | None = None,
    streams: Sequence[str] = (),
    seeds: str | None = None,
    changes: Mapping[str, Any] | None = None,
    **run: Any,
) -> list[Planned]:
    """The runs of a study, none twice.

    Args:
        paths: For each name of `study.data` that a chosen stream needs, where it is.
        streams: The study's names of streams to run; without them, all that aren't optional.
        seeds: In place of the study's, in the grammar of a sweep.
        changes: Options in place of the study's, for those streams and strategies that have them.
        run: Of every run: device, threads, loading, engine.

    Raises:
        UserError: an unknown name, a path that is missing, or an option that none of its streams and strategies has.
    """
    paths, changes = paths or {}, changes or {}
    for name in paths:
        if name not in study.data:
            raise unknown(f"data of study {study.name}", name, study.data)
    for label in streams:
        if label not in study.streams:
            raise unknown(f"stream of study {study.name}", label, study.streams)
    chosen = list(streams) or [label for label, stream in study.streams.items() if not stream.get("optional")]
    _check_options(study, changes)
    found: dict[str, Planned] = {}
    for entry in study.runs:
        among = entry.get("streams", study.streams)
        for label in [label for label in chosen if label in among]:
            trained = entry.get("front", study.streams[label].get("front"))
            front = plan_front(study, trained, paths, changes, **run) if trained and "front" not in changes else None
            for options in _combinations(study, entry, label, changes):
                for one in _planned(study, entry, label, options, front, paths, seeds, run):
                    found.setdefault(one.config.name, one)
    require(bool(found), f"study {study.name}: nothing runs on {', '.join(chosen)}; name other streams")
    return list(found.values())


def _check_options(study: Study, changes: Mapping[str, Any]) -> None:
    """Raises `UserError` for an option that nothing has in the part of the study for which it is said."""

    def check(names: Iterable[str], runs: list[dict[str, Any]], labels: Iterable[str]) -> None:
        known = {name for one in runs for strategy in one["strategies"] for name in known_options("strategy", strategy)}
        known |= {name for label in labels for name in known_options("benchmark", study.streams[label]["benchmark"])}
        for name in names:
            require(
                name != "freeze_depth",
                f"freeze_depth in study {study.name}: say which with depths in its [[runs]], in a copy of its file",
            )
            if name not in known:
                raise unknown(f"option in study {study.name}", name, known)

    check([*study.options, *study.grid, *changes], study.runs, study.streams)
    for label, stream in study.streams.items():
        check([name for name in stream if name not in NOT_OPTIONS], study.runs, [label])
    for entry in study.runs:
        check([*entry.get("options", {}), *entry.get("grid", {})], [entry], entry.get("streams", study.streams))


def _combinations(
    study: Study, entry: dict[str, Any], label: str, changes: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Options of the runs of an entry on a stream: the study's, the stream's, the entry's and the changes."""
    grid = study.grid | entry.get("grid", {})
    stream = {name: value for name, value in study.streams[label].items() if name not in NOT_OPTIONS}
    options = study.options | stream | entry.get("options", {}) | changes
    free = {name: values for name, values in grid.items() if name not in changes}
    for values in itertools.product(*free.values()):
        yield options | dict(zip(free, values, strict=True))


def _planned(
    study: Study,
    entry: dict[str, Any],
    label: str,
    options: dict[str, Any],
    front: Front | None,
    paths: Mapping[str, str],
    seeds: str | None,
    run: dict[str, Any],
) -> Iterator[Planned]:
    benchmark = study.streams[label]["benchmark"]
    of_stream = known_options("benchmark", benchmark)
    learners = {name for strategy in entry["strategies"] for name in known_options("strategy", strategy)}
    where = f"stream {label} of study {study.name}"
    values = {name: filled(where, study.data, value, paths) for name, value in options.items()}
    unfilled = {name: value for name, value in options.items() if values[name] != value}
    if front:
        require(
            "front" in learners,
            f"front {front.name} of study {study.name}: none of {', '.join(entry['strategies'])} has one",
        )
        values["front"] = front.option
    try:
        configs = plan(
            benchmark,
            entry["strategies"],
            depths=parse_numbers(entry["depths"], "depths") if "depths" in entry else None,
            seeds=parse_seeds(str(seeds or entry.get("seeds", study.seeds))),
            benchmark_options={name: value for name, value in values.items() if name in of_stream},
            strategy_options={name: value for name, value in values.items() if name in learners},
            **run,
        )
    except UserError as error:
        number = study.runs.index(entry) + 1
        raise UserError(f"study {study.name}, runs {number}, stream {label}: {error}") from None
    backbone = configs[0].benchmark_options["backbone"]
    stages = find("backbone", backbone).constant("stages")
    for config in configs:
        depth = config.freeze_depth or 0
        require(
            stages is None or depth <= stages,
            f"freeze_depth {depth} on stream {label} of study {study.name}: {backbone} has depths 0 to {stages}",
        )
        yield Planned(label, config, unfilled, front if "front" in config.strategy_options else None)
