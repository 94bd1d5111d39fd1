"""searches good options of a strategy, on held-out training images only"""

from pathlib import Path
from typing import Any

from clhyper.cli.common import resolve_device, run_flags
from clhyper.cli.executors import ELSEWHERE, PROCESSES, chosen_executor
from clhyper.cli.flags import Flag, asks_for_help, option_flags, parse, split_positionals
from clhyper.cli.run import file_content, one_of_each
from clhyper.cli.sweep import check_results
from clhyper.errors import require
from clhyper.registry import Entry, find
from clhyper.runs.config import checked_options, other_than_default, typed_options
from clhyper.runs.sweep import parse_seeds
from clhyper.tune.fronts import Fronts
from clhyper.tune.objectives import parse_objectives
from clhyper.tune.protocol import ORDER_SEED, VALIDATION, ProtocolName, choose_protocol
from clhyper.tune.space import parse_space
from clhyper.tune.tuning import Pruner, Sampler, Tuning

RESULTS = Path("results/tuning")
_OF_PROTOCOL = ("first", "validation")
"""Options of a stream that are the protocol's affair: the reported stream is whole, and reads the test images."""
_HELP = """usage: clhyper tune BENCHMARK STRATEGY --search OPTION=VALUES... [options]

Searches good options of a strategy with Optuna, on held-out training images of the first experiences, or of another
class order: never on what the reported runs are judged by. It ends in a configuration for these runs. The same command
goes on where it stopped, and with more --trials goes further. All options:

  clhyper tune split-digits partial-hypernetwork --help

Examples:
  clhyper tune split-digits naive --search learning_rate=1e-4..1e-1:log norm=batch,group --trials 20
  clhyper tune split-cifar10 latent-replay --search replay_weight=0.1..10:log --objectives acc bytes-kept
  clhyper tune split-digits partial-hypernetwork --search generator=factored,static rank=8..64 --protocol class-order
  clhyper tune split-digits naive --search learning_rate=1e-4..1e-1:log --trials 200 --executor ray --address auto

Exit codes: 0 done, 1 no trial is complete, 2 bad input, 130 stopped by Ctrl-C."""


def main(arguments: list[str]) -> int:
    """Checks the search, runs its trials, prints the best ones and how to report them."""
    words, flags = split_positionals(arguments)
    if asks_for_help(words, flags):
        print(_HELP)
        return 0
    content = file_content(flags)
    names = one_of_each("tune", words, content, ": tune one after the other")
    stream, learner = find("benchmark", names[0]), find("strategy", names[1])
    of_stream, of_learner = _from_file(content, stream, learner)
    stream_flags = [f for f in option_flags(stream, typed_options(stream, of_stream)) if f.name not in _OF_PROTOCOL]
    learner_flags = option_flags(learner, of_learner, unset=True)
    values = parse(
        f"clhyper tune {stream.name} {learner.name}",
        f"{stream.summary}\n{learner.summary}\n\nExample:\n  clhyper tune {stream.name} {learner.name} --search"
        " learning_rate=1e-4..1e-1:log batch_size=16..128:log --trials 20",
        [*_search_flags(), *run_flags(content)[:-2], *_place_flags(), *learner_flags, *stream_flags],
        flags,
    )
    device = resolve_device(values["device"])
    chosen = chosen_executor(values, device)
    run = {"device": device, "threads": chosen.threads, "loading": values["loading"], "engine": values["engine"]}
    given = {flag.name: values[flag.name] for flag in learner_flags if values[flag.name] is not None}
    searched = {word.partition("=")[0].replace("-", "_") for word in values["search"]}
    for flag in learner_flags:  # a search overrides the file, as flags do
        if flag.name in searched and flag.name in of_learner and given[flag.name] == flag.default:
            del given[flag.name]
    tuning = _tuning(stream, learner, values, {flag.name: values[flag.name] for flag in stream_flags}, given, run)
    require(values["trials"] >= 1, f"trials {values['trials']}: at least 1")
    tuning.check()
    if values["dry_run"]:
        _print_plan(tuning, values["trials"], f"{chosen.at_once}, {chosen.threads} CPU threads each, on {device}")
        return 0
    from clhyper.cli.tune_trials import search_and_show
    from clhyper.runs.local import check_inputs
    from clhyper.tune.held_out import check_held_out
    from clhyper.tune.trials import require_optuna

    require_optuna()
    check_results(values["results"])
    if values["executor"] == "local":  # elsewhere, this machine may have neither the data nor a GPU
        check_inputs(tuning.corners(), values["results"])
        check_held_out(tuning.trial({}, tuning.seeds[0]))
    return search_and_show(tuning, values["results"], values["trials"], chosen.executor, values["quiet"])


def _search_flags() -> list[Flag]:
    return [
        Flag(
            "search",
            tuple[str, ...],
            (),
            "options to search, each as name=LOW..HIGH, with :log after it where powers of ten count alike, or as"
            " name=A,B,C",
        ),
        Flag("trials", int, 50, "how many settings to try in all, those of earlier calls included"),
        Flag(
            "objectives",
            tuple[str, ...],
            ("acc",),
            "measures to look for: accuracies (higher is better), forgetting and costs (lower is); several give a"
            " Pareto front",
        ),
        Flag(
            "protocol",
            ProtocolName,
            "first-experiences",
            "what trials see: the first experiences of the stream, or all in another class order",
        ),
        Flag(
            "first",
            int | None,
            None,
            "protocol first-experiences: how many; without it, half of them, and at least two",
        ),
        Flag(
            "tuning_order_seed",
            int | None,
            None,
            f"protocol class-order: seed of the other order; without it, {ORDER_SEED}",
        ),
        Flag("validation", float, VALIDATION, "share of the training images, held out, that trials are evaluated on"),
        Flag(
            "seeds",
            str | None,
            None,
            "seeds of each trial, whose measures are means over them: 3 (0 to 2), or 1,7,9; without it, one",
        ),
        Flag("sampler", Sampler, "tpe", "what draws settings: tree-structured Parzen estimator, or at random"),
        Flag("search_seed", int, 0, "fixes what is drawn"),
        Flag(
            "pruner",
            Pruner | None,
            None,
            "stops a trial whose accuracy after an experience is below the median of others, or not in the better half"
            " after 1, 2, 4, ... experiences (halving); without it, median where the objective is acc, else none",
        ),
    ]


def _place_flags() -> list[Flag]:
    return [
        *PROCESSES,
        *ELSEWHERE,
        Flag("dry_run", bool, False, "print what would be searched, and run nothing"),
        Flag("config", Path | None, None, "TOML file with options that are fixed; flags and --search override it"),
        Flag("results", Path, RESULTS, "folder that has one folder a search"),
        Flag("quiet", bool, False, "print nothing but errors"),
    ]


def _from_file(content: dict[str, Any], stream: Entry, learner: Entry) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of a file, as far as they are of this stream and this strategy, and not at their default."""
    of_stream = content.get("benchmark_options", {}) if content.get("benchmark", stream.name) == stream.name else {}
    of_learner = content.get("strategy_options", {}) if content.get("strategy", learner.name) == learner.name else {}
    typed = typed_options(learner, of_learner)
    fixed = {name: typed[name] for name in other_than_default(learner.options(), typed)}
    return {name: value for name, value in of_stream.items() if name not in _OF_PROTOCOL}, fixed


def _tuning(
    stream: Entry,
    learner: Entry,
    values: dict[str, Any],
    of_stream: dict[str, Any],
    given: dict[str, Any],
    run: dict[str, Any],
) -> Tuning:
    reported = checked_options(stream, of_stream)
    protocol = choose_protocol(
        values["protocol"],
        reported,
        first=values["first"],
        validation=values["validation"],
        order_seed=values["tuning_order_seed"],
    )
    objectives = parse_objectives(values["objectives"], protocol.seen)
    by_accuracy = [objective.name for objective in objectives] == ["acc"]
    return Tuning(
        benchmark=stream.name,
        strategy=learner.name,
        benchmark_options=reported,
        space=parse_space(values["search"], learner, given),
        objectives=objectives,
        protocol=protocol,
        seeds=(0,) if values["seeds"] is None else tuple(parse_seeds(values["seeds"])),
        sampler=values["sampler"],
        pruner=values["pruner"] or ("median" if by_accuracy else "none"),
        search_seed=values["search_seed"],
        run=run,
    )


def _print_plan(tuning: Tuning, trials: int, where: str) -> None:
    settings = tuning.space.all_settings()
    few = f" (there are {len(settings)} settings)" if settings is not None and len(settings) < trials else ""
    print("\n".join(str(dimension) for dimension in tuning.space.dimensions))
    print(f"{trials} trials{few}, {where}")
    print(f"objectives: {', '.join(f'{o.direction} {o.name}' for o in tuning.objectives)}; pruner {tuning.pruner}")
    print("\n".join([tuning.protocol.sentence(), *Fronts(tuning).sentences()]))
    print(tuning.name)
