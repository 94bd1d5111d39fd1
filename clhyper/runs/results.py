"""Results on disk as data frames."""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clhyper.errors import UserError, require
from clhyper.options import StreamOptions, TrainingOptions, owners_of
from clhyper.runs.config import (
    RunConfig,
    config_from_dict,
    following,
    options_class,
    other_than_default,
    read_toml,
)
from clhyper.runs.files import read_json, read_object
from clhyper.runs.folder import CHECKPOINT, CONFIG, ENVIRONMENT, FAILURE, MATRIX, RESULT, is_complete

if TYPE_CHECKING:
    import pandas as pd

INFERRED = tuple(
    f"{measure}_by_{method}"
    for method in ("entropy", "features")
    for measure in ("class_incremental_accuracy", "task_inference_accuracy")
)
"""Accuracies where the task isn't told."""
METRICS = ("acc", "forgetting", "bwt", "fwt", "learning_accuracy", *INFERRED)
COSTS = (
    "train_macs",
    "front_macs",
    "generation_macs",
    "back_macs",
    "drift_macs",
    "other_macs",
    "train_seconds",
    "evaluation_seconds",
    "loading_seconds",
    "compilation_seconds",
    "train_joules",
    "peak_device_bytes",
    "peak_host_bytes",
    "trainable_parameters",
    "generated_parameters",
    "frozen_parameters",
    "bytes_kept",
    "generation_ms",
    "batch_ms",
    "bytes_per_task",
)

SETTING = ("benchmark", "backbone", "experiences", "evaluated_on", "stream")
"""What must be equal before two accuracies may be compared."""
CHOICES = ("variant", "norm", "front_norm", "front", "epochs", "device", "engine")
"""What may differ between two runs of one strategy and freeze depth; never averaged over."""
REPETITION = ("seed", "order")
"""What repetitions of one configuration differ in."""
TRAINING = (*(field.name for field in dataclasses.fields(TrainingOptions)), "augmentation")
"""Options of training that all strategies have."""

_ORDER = ("order_seed", "class_order")
_NO_STREAM = (*_ORDER, "backbone", "experiences", "augmentation", "data")
"""Options of a stream that have a column of their own, or don't change what is asked of a strategy."""

_TYPES = {
    **dict.fromkeys(("norm", "front_norm", "backbone"), str),
    **dict.fromkeys(("freeze_depth", "epochs", "experiences", "order_seed"), int),
}
_MOST_DEPTH = 1000
"""No network has more stages; a depth beyond it is a damaged file's."""


def load(results: Path | str) -> "pd.DataFrame":
    """One row a run under `results`; folders and files that are none of ours are passed over.

    `status`: complete, failed (and `reason`), or interrupted. Accuracies are fractions of 1; `*_seconds`, `*_ms` and
    `*_bytes` are in these units; what could not be measured is NaN. `variant` names the options of training in
    which runs of the same strategy and depth differ, none that belong to another generator than the run's and none that
    aren't given and follow from nothing; `stream` and `order` those of the stream and of its order of classes that
    aren't its defaults. `similarity`: of the stream's experiences, mean over pairs, 0 to 1. `engine`: what executed its
    steps, several joined by commas. `data` is the data set's fingerprint, `machine` the processor or GPU that trained.
    `frame.attrs["unread"]`: why, by folder, of those that look like runs and can't be read in full.

    Raises:
        UserError: no such folder, or no run in it.
    """
    import pandas as pd

    runs, unread = _runs(Path(results))
    if not runs:
        found = f" that can be read ({unread_note(unread)})" if unread else ""
        raise UserError(
            f"results {results}: no runs in this folder{found}; `clhyper run` and `clhyper sweep` write results"
        )
    rows = []
    for folder, config in runs:
        row, faults = _row(folder, config)
        rows.append(row)
        if faults:
            unread[folder.name] = ", ".join(faults)
    configs = [config for _, config in runs]
    depths = [(row["benchmark"], row["strategy"], row["freeze_depth"]) for row in rows]
    device = [{"device": row["device"]} for row in rows]
    learners = [
        {k: v for k, v in c.benchmark_options.items() if k in ("augmentation", "data")} | c.strategy_options
        for c in configs
    ]
    streams = [_chosen(config) for config in configs]
    frame = pd.DataFrame(rows)
    frame["variant"] = _differences(
        depths,
        [a | b for a, b in zip(learners, device, strict=True)],
        [_followed(config) for config in configs],
        [_without_effect(config) for config in configs],
    )
    frame["stream"] = [_words({k: v for k, v in stream.items() if k not in _NO_STREAM}) for stream in streams]
    frame["order"] = [_words({k: v for k, v in stream.items() if k in _ORDER}) for stream in streams]
    frame["freeze_depth"] = frame["freeze_depth"].astype("Int64")
    frame = frame.astype(dict.fromkeys((*METRICS, *COSTS, "similarity"), float))
    frame.attrs["unread"] = unread
    return frame


def load_matrix(results: Path | str) -> "pd.DataFrame":
    """The accuracy matrices, one row a cell: `folder`, `after` (training experience), `on` (test experience), both
    from 0, and `accuracy`, a fraction or NaN. Raises `UserError` if there is no such folder."""
    import pandas as pd

    cells = [
        {"folder": _printable(str(folder)), "after": after, "on": on, "accuracy": value}
        for folder, _ in _runs(Path(results))[0]
        for after, row in enumerate(_matrix(folder))
        for on, value in enumerate(row)
    ]
    frame = pd.DataFrame(cells, columns=["folder", "after", "on", "accuracy"])
    return frame.astype({"accuracy": float})


def unread_note(unread: dict[str, str], most: int = 3) -> str:
    """`load`'s `unread` in a sentence: how many, and of the first `most` which and why."""
    count = f"{len(unread)} folder{'s' if len(unread) > 1 else ''} could not be read in full"
    named = [f"{name} ({why})" for name, why in list(unread.items())[:most]]
    more = [f"{len(unread) - most} more"] if len(unread) > most else []
    return f"{count}: {', '.join(named + more)}"


def _runs(results: Path) -> tuple[list[tuple[Path, RunConfig]], dict[str, str]]:
    """The folders of runs in `results`, in order of name, and why others that look like runs can't be read."""
    try:
        if not results.is_dir():
            what = "not a folder" if results.exists() else "no such folder"
            raise UserError(f"results {results}: {what}; `clhyper run` and `clhyper sweep` write results")
        folders = sorted(results.iterdir())
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise UserError(f"results {str(results)[:80]}: {reason}; give a folder of runs") from None
    runs, unread = [], {}
    for folder in folders:
        try:
            config = _config(folder)
        except (UserError, OSError) as error:
            text = str(error) if isinstance(error, UserError) else (error.strerror or "unreadable").lower()
            unread[_printable(folder.name)] = _printable(text.removeprefix(f"config {folder / CONFIG}: "))
        else:
            runs += [(folder, config)] if config else []
    return runs, unread


def _config(folder: Path) -> RunConfig | None:
    """A run's configuration; as it stands if this version, or what is installed, no longer knows all of it.

    None where there is no run. Raises `UserError` if there seems to be one whose configuration says nothing.
    """
    if not (folder / CONFIG).is_file():
        require(not any((folder / name).is_file() for name in (RESULT, CHECKPOINT)), f"no {CONFIG}")
        return None
    content = read_toml(folder / CONFIG)
    require({"benchmark", "strategy"} <= set(content), "names no benchmark or no strategy")
    try:
        config = config_from_dict(content)
    except UserError:
        config = RunConfig(**content)
    for name, value in (config.benchmark_options | config.strategy_options).items():
        if name in _TYPES and value is not None:
            right = type(value) is _TYPES[name]
            if isinstance(value, int):
                right = right and 0 <= value <= (_MOST_DEPTH if name == "freeze_depth" else 2**62)
            require(right, f"{name} {str(value)[:40]!r}")
    return config


def _row(folder: Path, config: RunConfig) -> tuple[dict[str, Any], list[str]]:
    """The run's row, and which of its files or numbers were of no use."""
    result, failure, machine = (read_object(folder / name) for name in (RESULT, FAILURE, ENVIRONMENT))
    complete = is_complete(result)
    result = result if complete else {}
    status = "complete" if complete else "failed" if failure else "interrupted"
    reason = failure.get("reason") if not complete else None
    if status == "interrupted" and not (folder / CHECKPOINT).exists():
        reason = "no experience finished yet"
    sound = {RESULT: complete, FAILURE: bool(failure), MATRIX: not complete or bool(_matrix(folder))}
    faults = [f"{name} damaged" for name, good in sound.items() if not good and (folder / name).exists()]
    numbers: dict[str, float | None] = {}
    for part, names, most in (("metrics", METRICS, 1.0), ("cost", COSTS, 1e30)):
        values: Any = result.get(part)
        values = values if isinstance(values, dict) else {}
        for name in names:
            numbers[name] = _number(values.get(name), most)
            if numbers[name] is None and values.get(name) is not None:
                faults.append(f"{RESULT}: {name} {str(values[name])[:40]!r}")
    similarity = result.get("similarity")
    numbers["similarity"] = _number(similarity.get("mean"), 1.0) if isinstance(similarity, dict) else None
    options = config.benchmark_options | config.strategy_options
    runs_at_once = _number(result.get("runs_at_once"), 1e6)
    row: dict[str, Any] = {
        "status": status,
        "reason": reason,
        "folder": str(folder),
        "benchmark": config.benchmark,
        "strategy": config.strategy,
        "family": config.family,
        "freeze_depth": config.freeze_depth,
        "seed": config.seed,
        **{name: options.get(name) for name in TRAINING},
        "front": result.get("front") if result.get("front") != "none" else None,  # nothing is frozen
        "backbone": options.get("backbone"),
        "experiences": options.get("experiences"),
        "order_seed": options.get("order_seed"),
        "evaluated_on": "validation" if options.get("validation") else "test",
        "device": config.device.partition(":")[0],
        "threads": config.threads,
        "engine": result.get("engine", "eager") if complete else None,
        "data": result.get("data"),
        "machine": machine.get("processor" if machine.get("device") == "cpu" else "device"),
        "runs_at_once": runs_at_once if runs_at_once is None else int(runs_at_once),
    }
    row = {name: _printable(value) if isinstance(value, str | list | dict) else value for name, value in row.items()}
    return row | numbers, [_printable(fault) for fault in faults]


def _matrix(folder: Path) -> list[list[float | None]]:
    """The run's accuracy matrix, fractions or None; empty if it is absent, damaged or no such matrix."""
    rows = read_json(folder / MATRIX)
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        return []
    whole = all(value is None or _number(value, 1.0) is not None for row in rows for value in row)
    return rows if whole else []


def _number(value: Any, most: float) -> float | None:
    """A finite number of at most this size, or None."""
    return float(value) if type(value) in (int, float) and abs(value) <= most else None


def _printable(value: Any) -> str:
    """Text that any terminal and file takes: what can't be printed, such as control characters, becomes a space."""
    return "".join(character if character.isprintable() else " " for character in str(value))


def _chosen(config: RunConfig) -> dict[str, Any]:
    """The options of the run's stream that aren't the stream's defaults."""
    known = options_class("benchmark", config.benchmark) or StreamOptions
    return {name: config.benchmark_options[name] for name in other_than_default(known, config.benchmark_options)}


def _words(options: dict[str, Any]) -> str:
    """Options in words, such as `beta=0.01 norm=group`."""
    texts = {
        name: ",".join(map(str, value)) if isinstance(value, list | tuple) else value for name, value in options.items()
    }
    return _printable(" ".join(f"{name}={texts[name]}" for name in sorted(texts)))


def without_option(texts: "pd.Series", option: str) -> list[str]:
    """Words such as `beta=0.1 norm=group` without those of one option."""
    return [
        " ".join(word for word in re.split(r" (?=\w+=)", text) if word.partition("=")[0] != option) for text in texts
    ]


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


def _differences(
    groups: Iterable[Any], options: list[dict[str, Any]], followed: list[set[str]], without_effect: list[set[str]]
) -> list[str]:
    """For each run, the options in which runs of its group differ, such as `beta=0.01`.

    Those are left out that are as they follow from others in all of the group's runs, and a run's own without effect.
    """
    first: dict[Any, dict[str, Any]] = {}
    different: dict[Any, set[str]] = {}
    decided: dict[Any, set[str]] = {}
    groups = list(groups)
    for group, values, follows in zip(groups, options, followed, strict=True):
        known = first.setdefault(group, values)
        names = {name for name in {*known, *values} if known.get(name) != values.get(name)}
        different.setdefault(group, set()).update(names)
        decided.setdefault(group, set()).update({*values} - follows)
    return [
        _words({name: value for name, value in values.items() if name in (different[group] & decided[group]) - unused})
        for group, values, unused in zip(groups, options, without_effect, strict=True)
    ]
