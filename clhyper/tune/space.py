"""What a search draws: ranges and choices of a strategy's options, each only where it has effect."""

import dataclasses
import itertools
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clhyper.errors import UserError, require, unknown
from clhyper.options import owners_of
from clhyper.registry import Entry, option_defaults
from clhyper.runs.config import typed_options

__all__ = ["Choices", "Dimension", "Range", "Space", "parse_space"]

_GRAMMAR = "name=LOW..HIGH, with :log or :int after it, or name=A,B,C"
_MOST_SETTINGS = 1000
"""settings that a finite space is counted and listed up to"""
_DIGITS = 4
"""significant digits of a number that is drawn"""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; `whole` ones only, or all; `log`: each power of ten as likely."""

    name: str
    low: float
    high: float
    whole: bool
    log: bool

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.low, self.high

    @property
    def values(self) -> Sequence[Any] | None:
        """All values, or None where they can't be counted."""
        return range(int(self.low), int(self.high) + 1) if self.whole else None

    def drawn(self, number: float) -> float:
        """A number as runs are given it: whole, or rounded to four significant digits within the range."""
        return int(number) if self.whole else min(max(float(f"{number:.{_DIGITS}g}"), self.low), self.high)

    def __str__(self) -> str:
        modes = (":int" if self.whole else "") + (":log" if self.log else "")
        return f"{self.name}={_exact(self.low)}..{_exact(self.high)}{modes}"


@dataclass(frozen=True)
class Choices:
    """Values without order, and how they were written."""

    name: str
    texts: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values

    def __str__(self) -> str:
        return f"{self.name}={','.join(self.texts)}"


Dimension = Range | Choices


@dataclass(frozen=True)
class Space:
    """What is drawn, each option after those that decide whether it has effect, and what is `given` and fixed."""

    learner: Entry
    dimensions: tuple[Dimension, ...]
    given: Mapping[str, Any]

    def draw(self, choose: Callable[[Dimension], Any]) -> dict[str, Any]:
        """One value of each option that has effect beside those before it, in the order of the dimensions."""
        fields = {field.name: field for field in dataclasses.fields(self.learner.options())}
        defaults = option_defaults(self.learner.options())
        drawn: dict[str, Any] = {}
        for dimension in self.dimensions:
            owners = owners_of(fields[dimension.name]).items()
            chosen = {**defaults, **self.given, **drawn}
            if all(chosen.get(owner) in values for owner, values in owners):
                drawn[dimension.name] = choose(dimension)
        return drawn

    def settings(self, values: Callable[[Dimension], Sequence[Any]]) -> Iterator[dict[str, Any]]:
        """Every different setting of those `values` of each dimension."""
        seen = set()
        others_first = self.dimensions[::-1]  # so that what decides on others varies soonest
        for combination in itertools.product(*(values(dimension) for dimension in others_first)):
            drawn = self.draw(dict(zip(others_first, combination, strict=True)).__getitem__)
            if (key := str(sorted(drawn.items()))) not in seen:
                seen.add(key)
                yield drawn

    def all_settings(self) -> list[dict[str, Any]] | None:
        """Every setting that there is, or None if they are more than a thousand."""
        sizes = [len(dimension.values) if dimension.values is not None else math.inf for dimension in self.dimensions]
        if math.prod(sizes) > _MOST_SETTINGS:
            return None
        return list(self.settings(lambda dimension: dimension.values or ()))

    def check(self, configure: Callable[[dict[str, Any]], object]) -> None:
        """Raises the `UserError` of `configure` for an end of a range, or a choice, that no setting can have.

        configure: Given a setting; raises `UserError` where it can't be run.
        """
        for dimension in self.dimensions:
            for value in dimension.ends:
                self._check_value(dimension, value, configure)

    def _check_value(self, dimension: Dimension, value: Any, configure: Callable[[dict[str, Any]], object]) -> None:
        problem = UserError(f"{dimension.name}: has no effect beside what is given and searched; leave it out")
        tried = self.settings(lambda other: [value] if other == dimension else other.ends)
        for setting in itertools.islice((s for s in tried if dimension.name in s), _MOST_SETTINGS):
            try:
                configure(setting)
            except UserError as error:
                problem = error
            else:
                return
        raise UserError(f"search {dimension}: {problem}")


def parse_space(words: Sequence[str], learner: Entry, given: Mapping[str, Any]) -> Space:
    """The space that words such as `learning_rate=1e-4..1e-1:log` and `norm=batch,group` describe.

    given: Options of the strategy that are fixed.

    Raises:
        UserError: a word that isn't of this form, an unknown option, one that occurs twice or is fixed, a value that
            its type refuses, or an empty range.
    """
    require(bool(words), f"search: give at least one option to search, as {_GRAMMAR}")
    found: dict[str, Dimension] = {}
    hints = typing.get_type_hints(learner.options())
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip().replace("-", "_")
        require(bool(equals and text.strip()), f"search {word!r}: give {_GRAMMAR}")
        if name not in hints:
            raise unknown(f"option of {learner.name}", name, hints)
        require(name not in found, f"search {name}: occurs twice, each option may occur once")
        require(
            name not in given, f"search {name}: is both searched and fixed with {_flag(name)}; leave one of them out"
        )
        found[name] = _dimension(learner, name, text.strip(), hints[name])
    fields = {field.name: field for field in dataclasses.fields(learner.options())}
    ordered = sorted(found.values(), key=lambda dimension: _rank(dimension.name, fields, set(found)))
    return Space(learner, tuple(ordered), dict(given))


def _rank(name: str, fields: Mapping[str, Any], searched: set[str]) -> int:
    """How many options must be drawn before this one, one deciding on the other."""
    owners = [owner for owner in owners_of(fields[name]) if owner in searched and owner != name]
    return 1 + max(_rank(owner, fields, searched) for owner in owners) if owners else 0


def _dimension(learner: Entry, name: str, text: str, hint: Any) -> Dimension:
    kinds = _kinds(hint)
    if not kinds & {int, float}:
        require(
            not any(typing.get_origin(kind) is tuple for kind in kinds),
            f"search {name}: holds several numbers, which a search doesn't draw; {_flag(name)} fixes it",
        )
        require(".." not in text or Path in kinds, f"search {name}={text}: has no order; name values, as {name}=A,B")
        return _choices(learner, name, text, hint)
    return _range(learner, name, text, float not in kinds) if ".." in text else _choices(learner, name, text, hint)


def _range(learner: Entry, name: str, text: str, whole: bool) -> Range:
    ends, *modes = text.split(":")
    for mode in modes:
        require(
            mode in ("log", "int"), f"search {name}={text}: after a range comes :log or :int, and {mode!r} is neither"
        )
    require("int" not in modes or whole, f"search {name}={text}: {name} isn't a whole number; leave :int out")
    low, high = (_number(learner, name, end.strip(), text) for end in _two(ends, name, text))
    fixed = f"{_flag(name)} {_exact(low)} fixes it"
    require(low != high, f"search {name}={text}: both ends are {_exact(low)}, which is no search; {fixed}")
    require(low < high, f"search {name}={text}: begins above its end; {name}={_exact(high)}..{_exact(low)} is right")
    require("log" not in modes or low > 0, f"search {name}={text}: a logarithmic range begins above 0")
    return Range(name, low, high, whole, "log" in modes)


def _two(ends: str, name: str, text: str) -> tuple[str, str]:
    low, dots, high = ends.partition("..")
    require(bool(low.strip() and dots and high.strip()), f"search {name}={text}: a range has two ends, as {name}=1..10")
    return low, high


def _number(learner: Entry, name: str, end: str, text: str) -> float:
    try:
        number = typed_options(learner, {name: end})[name]
    except UserError as error:
        raise UserError(f"search {name}={text}: {error}") from None
    require(
        isinstance(number, int | float) and math.isfinite(number),
        f"search {name}={text}: {end} is no end of a range, a finite number is",
    )
    return number


def _choices(learner: Entry, name: str, text: str, hint: Any) -> Choices:
    texts = tuple(part.strip() for part in text.split(","))
    require(all(texts), f"search {name}={text}: a value is missing between commas")
    values = []
    for part in texts:
        optional = part.lower() == "none" and type(None) in typing.get_args(hint)
        try:
            value = None if optional else typed_options(learner, {name: part})[name]
        except UserError as error:
            raise UserError(f"search {name}={text}: {error}") from None
        require(value not in values, f"search {name}={text}: {part} occurs twice, each value may occur once")
        values.append(value)
    require(len(texts) > 1, f"search {name}={text}: one value is no search; {_flag(name)} {text} fixes it")
    return Choices(name, texts, tuple(values))


def _exact(number: float) -> str:
    """All digits, since searches are told apart by them; short where that loses none."""
    short = f"{number:g}"
    return short if isinstance(number, float) and float(short) == number else repr(number)


def _kinds(hint: Any) -> set[Any]:
    """The types that an option takes, None and what generics hold apart."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return {kind for kind in (typing.get_args(hint) if union else (hint,)) if kind is not type(None)}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
