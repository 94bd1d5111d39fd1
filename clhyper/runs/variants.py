"""Options in words: those in which runs differ, and those of a stream."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from clhyper.options import StreamOptions, owners_of
from clhyper.runs.config import RunConfig, following, options_class, other_than_default

if TYPE_CHECKING:
    import pandas as pd

_ORDER = ("order_seed", "class_order")
_NO_STREAM = (*_ORDER, "backbone", "experiences", "augmentation", "data")
"""Options of a stream that have a column of their own, or don't change what is asked of a strategy."""


class Learner(NamedTuple):
    """Options of training, as plain values, those as they follow from others, and those without effect."""

    options: dict[str, Any]
    followed: list[str]
    unused: list[str]


def learner_of(config: RunConfig) -> Learner:
    """What two runs of one strategy and depth may differ in: its strategy's options, augmentation, data and device."""
    stream = {name: value for name, value in config.benchmark_options.items() if name in ("augmentation", "data")}
    options = stream | config.strategy_options | {"device": printable(config.device.partition(":")[0])}
    return Learner(plain(options), sorted(_followed(config)), sorted(_without_effect(config)))


def stream_words(config: RunConfig) -> tuple[str, str]:
    """Of the stream and of its order of classes, the options that aren't the stream's defaults, in words."""
    known = options_class("benchmark", config.benchmark) or StreamOptions
    chosen = {name: config.benchmark_options[name] for name in other_than_default(known, config.benchmark_options)}
    return (
        words({name: value for name, value in chosen.items() if name not in _NO_STREAM}),
        words({name: value for name, value in chosen.items() if name in _ORDER}),
    )


def differences(groups: Iterable[Any], learners: Sequence[Learner]) -> list[str]:
    """For each run, the options in which runs of its group differ, such as `beta=0.01`.

    Those are left out that are as they follow from others in all of the group's runs, and a run's own without effect.
    """
    first: dict[Any, dict[str, Any]] = {}
    different: dict[Any, set[str]] = {}
    decided: dict[Any, set[str]] = {}
    groups = list(groups)
    for group, (values, followed, _) in zip(groups, learners, strict=True):
        known = first.setdefault(group, values)
        names = {name for name in {*known, *values} if known.get(name) != values.get(name)}
        different.setdefault(group, set()).update(names)
        decided.setdefault(group, set()).update({*values}.difference(followed))
    return [
        words({name: values[name] for name in (different[group] & decided[group]).difference(unused) if name in values})
        for group, (values, _, unused) in zip(groups, learners, strict=True)
    ]


def words(options: dict[str, Any]) -> str:
    """Options in words, such as `beta=0.01 norm=group`."""
    texts = {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else value for name, value in options.items()
    }
    return printable(" ".join(f"{name}={texts[name]}" for name in sorted(texts)))


def without_option(texts: "pd.Series", option: str) -> list[str]:
    """Words such as `beta=0.1 norm=group` without those of one option."""
    return [
        " ".join(word for word in re.split(r" (?=\w+=)", text) if word.partition("=")[0] != option) for text in texts
    ]


def printable(value: Any) -> str:
    """Text that any terminal and file takes: what can't be printed, such as control characters, becomes a space."""
    text = str(value)
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """Options with paths as text and tuples as lists."""
    return {
        name: list(value) if isinstance(value, tuple) else value if _is_plain(value) else str(value)
        for name, value in options.items()
    }


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | list | dict)


def _followed(config: RunConfig) -> set[str]:
    """The options of the run's strategy that are as they follow from others."""
    known = following(options_class("strategy", config.strategy), config.strategy_options)
    return {name for name, value in known.items() if config.strategy_options.get(name) == value}


def _without_effect(config: RunConfig) -> set[str]:
    """The options of the run's strategy that belong to other choices, such as another generator, or are None."""
    chosen = config.strategy_options
    known = options_class("strategy", config.strategy)
    found = {name for name, value in chosen.items() if value is None}
    for option in dataclasses.fields(known) if known else []:
        owners = owners_of(option)
        if any(choice in chosen and chosen[choice] not in values for choice, values in owners.items()):
            found.add(option.name)
    return found
