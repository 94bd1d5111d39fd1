"""trains strategies by depths and seeds, several runs at once"""

import os
from pathlib import Path

from clhyper.cli.common import resolve_device, run_flags
from clhyper.cli.executors import ELSEWHERE, EXAMPLES, PROCESSES, chosen_executor
from clhyper.cli.flags import Flag, asks_for_help, option_flags, parse, split_positionals
from clhyper.cli.run import file_content
from clhyper.errors import UserError, require, unknown
from clhyper.registry import find, option_defaults
from clhyper.runs.config import RunConfig, typed_options
from clhyper.runs.executors import Executor
from clhyper.runs.sweep import parse_numbers, parse_seeds, plan

_HELP = f"""usage: clhyper sweep BENCHMARK STRATEGY... [options]

Trains strategies by freeze depths and seeds, several runs at once. What is finished is skipped and what was interrupted
goes on, so the same command may be started again at any time. All options:

  clhyper sweep split-digits naive partial-hypernetwork --help

Examples:
  clhyper sweep split-digits partial-hypernetwork latent-replay --freeze-depth 0-3 --seeds 5
  clhyper sweep split-cifar10 naive separate --data data --seeds 1,7,9 --runs-per-device 8 --device cuda
  clhyper sweep split-digits naive joint --seeds 3 --dry-run
{EXAMPLES}

Exit codes: 0 done, 1 a run failed (the others went on), 2 bad input, 130 stopped by Ctrl-C."""


def main(arguments: list[str]) -> int:
    """Plans, trains, prints one line a run."""
    words, flags = split_positionals(arguments)
    if asks_for_help(words, flags):
        print(_HELP)
        return 0
    content = file_content(flags)
    benchmark = words[0] if words else content.get("benchmark")
    strategies = words[1:] or ([content["strategy"]] if "strategy" in content else [])
    if not benchmark or not strategies:
        raise UserError("missing stream or strategies: clhyper sweep BENCHMARK STRATEGY...; clhyper list has the names")
    stream, learners = find("benchmark", benchmark), [find("strategy", name) for name in strategies]
    # What a file says of another stream or strategy is not for those named on the command line.
    of_stream = content.get("benchmark_options", {}) if content.get("benchmark", benchmark) == benchmark else {}
    of_learners = content.get("strategy_options", {}) if content.get("strategy", strategies[0]) in strategies else {}
    stream_flags = option_flags(stream, typed_options(stream, of_stream))
    learner_flags: dict[str, Flag] = {}
    for learner in learners:
        own = {name: value for name, value in of_learners.items() if name in option_defaults(learner.options())}
        for flag in option_flags(learner, typed_options(learner, own), unset=True):
            learner_flags.setdefault(flag.name, flag)
    for name in of_learners:
        if name not in learner_flags:
            raise unknown("strategy option", name, learner_flags)
    learner_flags.pop("freeze_depth", None)
    depth = str(of_learners["freeze_depth"]) if "freeze_depth" in of_learners else None
    values = parse(
        f"clhyper sweep {benchmark} {' '.join(strategies)}",
        "Options of a strategy apply to all that have them; None is each strategy's own default.\n\nExample:\n"
        f"  clhyper sweep {benchmark} {' '.join(strategies)} --freeze-depth 0-2 --seeds 3",
        [
            Flag("freeze_depth", str | None, depth, "depths for strategies that have one, as 0-4 or 0,2,4"),
            Flag("seeds", str | None, None, "number of seeds, as 5 (0 to 4), or the seeds, as 1,7,9; without it, one"),
            *PROCESSES,
            *ELSEWHERE,
            Flag("dry_run", bool, False, "print what would run, and run nothing"),
            Flag("config", Path | None, None, "TOML file with options; flags override it"),
            *run_flags(content),
            *learner_flags.values(),
            *stream_flags,
        ],
        flags,
    )
    device = resolve_device(values["device"])
    chosen = chosen_executor(values, device)
    configs = plan(
        benchmark,
        strategies,
        depths=None if values["freeze_depth"] is None else parse_numbers(values["freeze_depth"], "freeze_depth"),
        seeds=[content.get("seed", 0)] if values["seeds"] is None else parse_seeds(values["seeds"]),
        benchmark_options={flag.name: values[flag.name] for flag in stream_flags},
        strategy_options={name: values[name] for name in learner_flags if values[name] is not None},
        device=device,
        threads=chosen.threads,
        loading=values["loading"],
        engine=values["engine"],
    )
    if values["dry_run"]:
        print("\n".join(config.name for config in configs))
        print(f"{len(configs)} runs, {chosen.at_once}, {chosen.threads} CPU threads each, on {device}")
        return 0
    return execute_and_show(configs, values["results"], chosen.executor, values["quiet"])


def execute_and_show(configs: list[RunConfig], results: Path, executor: Executor, quiet: bool) -> int:
    """Runs a plan under a display; returns the exit code."""
    from clhyper.cli.display import Display

    check_results(results)
    with Display(len(configs), quiet, among=configs) as display:
        outcomes = executor.execute(configs, results, display.update)
    failed = [outcome for outcome in outcomes.values() if outcome.status == "failed"]
    busy = [outcome for outcome in outcomes.values() if outcome.status == "busy"]
    if failed and all(outcome.misuse for outcome in failed) and len(failed) == len(configs):
        raise UserError(failed[0].reason)
    if not quiet:
        print(_closing(len(configs), len(failed), len(busy), results))
    return 1 if failed else 0


def _closing(runs: int, failed: int, busy: int, results: Path) -> str:
    notes = [f"{runs - failed - busy} of {runs} runs complete"]
    if failed:
        notes.append(f"{failed} failed (the reasons are above and in clhyper table)")
    if busy:
        notes.append(f"{busy} left to another process that is at work on them")
    return f"{', '.join(notes)}; next: clhyper table {results}, clhyper plot {results}"


def check_results(results: Path) -> None:
    """Raises `UserError` if the results folder can't be made; makes nothing yet, for the rest may be bad input."""
    existing = next(path for path in (results.absolute(), *results.absolute().parents) if path.exists())
    require(existing.is_dir(), f"results {results}: {existing} is a file; give a folder")
    require(os.access(existing, os.W_OK), f"results {results}: {existing} can't be written; give another folder")
