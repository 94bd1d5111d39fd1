"""What one run is: names, options and seed; as TOML, and as the name of its folder."""

import dataclasses
import functools
import hashlib
import json
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from clhyper.errors import UserError, require, unknown
from clhyper.options import Loading, check_engine
from clhyper.registry import Entry, Kind, entries, find, option_defaults

SCHEMA = 1
_TYPE_NAMES = {int: "a whole number", str: "a string"}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run. Two configurations with the same `name` are the same run.

    `benchmark_options`, `strategy_options`: every option of either, defaults included, as plain values.
    `seed`: fixes initialisation, batches and augmentation.
    `device`: cpu, cuda or cuda:N. `threads`: CPU threads of the run; part of what must be equal to repeat its numbers
    bit for bit, but not of its name, so that a sweep can go on with another number. `loading`: where images are, auto,
    device or loader; the numbers are the same, so it is not part of the name either. `engine`: auto, eager, captured or
    compiled; part of the name unless it is auto.
    """

    benchmark: str
    strategy: str
    benchmark_options: dict[str, Any] = field(default_factory=dict)
    strategy_options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    loading: str = "auto"
    engine: str = "auto"

    @property
    def freeze_depth(self) -> int | None:
        """The freeze depth; 0 for what is a strategy's depth 0 under another name; None for those that have none."""
        return 0 if self.family != self.strategy else self.strategy_options.get("freeze_depth")

    @property
    def family(self) -> str:
        """The strategy of which this one is the depth 0 under another name, or the strategy itself."""
        known = entries("strategy").get(self.strategy)
        return (known.constant("depth_zero_of") if known else None) or self.strategy

    @property
    def name(self) -> str:
        """Name of the run's folder: what is run, readable, and a hash of all that decides the numbers.

        Options at their default are left out of the hash, so that an option added later renames no run.
        """
        depth = self.strategy_options.get("freeze_depth")
        words = [self.benchmark, self.strategy, *([f"depth-{depth}"] if depth is not None else []), f"seed-{self.seed}"]
        decisive = self.as_dict()
        del decisive["threads"], decisive["loading"]
        if self.engine == "auto":
            del decisive["engine"]
        decisive["benchmark_options"] = other_than_default(
            options_class("benchmark", self.benchmark), self.benchmark_options
        )
        decisive["strategy_options"] = other_than_default(
            options_class("strategy", self.strategy), self.strategy_options
        )
        decisive["device"] = self.device.partition(":")[0]
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
        return "_".join([*words, digest[:8]])

    def as_dict(self) -> dict[str, Any]:
        """Plain values only, without those that are None (TOML has none)."""
        return {
            "schema": SCHEMA,
            "benchmark": self.benchmark,
            "strategy": self.strategy,
            "seed": self.seed,
            "device": self.device,
            "threads": self.threads,
            "loading": self.loading,
            "engine": self.engine,
            "benchmark_options": _plain(self.benchmark_options),
            "strategy_options": _plain(self.strategy_options),
        }

    def to_toml(self) -> str:
        """The TOML that `clhyper run --config` reads to repeat the run."""
        return tomli_w.dumps(self.as_dict())


def make_config(
    benchmark: str,
    strategy: str,
    benchmark_options: dict[str, Any],
    strategy_options: dict[str, Any],
    **run: Any,
) -> RunConfig:
    """A checked configuration with every option filled in.

    A strategy at freeze depth 0 that has a name of its own there (a full hypernetwork) is given that name, so that it
    is run once whichever name was asked for.

    Raises:
        UserError: an unknown name, an option that neither has, or a value that is out of range or contradicts another.
    """
    stream, learner = find("benchmark", benchmark), find("strategy", strategy)
    chosen = checked_options(learner, strategy_options)
    if chosen.get("freeze_depth") == 0:
        for entry in _entries_at_depth_zero(strategy):
            del chosen["freeze_depth"]
            for name in ("front", "augmentation_views"):
                chosen.pop(name, None)
            learner, chosen = entry, checked_options(entry, chosen)
    streamed = checked_options(stream, benchmark_options)
    require(run.get("seed", 0) >= 0, f"seed {run.get('seed')}: at least 0")
    loading, ways = run.get("loading", "auto"), typing.get_args(Loading)
    if loading not in ways:
        raise unknown("loading", loading, ways)
    check_engine(run.get("engine", "auto"), run.get("device", "cpu").partition(":")[0])
    views = chosen.get("augmentation_views")
    require(
        not views or streamed.get("augmentation") != "none",
        f"augmentation_views {views}: with augmentation none all views of an image are alike; leave it out, or add"
        " --augmentation",
    )
    require(
        streamed.get("task_labels", True) or not learner.constant("needs_task_labels", False),
        f"{learner.name} needs task labels, and --no-task-labels takes them away: leave one of them out",
    )
    return RunConfig(
        benchmark=stream.name, strategy=learner.name, benchmark_options=streamed, strategy_options=chosen, **run
    )


def _entries_at_depth_zero(strategy: str) -> list[Entry]:
    return [entry for entry in entries("strategy").values() if entry.constant("depth_zero_of") == strategy]


def checked_options(entry: Entry, values: dict[str, Any]) -> dict[str, Any]:
    """All options of an entry with `values` in place of defaults; raises `UserError` where one isn't right."""
    from clhyper.options import build

    options_class = entry.options()
    options = build(options_class, entry.name, typed_options(entry, values))
    return {item.name: getattr(options, item.name) for item in dataclasses.fields(options)}


def typed_options(entry: Entry, values: dict[str, Any]) -> dict[str, Any]:
    """`values` in the types that the entry's options have; raises `UserError` for an unknown name or another type."""
    options: Any = entry.options()
    hints = _hints(options)
    for name in values:
        if name not in hints:
            raise unknown(f"option of {entry.name}", name, hints)
    return {name: _typed(name, value, hints[name]) for name, value in values.items()}


def _typed(name: str, value: Any, hint: Any) -> Any:
    """A value of the type that the option has, from TOML's types; or `UserError`."""
    from pydantic import ValidationError

    try:
        return _adapter(hint).validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise UserError(f"{name} {value!r}: {problem[0].lower()}{problem[1:]}") from None


@functools.cache
def _hints(options: Any) -> dict[str, Any]:
    return typing.get_type_hints(options)


@functools.cache
def _adapter(hint: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(hint)


def read_toml(path: Path) -> dict[str, Any]:
    """A configuration file as a dict of its tables; raises `UserError` if it can't be read or is of another schema."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"config {path}: {(error.strerror or 'unreadable').lower()}; give a TOML file") from None
    except ValueError as error:
        raise UserError(f"config {path}: not TOML ({error})") from None
    return parse_toml(text, path)


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """The text of a configuration file as `read_toml` returns it; raises `UserError`, which names `path`."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not TOML, numbers or nesting beyond what Python reads
        raise UserError(f"config {path}: not TOML ({error})") from None
    schema = content.pop("schema", SCHEMA)
    require(schema == SCHEMA, f"config {path}: schema {schema!r}, this version of clhyper reads schema {SCHEMA}")
    known = {item.name for item in dataclasses.fields(RunConfig)}
    for name, value in content.items():
        require(name in known, f"config {path}: unknown entry {name!r}, known are {', '.join(sorted(known))}")
        is_table = name.endswith("_options")
        require(
            isinstance(value, dict) == is_table, f"config {path}: {name} must be {'a table' if is_table else 'a value'}"
        )
        if not is_table:
            wanted = {"seed": int, "threads": int}.get(name, str)
            require(type(value) is wanted, f"config {path}: {name} {value!r} must be {_TYPE_NAMES[wanted]}")
            require(name != "threads" or value >= 1, f"config {path}: threads {value}: at least 1")
    return content


def config_from_dict(content: dict[str, Any]) -> RunConfig:
    """The configuration that `as_dict` wrote; raises `UserError` as `make_config` does, or for a missing name."""
    rest = {name: value for name, value in content.items() if name != "schema"}
    for name in ("benchmark", "strategy"):
        require(name in rest, f"the configuration names no {name}; `clhyper list` has the names")
    return make_config(
        rest.pop("benchmark"),
        rest.pop("strategy"),
        rest.pop("benchmark_options", {}),
        rest.pop("strategy_options", {}),
        **rest,
    )


def options_class(kind: Kind, name: str) -> type[Any] | None:
    """The options of an entry, or None if there is no such entry any more."""
    known = entries(kind).get(name)
    return known.options() if known else None


def other_than_default(known: type[Any] | None, options: dict[str, Any]) -> dict[str, Any]:
    """Those of `options`, as plain values, that aren't at the default of the options class `known`.

    Its classmethod `defaults_with`, if it has one, says which defaults follow from other options.
    """
    defaults = _plain((option_defaults(known) if known else {}) | following(known, options))
    return {option: value for option, value in _plain(options).items() if defaults.get(option) != value}


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        return list(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in sorted(options.items()) if value is not None}


def following(known: type[Any] | None, options: dict[str, Any]) -> dict[str, Any]:
    """Defaults of the options class `known` that follow from other `options`, which its `defaults_with` says."""
    says: Any = getattr(known, "defaults_with", None)
    return says(options) if says else {}
