"""trains a backbone on chosen classes of a stream, for --front"""

from pathlib import Path
from typing import Any

from clhyper.cli.common import check_output, jobs_and_threads, resolve_device, run_flags
from clhyper.cli.flags import Flag, asks_for_help, option_flags, parse, split_positionals
from clhyper.errors import UserError, require
from clhyper.registry import find
from clhyper.runs.config import RunConfig, checked_options
from clhyper.runs.fronts import DEALING
from clhyper.runs.sweep import parse_numbers

_HELP = """usage: clhyper pretrain BENCHMARK --output FILE.safetensors [options]

Trains a whole backbone on a stream's classes at once, all or those given, and writes it with what it was trained on.
`--front FILE` of `run` and `sweep` takes the first stages of it. All options:

  clhyper pretrain split-cifar100 --help

Examples:
  clhyper pretrain split-cifar100 --classes 50-99 --epochs 30 --output fronts/c100.safetensors
  clhyper pretrain split-digits --classes 5-9 --output digits.safetensors
  clhyper run split-digits separate --freeze-depth 2 --experiences 2 --class-order 0 1 2 3 --front digits.safetensors

Exit codes: 0 done, 1 training failed, 2 bad input, 130 stopped by Ctrl-C (nothing is written)."""


def main(arguments: list[str]) -> int:
    """Reads the command, trains, prints the accuracy and the file."""
    words, flags = split_positionals(arguments)
    if asks_for_help(words, flags):
        print(_HELP)
        return 0
    if not words:
        raise UserError("missing stream: clhyper pretrain BENCHMARK --output FILE.safetensors; clhyper list has names")
    if len(words) > 1:
        raise UserError(f"pretrain takes one stream, and {words[1]!r} is too much")
    stream, joint = find("benchmark", words[0]), find("strategy", "joint")
    of_stream = [flag for flag in option_flags(stream) if flag.name not in DEALING]
    of_training = [flag for flag in option_flags(joint) if flag.name not in ("norm", "front_norm")]
    norm = next(flag for flag in option_flags(joint) if flag.name == "norm")
    values = parse(
        f"clhyper pretrain {stream.name}",
        f"Trains a backbone on classes of a stream.\n{stream.summary}\n\n"
        f"Example:\n  clhyper pretrain {stream.name} --classes 0-4 --output front.safetensors",
        [
            Flag("output", Path | None, None, "the .safetensors file to write (needed)"),
            Flag("classes", str | None, None, "the data set's classes to train on, as 50-99 or 1,3,5; without it, all"),
            *of_training,
            Flag("norm", norm.type, norm.default, "normalisation of all stages"),
            *of_stream,
            Flag("seed", int, 0, "fixes initialisation, batches and augmentation"),
            *(flag for flag in run_flags({}) if flag.name != "results"),
        ],
        flags,
    )
    output = values["output"]
    if output is None or output.suffix != ".safetensors":
        raise UserError(f"output {output or 'missing'}: give --output FILE.safetensors")
    require(values["seed"] >= 0, f"seed {values['seed']}: at least 0")
    classes = [] if values["classes"] is None else parse_numbers(values["classes"], "classes")
    require(values["classes"] is None or len(classes) > 1, f"classes {values['classes']}: at least two are told apart")
    of_training = [*of_training, norm]
    training = checked_options(joint, {flag.name: values[flag.name] for flag in of_training})
    training["front_norm"] = training["norm"]
    streamed = checked_options(stream, {flag.name: values[flag.name] for flag in of_stream})
    device = resolve_device(values["device"])
    _, threads = jobs_and_threads(1, values["threads"], device)
    check_output(output.parent)
    return _train(stream.name, output, classes, streamed, training, values, device, threads)


def _train(
    benchmark: str,
    output: Path,
    classes: list[int],
    streamed: dict[str, Any],
    training: dict[str, Any],
    values: dict[str, Any],
    device: str,
    threads: int,
) -> int:
    import torch

    from clhyper.cli.display import Display
    from clhyper.runs.outcome import Outcome
    from clhyper.runs.pretrain import pretrain

    torch.set_num_threads(threads)
    shown = RunConfig(benchmark=benchmark, strategy="pretrain", seed=values["seed"])
    with Display(1, values["quiet"], lines_for_experiences=True) as display:
        notes = pretrain(
            benchmark,
            output,
            classes=classes,
            benchmark_options=streamed,
            training=training,
            seed=values["seed"],
            device=device,
            loading=values["loading"],
            engine=values["engine"],
            report=lambda progress: display.update(shown, progress),
        )
        display.update(shown, Outcome("complete", output))
    if not values["quiet"]:
        held_out = "held-out images" if notes["evaluated_on"] == "validation" else "test images"
        print(f"accuracy {100 * notes['accuracy']:.1f} % on {held_out} of {len(notes['classes'])} classes")
        print(output)
    return 0
