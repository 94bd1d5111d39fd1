"""The reference of a comparison, judged by the runs that are planned: `STRATEGY[@DEPTH|@same][,NAME=VALUE...]`."""

import re
from collections.abc import Iterable

from clhyper.errors import UserError, require, unknown
from clhyper.runs.config import RunConfig
from clhyper.runs.fronts import name_and_hash
from clhyper.runs.results import CHOICES, SETTING

SAME_DEPTH = "@same"
"""In place of a reference's depth: each row is compared with the reference at the row's own."""
_FRONT = re.compile("first experience$|pretrained on ")
"""The front of a run as its page says it, where it needn't look into a file for that."""


def check_reference(where: str, reference: str, configs: Iterable[RunConfig]) -> None:
    """Raises `UserError`, which ends with `where`, if no configuration among `configs` is what `reference` names.

    What only a run's result knows, such as its engine, is left to the page.
    """
    words, *conditions = re.split(r",(?=\w+=)", reference)
    strategy, at, depth = words.removesuffix(SAME_DEPTH).partition("@")
    by_depth = words.endswith(SAME_DEPTH)
    here = f"reference in {where}"
    if at and not (depth.isdecimal() and len(depth) < 5):
        raise UserError(f"{here}: {reference!r}: after @ comes a freeze depth, such as latent-replay@2, or same")
    known = list(configs)
    named = [one for one in known if strategy in ((one.family, one.strategy) if at or by_depth else (one.strategy,))]
    if not named:
        raise unknown(here, strategy, {name for one in known for name in (one.family, one.strategy)})
    depths = sorted({one.freeze_depth for one in named if one.freeze_depth is not None})
    require(
        (not at or int(depth) in depths) and (not by_depth or bool(depths)),
        f"{here}: {words} is none of its runs; {strategy} has {f'depths {_listed(depths)}' if depths else 'no depth'}",
    )
    fits = [one for one in named if not at or one.freeze_depth == int(depth)]
    for condition in conditions:
        name, _, value = condition.partition("=")
        values = {_text(options[name]) for one in fits if name in (options := _options(one))}
        if not values and name not in (*CHOICES, *SETTING):
            raise unknown(f"option of {here}", name, {option for one in fits for option in _options(one)})
        of_files = name == "front" and any(not _FRONT.match(text) for text in values)  # the page says what is in them
        require(
            value in values or of_files or not (values or name == "front"),
            f"{here}: no run of {words} has {condition}; {name} is {' or '.join(sorted(values)) or 'of no run'} there",
        )
        fits = [one for one in fits if _text(_options(one).get(name)) == value] or fits


def _options(config: RunConfig) -> dict[str, object]:
    """A run's options, `front` as the page says it: in words, and only where there is one."""
    options = config.benchmark_options | config.strategy_options
    front = options.pop("front", None)
    if front is None:
        return options | ({"front": "first experience"} if config.freeze_depth else {})
    trained = name_and_hash(front)
    return options | {"front": f"pretrained on {trained[0]}" if trained else front}


def _listed(depths: list[int]) -> str:
    return ", ".join(map(str, depths))


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
