"""Configurations: chosen by a text such as `latent-replay@2,beta=0.1`, and named so that they can be told apart."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from clhyper.errors import UserError, require, unknown
from clhyper.runs.columns import CHOICES, SETTING

if TYPE_CHECKING:
    import pandas as pd

IDENTITY = (*SETTING, "strategy", "freeze_depth", *CHOICES)
"""Columns in which repetitions of one configuration don't differ."""


def configurations(runs: "pd.DataFrame", text: str) -> list["pd.DataFrame"]:
    """Complete runs that fit `STRATEGY[@DEPTH][,NAME=VALUE...]`, a frame a configuration."""
    words, *conditions = re.split(r",(?=\w+=)", text)
    strategy, at, depth = words.partition("@")
    if at and not (depth.isdecimal() and len(depth) < 5):
        raise UserError(f"{text}: after @ comes a freeze depth, such as latent-replay@2")
    named = runs[(runs["strategy"] == strategy) | (runs["family"] == strategy)]
    if not len(named):
        raise unknown("strategy", strategy, {str(name) for name in runs["strategy"]})
    fits = named[(named["freeze_depth"] == int(depth)).fillna(False)] if at else named[named["strategy"] == strategy]
    require(len(fits) > 0, f"no run of {words} in these results; there are {_depths(named)}")
    chosen = fits[fits["status"] == "complete"]
    require(len(chosen) > 0, f"{words} has no complete run yet ({len(fits)} without a result)")
    for condition in conditions:
        kept = chosen[[_holds(row, condition) for _, row in chosen.iterrows()]]
        require(len(kept) > 0, f"no complete run of {words} has {condition}; there are {listed(split(chosen))}")
        chosen = kept
    return split(chosen)


def split(rows: "pd.DataFrame") -> list["pd.DataFrame"]:
    """A frame a configuration, in order."""
    return [group for _, group in rows.groupby(list(IDENTITY), dropna=False, sort=True)]


def _holds(row: "pd.Series", condition: str) -> bool:
    name, _, value = condition.partition("=")
    column = name.replace("-", "_")
    texts = [f" {row[one]} " for one in ("variant", "stream", "order")]
    is_column = column in row and str(plain_cell(row[column])) == value
    return is_column or any(f" {column}={value} " in one for one in texts)


def setting_of(rows: "pd.DataFrame") -> tuple[Any, ...]:
    """The setting of the runs of one configuration."""
    return tuple(plain_cell(rows.iloc[0][name]) for name in SETTING)


def title(row: "pd.Series") -> str:
    """Strategy and depth: `latent-replay k=2`."""
    depth = plain_cell(row["freeze_depth"])
    return f"{row['strategy']}{'' if depth is None else f' k={depth}'}"


def titles(*rows: "pd.Series") -> list[str]:
    """What was compared: strategy and depth, with what tells the two apart where these don't."""
    titles = [title(row) for row in rows]
    if len(set(titles)) == len(titles):
        return titles
    return [f"{title} ({', '.join(words)})" for title, words in zip(titles, _told_apart(rows), strict=True)]


def _selector(row: "pd.Series") -> str:
    return title(row).replace(" k=", "@")


def _depths(rows: "pd.DataFrame") -> str:
    return ", ".join(dict.fromkeys(_selector(row) for _, row in rows.sort_values("freeze_depth").iterrows()))


def listed(groups: Iterable["pd.DataFrame"]) -> str:
    """Configurations as one may name them: with what tells them apart."""
    rows = [group.iloc[0] for group in groups]
    return "; ".join(",".join([_selector(row), *words]) for row, words in zip(rows, _told_apart(rows), strict=True))


def _told_apart(rows: Sequence["pd.Series"]) -> list[list[str]]:
    """For each row the conditions, such as `beta=0.1`, that hold for it and not for all rows."""
    texts = []
    for row in rows:
        words = [word for name in ("stream", "variant") for word in re.split(r" (?=\w+=)", row[name]) if word]
        named = {word.partition("=")[0] for word in words} | {"strategy", "freeze_depth", "stream", "variant"}
        texts.append(words + [f"{name}={plain_cell(row[name])}" for name in IDENTITY if name not in named])
    shared = set(texts[0]).intersection(*texts[1:])
    return [[word for word in words if word not in shared] for words in texts]


def plain_cell(value: Any) -> Any:
    """A cell as Python has it; None where there is nothing."""
    import pandas as pd

    if pd.isna(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
