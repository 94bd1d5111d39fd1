"""A study: the streams, strategies, depths and seeds that answer a question, and what is shown of them, as TOML."""

import functools
import itertools
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.errors import UserError, require, unknown
from clhyper.registry import find, option_defaults, studies
from clhyper.runs.config import RunConfig
from clhyper.runs.results import COSTS, METRICS
from clhyper.runs.sweep import parse_numbers, parse_seeds, plan

_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("title", "question", "depths", "kind", "measure", "cost", "along", "x", "reference"), (str,)),
    **dict.fromkeys(("benchmark", "strategy", "option"), (str,)),
    **dict.fromkeys(("data", "options", "grid"), (dict,)),
    **dict.fromkeys(("runs", "show", "strategies", "measures"), (list,)),
    "seeds": (int, str),
    "depth": (int,),
    "optional": (bool,),
}
_WORDS = {str: "text", dict: "a table", list: "a list", int: "a whole number", bool: "true or false"}
_RUNS = ("streams", "strategies", "depths", "seeds", "options", "grid")
_TOP = ("title", "question", "data", "seeds", "options", "grid", "streams", "runs", "show")
SHOWN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "table": ((), ()),
    "against-cost": (("measure", "cost"), ()),
    "against-depth": ((), ()),
    "over-stream": ((), ()),
    "matrices": ((), ()),
    "curve": (("along", "measure"), ("x",)),
    "compare": (("reference",), ("measures",)),
    "correlation": (("x", "measure", "depth"), ()),
    "overtakes": (("strategy", "depth", "cost", "measure"), ()),
    "widens": (("strategy", "option"), ("measures",)),
}
"""What a page can show, each with the entries that it must and may have; any may name its `streams`."""


@dataclass(frozen=True)
class Study:
    """A study as its file says it.

    `data`: what the user must give a path for, by the name that stands in braces in options of streams. `options`,
    `grid`: of every run, of streams and strategies alike; a grid's values are lists, each combination of which is run.
    `streams`: by their names in the study, `benchmark` and options; `optional` ones run only where they are named.
    `runs`: `strategies`, and where they aren't the study's, `streams`, `depths`, `seeds`, `options`, `grid`.
    `show`: parts of the page, see `SHOWN`.
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


@dataclass(frozen=True)
class Planned:
    """A run of a study, and the study's name for its stream."""

    stream: str
    config: RunConfig


def read_study(name: str) -> Study:
    """The study of this name, or in this file; raises `UserError` where what it says isn't right."""
    path = Path(name) if name.endswith(".toml") else studies().get(name)
    if path is None:
        raise unknown("study", name, studies())
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"study {path}: {(error.strerror or 'unreadable').lower()}; give a TOML file") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"study {path}: not TOML ({error})") from None
    where = f"study {path.stem}"
    _check(where, content, ("title", "question", "streams", "runs", "show"), _TOP)
    require(bool(content["streams"]) and isinstance(content["streams"], dict), f"{where}: streams must be a table")
    for label, stream in content["streams"].items():
        require(isinstance(stream, dict), f"{where}, stream {label}: must be a table")
        _check(f"{where}, stream {label}", stream, ("benchmark",), None)
    for number, runs in enumerate(content["runs"], start=1):
        _check(f"{where}, runs {number}", runs, ("strategies",), _RUNS)
        _check_labels(f"{where}, runs {number}", runs, content["streams"])
    for number, show in enumerate(content["show"], start=1):
        here = f"{where}, show {number}"
        require(isinstance(show, dict) and "kind" in show, f"{here}: has no kind; known: {', '.join(SHOWN)}")
        if show["kind"] not in SHOWN:
            raise unknown(f"kind in {here}", str(show["kind"]), SHOWN)
        must, may = SHOWN[show["kind"]]
        _check(here, show, must, ("kind", "title", "streams", *must, *may))
        _check_labels(here, show, content["streams"])
        for entry, known in (("measure", METRICS), ("cost", COSTS)):
            if entry in show and show[entry] not in known:
                raise unknown(f"{entry} in {here}", show[entry], known)
        for measure in show.get("measures", []):
            if measure not in (*METRICS, *COSTS):
                raise unknown(f"measure in {here}", str(measure), (*METRICS, *COSTS))
        good = show["kind"] != "against-cost" or show["measure"] in ("acc", "forgetting")
        require(good, f"{here}: measure {show.get('measure')} against a cost: give acc or forgetting")
    grids = [(where, content.get("grid", {})), *((f"{where}, runs", runs.get("grid", {})) for runs in content["runs"])]
    for here, grid in grids:
        for option, values in grid.items():
            good = isinstance(values, list) and bool(values)
            require(good, f"{here}: grid {option} {values!r}: give a list of the values to run")
    defaults: dict[str, Any] = {"data": {}, "seeds": 1, "options": {}, "grid": {}}
    return Study(name=path.stem, **defaults | content)


def _check(where: str, table: Any, must: Iterable[str], known: Sequence[str] | None) -> None:
    """Raises `UserError` for what is missing, not `known` (None: anything is) or of another type."""
    require(isinstance(table, dict), f"{where}: must be a table")
    for name in must:
        require(name in table, f"{where}: has no {name}")
    for name, value in table.items():
        if known is not None and name not in known:
            raise unknown(f"entry of {where}", name, known)
        types = _TYPES.get(name)
        if types and (known is not None or name in ("benchmark", "optional")):
            words = " or ".join(_WORDS[one] for one in types)
            require(type(value) in types, f"{where}: {name} {value!r} must be {words}")


def _check_labels(where: str, table: dict[str, Any], streams: Mapping[str, Any]) -> None:
    require(isinstance(table.get("streams", []), list), f"{where}: streams must be a list of the study's streams")
    for label in table.get("streams", []):
        if label not in streams:
            raise unknown(f"stream in {where}", str(label), streams)


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
            for options in _combinations(study, entry, label, changes):
                for config in _configs(study, entry, label, options, paths, seeds, run):
                    found.setdefault(config.name, Planned(label, config))
    require(bool(found), f"study {study.name}: nothing runs on {', '.join(chosen)}; name other streams")
    return list(found.values())


def _check_options(study: Study, changes: Mapping[str, Any]) -> None:
    """Raises `UserError` for an option that nothing has in the part of the study for which it is said."""

    def check(names: Iterable[str], runs: list[dict[str, Any]], labels: Iterable[str]) -> None:
        known = {name for one in runs for strategy in one["strategies"] for name in _known("strategy", strategy)}
        known |= {name for label in labels for name in _known("benchmark", study.streams[label]["benchmark"])}
        for name in names:
            if name not in known:
                raise unknown(f"option in study {study.name}", name, known)

    check([*study.options, *study.grid, *changes], study.runs, study.streams)
    for label, stream in study.streams.items():
        check([name for name in stream if name not in ("benchmark", "optional")], study.runs, [label])
    for entry in study.runs:
        check([*entry.get("options", {}), *entry.get("grid", {})], [entry], entry.get("streams", study.streams))


@functools.cache
def _known(kind: Any, name: str) -> dict[str, Any]:
    return option_defaults(find(kind, name).options())


def _combinations(
    study: Study, entry: dict[str, Any], label: str, changes: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Options of the runs of an entry on a stream: the study's, the stream's, the entry's and the changes."""
    grid = study.grid | entry.get("grid", {})
    stream = {name: value for name, value in study.streams[label].items() if name not in ("benchmark", "optional")}
    options = study.options | stream | entry.get("options", {}) | changes
    free = {name: values for name, values in grid.items() if name not in changes}
    for values in itertools.product(*free.values()):
        yield options | dict(zip(free, values, strict=True))


def _configs(
    study: Study,
    entry: dict[str, Any],
    label: str,
    options: dict[str, Any],
    paths: Mapping[str, str],
    seeds: str | None,
    run: dict[str, Any],
) -> list[RunConfig]:
    benchmark = study.streams[label]["benchmark"]
    learners = {name for strategy in entry["strategies"] for name in _known("strategy", strategy)}
    filled = {name: _filled(study, label, value, paths) for name, value in options.items()}
    return plan(
        benchmark,
        entry["strategies"],
        depths=parse_numbers(entry["depths"], "depths") if "depths" in entry else None,
        seeds=parse_seeds(str(seeds or entry.get("seeds", study.seeds))),
        benchmark_options={name: value for name, value in filled.items() if name in _known("benchmark", benchmark)},
        strategy_options={name: value for name, value in filled.items() if name in learners},
        **run,
    )


def _filled(study: Study, label: str, value: Any, paths: Mapping[str, str]) -> Any:
    """An option's value with the user's paths in place of names in braces."""
    if isinstance(value, list):
        return [_filled(study, label, item, paths) for item in value]
    for name, what in study.data.items() if isinstance(value, str) else ():
        if f"{{{name}}}" in value:
            require(name in paths, f"stream {label} of study {study.name} needs --data {name}=PATH: {what}")
            value = value.replace(f"{{{name}}}", paths[name])
    return value
