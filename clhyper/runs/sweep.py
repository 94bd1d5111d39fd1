"""A grid of runs: streams and strategies by depths and seeds, each run once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clhyper.errors import UserError, unknown
from clhyper.registry import find, option_defaults
from clhyper.runs.config import RunConfig, make_config

_MOST_NUMBERS = 10_000
_MOST_DIGITS = 18


def plan(
    benchmark: str,
    strategies: Sequence[str],
    *,
    depths: Sequence[int] | None = None,
    seeds: Sequence[int] = (0,),
    benchmark_options: Mapping[str, Any] | None = None,
    strategy_options: Mapping[str, Any] | None = None,
    device: str = "cpu",
    threads: int = 1,
    loading: str = "auto",
    engine: str = "auto",
) -> list[RunConfig]:
    """The runs of a sweep, in the order in which they are to be started; none occurs twice.

    Strategies without a freeze depth run once a seed; so does what is one strategy's depth 0 and another's only form.
    A strategy option goes to those strategies that have it.

    Raises:
        UserError: an unknown name, an option that no strategy has, or a bad value.
    """
    options = dict(strategy_options or {})
    fields = {name: option_defaults(find("strategy", name).options()) for name in strategies}
    everything: set[str] = set().union(*fields.values()) if fields else set()
    for name in options:
        if name not in everything:
            raise unknown("strategy option", name, everything)
    if depths is not None and not any("freeze_depth" in known for known in fields.values()):
        raise UserError(f"freeze_depth: none of {', '.join(strategies)} has a freeze depth; leave it out")
    found: dict[str, RunConfig] = {}
    for seed in seeds:
        for name in strategies:
            own = {key: value for key, value in options.items() if key in fields[name]}
            for depth in _depths(depths, "freeze_depth" in fields[name]):
                config = make_config(
                    benchmark,
                    name,
                    dict(benchmark_options or {}),
                    own if depth is None else {**own, "freeze_depth": depth},
                    seed=seed,
                    device=device,
                    threads=threads,
                    loading=loading,
                    engine=engine,
                )
                found.setdefault(config.name, config)
    return list(found.values())


def _depths(depths: Sequence[int] | None, has_depth: bool) -> Iterable[int | None]:
    return depths if depths is not None and has_depth else (None,)


def parse_numbers(text: str, what: str) -> list[int]:
    """Whole numbers in the grammar of depths: `0-4`, `0,2,4`, or both (`0-2,4`). Raises `UserError` otherwise."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if max(len(first), len(last)) > _MOST_DIGITS:
            raise UserError(f"{what}: a number of {max(len(first), len(last))} characters, at most {_MOST_DIGITS}")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise UserError(f"{what} {text!r}: give whole numbers such as 0-4 or 0,2,4")
        if int(last or first) - int(first) >= _MOST_NUMBERS:
            raise UserError(f"{what} {text!r}: at most {_MOST_NUMBERS} numbers")
        numbers.extend(range(int(first), int(last or first) + 1))
    return list(dict.fromkeys(numbers))


def parse_seeds(text: str) -> list[int]:
    """Seeds in the sweep's grammar: `5` is 0 to 4; `1,7,9` are these. Raises `UserError` otherwise."""
    if text.strip().isdecimal() and len(text) <= _MOST_DIGITS:
        if int(text) < 1:
            raise UserError(f"seeds {text}: at least 1 seed")
        if int(text) > _MOST_NUMBERS:
            raise UserError(f"seeds {text}: at most {_MOST_NUMBERS} seeds")
        return list(range(int(text)))
    return parse_numbers(text, "seeds")
