"""trains one strategy on one stream, or goes on where it stopped"""

import os
from pathlib import Path
from typing import Any

from clhyper.cli.common import Logger, jobs_and_threads, resolve_device, run_flags
from clhyper.cli.flags import Flag, asks_for_help, option_flags, parse, split_positionals
from clhyper.errors import UserError
from clhyper.registry import find
from clhyper.runs.config import RunConfig, make_config, read_toml, typed_options
from clhyper.runs.fronts import located, name_and_hash

_HELP = """usage: clhyper run BENCHMARK STRATEGY [options]
       clhyper run --config FILE.toml [options]

Trains one strategy on one stream, or goes on where it stopped. `clhyper list` has the names. All options of a stream
and a strategy, with types and defaults:

  clhyper run split-digits partial-hypernetwork --help

Examples:
  clhyper run split-digits partial-hypernetwork --freeze-depth 1 --epochs 20
  clhyper run split-cifar10 latent-replay --data data --buffer-size 400 --device cuda
  clhyper run --config results/runs/RUN/config.toml

Exit codes: 0 done, 1 the run failed, 2 bad input, 130 stopped by Ctrl-C."""


def main(arguments: list[str]) -> int:
    """Reads the command, trains, prints the metrics and the folder."""
    words, flags = split_positionals(arguments)
    if asks_for_help(words, flags):
        print(_HELP)
        return 0
    content = file_content(flags)
    benchmark, strategy = one_of_each("run", words, content, "; sweep takes several")
    stream, learner = find("benchmark", benchmark), find("strategy", strategy)
    # What a file says of another stream or strategy is not for the one named on the command line.
    of_stream = content.get("benchmark_options", {}) if content.get("benchmark", benchmark) == benchmark else {}
    of_learner = content.get("strategy_options", {}) if content.get("strategy", strategy) == strategy else {}
    family = learner.constant("depth_zero_of")
    if family and any(word.startswith("--freeze-depth") for word in flags):
        raise UserError(f"{strategy} is {family} at freeze depth 0 and takes no --freeze-depth; {family} does")
    stream_flags = option_flags(stream, typed_options(stream, of_stream))
    learner_flags = option_flags(learner, typed_options(learner, of_learner))
    values = parse(
        f"clhyper run {benchmark} {strategy}",
        f"{stream.summary}\n{learner.summary}\n\nExample:\n  clhyper run {benchmark} {strategy} --epochs 20 --seed 3",
        [
            *learner_flags,
            *stream_flags,
            Flag("seed", int, content.get("seed", 0), "fixes initialisation, batches and augmentation"),
            Flag("config", Path | None, None, "TOML file with options; flags override it"),
            Flag(
                "loggers",
                tuple[Logger, ...],
                (),
                "Avalanche's loggers to switch on; they look at every step, so the engine is eager",
            ),
            *run_flags(content),
        ],
        flags,
    )
    device = resolve_device(values["device"])
    _, threads = jobs_and_threads(1, values["threads"], device)
    config = make_config(
        benchmark,
        strategy,
        {flag.name: values[flag.name] for flag in stream_flags},
        {flag.name: values[flag.name] for flag in learner_flags},
        seed=values["seed"],
        device=device,
        threads=threads,
        loading=values["loading"],
        engine=values["engine"],
    )
    _check_front(config, values["results"], values["config"])
    return _train(config, values)


def _check_front(config: RunConfig, results: Path, file: Path | None) -> None:
    """Raises `UserError` if the run takes a study's front, and it isn't among these results."""
    trained = name_and_hash(config.strategy_options.get("front"))
    front = located(config, results).strategy_options.get("front")
    if trained is None or front is None or front.is_file():
        return
    theirs = file.absolute().parents[1] if file else results
    beside = located(config, theirs).strategy_options["front"].is_file()
    raise UserError(
        f"front {front}: no such file; it is front {trained[0]} of a study, which lies in the study's results under"
        f" fronts/: give --results {os.path.relpath(theirs) if beside else 'with the folder of these results'}"
    )


def _train(config: Any, values: dict[str, Any]) -> int:
    from clhyper.cli.display import Display
    from clhyper.runs.folder import BusyError
    from clhyper.runs.run import run

    with Display(1, values["quiet"], lines_for_experiences=True) as display:
        try:
            outcome = run(
                config, values["results"], lambda progress: display.update(config, progress), values["loggers"]
            )
        except BusyError:
            raise UserError(f"{config.name}: another process is at work on this run; wait for it or stop it") from None
        if outcome.status == "failed" and outcome.misuse:
            raise UserError(outcome.reason)
        display.update(config, outcome)
    if not values["quiet"]:
        print(outcome.folder)
    return 1 if outcome.status == "failed" else 0


def file_content(flags: list[str]) -> dict[str, Any]:
    """What the file given with --config says, which must be read before the other flags are known."""
    for position, word in enumerate(flags):
        if word.startswith("--config="):
            return read_toml(Path(word.partition("=")[2]))
        if word == "--config" and position + 1 < len(flags):
            return read_toml(Path(flags[position + 1]))
    return {}


def one_of_each(verb: str, words: list[str], content: dict[str, Any], instead: str) -> tuple[str, str]:
    """The stream and the strategy that a command's words name, or its file; `instead`: what to do with several."""
    if len(words) > 2:
        raise UserError(f"{verb} takes one stream and one strategy, and {words[2]!r} is too much{instead}")
    names = [*words, *[content[key] for key in ("benchmark", "strategy")[len(words) :] if key in content]]
    if len(names) < 2:
        missing = ("stream", "strategy")[len(names)]
        raise UserError(f"missing {missing}: clhyper {verb} BENCHMARK STRATEGY; clhyper list has the names")
    return names[0], names[1]
