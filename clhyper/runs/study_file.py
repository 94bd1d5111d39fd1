"""What the file of a study may say: names, types, and what a page can show."""

import functools
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from clhyper.errors import require, unknown
from clhyper.registry import Kind, find, option_defaults
from clhyper.runs.results import COSTS, METRICS

_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("title", "question", "depths", "kind", "measure", "cost", "along", "x", "reference"), (str,)),
    **dict.fromkeys(("strategy", "option", "front"), (str,)),
    **dict.fromkeys(("data", "options", "grid", "fronts"), (dict,)),
    **dict.fromkeys(("runs", "show", "streams", "strategies", "measures"), (list,)),
    "seeds": (int, str),
    "depth": (int,),
}
_OF_STREAMS: dict[str, tuple[type, ...]] = {"benchmark": (str,), "optional": (bool,), "front": (str,)}
_OF_FRONTS: dict[str, tuple[type, ...]] = {**dict.fromkeys(("stream", "benchmark", "classes"), (str,)), "seed": (int,)}
NOT_OPTIONS = ("benchmark", "optional", "front")
"""What the table of a stream has besides options of streams and strategies."""
_WORDS = {str: "text", dict: "a table", list: "a list", int: "a whole number", bool: "true or false"}
_NAMES = ("streams", "strategies", "measures")
_RUNS = ("streams", "strategies", "depths", "seeds", "front", "options", "grid")
_TOP = ("title", "question", "data", "seeds", "options", "grid", "streams", "fronts", "runs", "show")
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
    "sizes": ((), ()),
}
"""What a page can show, each with the entries that it must and may have; any may name its `streams`."""


def check_study(where: str, content: dict[str, Any]) -> None:
    """Raises `UserError`, which begins with `where`, for the first thing in a study's file that isn't right."""
    _check(where, content, ("title", "question", "streams", "runs", "show"), _TOP, _TYPES | {"streams": (dict,)})
    require(bool(content["title"].strip()), f"{where}: the title is empty")
    require(bool(content["streams"]), f"{where}: streams names none")
    for name, what in content.get("data", {}).items():
        require(type(what) is str, f"{where}: data {name} {what!r} must be text that says what the user is to give")
    for label, stream in content["streams"].items():
        _check(f"{where}, stream {label}", stream, ("benchmark",), None, _OF_STREAMS)
        _check_front(f"{where}, stream {label}", stream, content)
    for name, front in content.get("fronts", {}).items():
        _check_trained(f"{where}, front {name}", name, front, content["streams"])
    for number, runs in enumerate(content["runs"], start=1):
        here = f"{where}, runs {number}"
        _check(here, runs, ("strategies",), _RUNS)
        require(bool(runs["strategies"]), f"{here}: strategies names none")
        _check_labels(here, runs, content["streams"])
        _check_front(here, runs, content)
        _check_no_front(here, runs.get("options", {}), content)
    _check_no_front(where, content.get("options", {}), content)
    taken = {table.get("front") for table in (*content["streams"].values(), *content["runs"])}
    for name in content.get("fronts", {}):
        require(
            name in taken, f'{where}, front {name}: no run names it; say front = "{name}" in [[runs]] or in a stream'
        )
    for here, table in [(where, content), *((f"{where}, runs", runs) for runs in content["runs"])]:
        for option, values in table.get("grid", {}).items():
            good = isinstance(values, list) and bool(values)
            require(good, f"{here}: grid {option} {values!r}: give a list of the values to run")
    strategies = {name for runs in content["runs"] for name in runs["strategies"]}
    of_streams = {
        name for stream in content["streams"].values() for name in known_options("benchmark", stream["benchmark"])
    }
    of_strategies = {option for name in strategies for option in known_options("strategy", name)}
    columns = {*METRICS, *COSTS, "similarity", "freeze_depth", *of_streams, *of_strategies}
    right: dict[str, Collection[str]] = {"measure": METRICS, "cost": COSTS, "along": columns, "x": columns}
    right |= {"strategy": strategies, "option": of_streams}
    for number, show in enumerate(content["show"], start=1):
        _check_show(f"{where}, show {number}", show, content["streams"], right)


def _check_show(where: str, show: Any, streams: Mapping[str, Any], right: Mapping[str, Collection[str]]) -> None:
    _check(where, show, ("kind",), None)
    if show["kind"] not in SHOWN:
        raise unknown(f"kind in {where}", show["kind"], SHOWN)
    must, may = SHOWN[show["kind"]]
    _check(where, show, must, ("kind", "title", "streams", *must, *may))
    _check_labels(where, show, streams)
    for entry, known in right.items():
        if entry in show and show[entry] not in known:
            raise unknown(f"{entry} in {where}", show[entry], known)
    for measure in show.get("measures", []):
        if measure not in (*METRICS, *COSTS):
            raise unknown(f"measure in {where}", measure, (*METRICS, *COSTS))
    good = show["kind"] != "against-cost" or show["measure"] in ("acc", "forgetting")
    require(good, f"{where}: measure {show.get('measure')} against a cost: give acc or forgetting")


def _check(
    where: str,
    table: Any,
    must: Iterable[str],
    known: Collection[str] | None,
    types: Mapping[str, tuple[type, ...]] = _TYPES,
) -> None:
    """Raises `UserError` for what is missing, not `known` (None: anything is) or of another type."""
    require(isinstance(table, dict), f"{where}: must be a table")
    for name in must:
        require(name in table, f"{where}: has no {name}")
    for name, value in table.items():
        if known is not None and name not in known:
            raise unknown(f"entry of {where}", name, known)
        words = " or ".join(_WORDS[one] for one in types.get(name, ()))
        require(not words or type(value) in types[name], f"{where}: {name} {value!r} must be {words}")
        if name in _NAMES and isinstance(value, list):
            require(all(type(one) is str for one in value), f"{where}: {name} {value!r} must be a list of names")


def _check_labels(where: str, table: dict[str, Any], streams: Mapping[str, Any]) -> None:
    for label in table.get("streams", []):
        if label not in streams:
            raise unknown(f"stream in {where}", label, streams)


def _check_front(where: str, table: dict[str, Any], content: dict[str, Any]) -> None:
    if "front" in table and table["front"] not in content.get("fronts", {}):
        require(
            "fronts" in content, f"{where}: front {table['front']!r}: the study has no fronts; give it a table of that"
        )
        raise unknown(f"front in {where}", table["front"], content["fronts"])


def _check_no_front(where: str, options: Mapping[str, Any], content: dict[str, Any]) -> None:
    """Raises `UserError` for a front of the study among options, where `front` is the path of a file."""
    name = options.get("front")
    require(
        not (isinstance(name, str) and name in content.get("fronts", {})),
        f"{where}: options front {name!r}: is the path of a file there; to take the study's front {name}, say front ="
        f' "{name}" in [[runs]] itself, or in a stream',
    )


def _check_trained(where: str, name: str, front: Any, streams: Mapping[str, Any]) -> None:
    """Raises `UserError` for a front that can't be trained as it is said."""
    require(bool(re.fullmatch(r"[\w-]+", name)), f"{where}: begins a file's name, so give letters, digits, - and _")
    _check(where, front, ("classes",), None, _OF_FRONTS)
    require(
        ("stream" in front) != ("benchmark" in front),
        f"{where}: give either stream, one of the study's, or benchmark, what it is trained on",
    )
    require(front.get("seed", 0) >= 0, f"{where}: seed {front.get('seed')}: at least 0")
    if front.get("stream", next(iter(streams))) not in streams:
        raise unknown(f"stream in {where}", front["stream"], streams)


@functools.cache
def known_options(kind: Kind, name: str) -> dict[str, Any]:
    """The options of a stream or strategy with their defaults; raises `UserError` for a name that is none."""
    return option_defaults(find(kind, name).options())


def filled(where: str, data: Mapping[str, str], value: Any, paths: Mapping[str, str]) -> Any:
    """An option's value with the user's paths in place of the names of `data` in braces.

    Raises:
        UserError: there is no path for one; the sentence begins with `where`.
    """
    if isinstance(value, list):
        return [filled(where, data, item, paths) for item in value]
    for name, what in data.items() if isinstance(value, str) else ():
        if f"{{{name}}}" in value:
            require(name in paths, f"{where} needs --data {name}=PATH: {what}")
            value = value.replace(f"{{{name}}}", paths[name])
    return value
