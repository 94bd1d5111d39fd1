"""Typed flags made from options classes, and parsed by tyro."""

import contextlib
import dataclasses
import io
import re
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from clhyper.errors import UserError
from clhyper.registry import Entry, field_help


@dataclass(frozen=True)
class Flag:
    """One flag: `name` as in the options class (`freeze_depth` for --freeze-depth), type, default and help."""

    name: str
    type: Any
    default: Any
    help: str


def option_flags(entry: Entry, values: dict[str, Any] | None = None, unset: bool = False) -> list[Flag]:
    """A flag for every option of a stream or strategy.

    Args:
        values: Defaults that take the place of the options' own.
        unset: Make None the default, for strategies each of which has a default of its own.
    """
    options = entry.options()
    hints, texts = typing.get_type_hints(options), field_help(options)
    flags = []
    for item in dataclasses.fields(options):
        default = None if unset else item.default
        default = (values or {}).get(item.name, default)
        hint = hints[item.name] | None if unset else hints[item.name]
        flags.append(Flag(item.name, hint, tuple(default) if isinstance(default, list) else default, texts[item.name]))
    return flags


def asks_for_help(words: Sequence[str], flags: Sequence[str]) -> bool:
    """Whether a command is asked what it does, before it is told of anything."""
    return not words and bool(flags) and flags[0] in ("--help", "-h")


def choice_of(names: Iterable[str]) -> Any:
    """The type of a flag that takes one of these names, with dashes for underscores."""
    return Literal[tuple(name.replace("_", "-") for name in names)]


def split_positionals(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The leading words of a command, and everything from the first flag on."""
    first = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    return arguments[:first], arguments[first:]


def parse(usage: str, description: str, flags: list[Flag], arguments: list[str]) -> dict[str, Any]:
    """Values of the flags by name; prints help and exits on --help.

    Raises:
        UserError: an unknown flag, with the nearest right one, or a value of another type.
    """
    import tyro

    names = [flag.name for flag in flags]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"the stream and the strategy both have an option {twice[0]!r}: one of them must rename it")
    fields = [
        (flag.name, Annotated[flag.type, tyro.conf.arg(help=flag.help)], dataclasses.field(default=flag.default))
        for flag in flags
    ]
    parser = dataclasses.make_dataclass("Options", fields, frozen=True, kw_only=True)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            parsed: Any = tyro.cli(parser, args=arguments, prog=usage, description=description)
    except SystemExit as end:
        if end.code:
            raise UserError(_one_sentence(complaint.getvalue())) from None
        raise
    return {flag.name: getattr(parsed, flag.name) for flag in flags}


def _one_sentence(box: str) -> str:
    """What tyro draws as a box of several lines, as one sentence."""
    lines = [line.strip("│╭╮╰╯ ").strip() for line in box.splitlines()]
    sections: list[list[str]] = [[]]
    for line in lines[1:]:
        if line and set(line) <= {"─", "-"}:  # a terminal without UTF-8 gets dashes
            sections.append([])
        else:
            sections[-1].append(line)
    sections = [section for section in sections if any(section)]
    sentence = " ".join(sections[0]).strip().rstrip(".")
    sentence = re.sub(r"Expected one of \((.*?),?\)$", lambda m: "choices: " + m[1].replace("'", ""), sentence)
    sentence = re.sub(
        r"^[Ee]rror parsing (\S+): no type matching (.*?) could be instantiated from \[(.*?)\]\..*",
        lambda m: f"{m[1]} {m[3]}: must be {m[2].strip('{}').replace('}|', ' or ').replace('|{', ' or ')}",
        sentence,
    )
    nearest = re.search(r"Perhaps you meant:?.*?(--[a-z][\w-]*)", " ".join(" ".join(s) for s in sections[1:]))
    if nearest:
        sentence += f"; did you mean {nearest[1]}?"
    return sentence[:1].lower() + sentence[1:]
