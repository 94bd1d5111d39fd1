"""The command that repeats a run."""

import shlex
from typing import Any

from clhyper.registry import Kind
from clhyper.runs.config import options_class, other_than_default


def command(config: dict[str, Any]) -> str:
    """`clhyper run` with every option that isn't at its default, from what `config.toml` says, but for the seed.

    Empty without the names of a stream and a strategy.
    """
    benchmark, strategy = config.get("benchmark"), config.get("strategy")
    if not isinstance(benchmark, str) or not isinstance(strategy, str):
        return ""
    words = ["clhyper", "run", benchmark, strategy]
    words += _options("strategy", strategy, config.get("strategy_options", {}))
    words += _options("benchmark", benchmark, config.get("benchmark_options", {}))
    for name, usual in (("device", None), ("threads", None), ("loading", "auto"), ("engine", "auto")):
        if config.get(name, usual) != usual:
            words += [f"--{name}", str(config[name])]
    return shlex.join(words)


def _options(kind: Kind, name: str, options: dict[str, Any]) -> list[str]:
    chosen = other_than_default(options_class(kind, name), options)
    return [word for option in sorted(chosen) for word in _flag(option, options[option])]


def _flag(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", *map(str, value if isinstance(value, list | tuple) else [value])]
