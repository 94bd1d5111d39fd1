"""evaluates a run again, on the same test images or others"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clhyper.cli.common import check_output, one_run, resolve_device
from clhyper.cli.flags import Flag, parse
from clhyper.errors import require
from clhyper.measures import MEASURES, Measure

if TYPE_CHECKING:
    from clhyper.runs.evaluate import Evaluation

_DESCRIPTION = """Evaluates a run again after its last finished experience; measures the costs of use on this machine.

Reads the run's folder and never changes it. Says whether the accuracies are those that the run recorded. --data
evaluates on other test images in the same layout, normalised as in training.

Examples:
  clhyper evaluate results/runs/NAME
  clhyper evaluate results/runs/NAME --data corrupted.npz --output corrupted.json"""


def main(arguments: list[str]) -> int:
    """Reads the command, evaluates, prints a table and, if asked, writes JSON."""
    asks = arguments[:1] in (["--help"], ["-h"])
    folder, flags = (Path(), arguments) if asks else one_run("evaluate", arguments)
    values = parse(
        "clhyper evaluate RUN",
        _DESCRIPTION,
        [
            Flag("data", Path | None, None, "where the images are, in place of where they were in training"),
            Flag("device", str, "auto", "where to evaluate: cpu, cuda, cuda:N, or auto for a GPU if any"),
            Flag("output", Path | None, None, "JSON file to write"),
            Flag("quiet", bool, False, "print nothing but errors"),
        ],
        flags,
    )
    output = values["output"]
    device = resolve_device(values["device"])
    if output is not None:
        require(
            folder.resolve() not in output.resolve().parents,
            f"output {output}: is inside the run's folder, which evaluate never changes; give another file",
        )
        require(not output.is_dir(), f"output {output}: is a folder; give a JSON file")
        check_output(output.parent)
    from clhyper.runs.evaluate import evaluate
    from clhyper.runs.files import write_json

    evaluation = evaluate(folder, values["data"], device)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(output, evaluation.as_dict())
    if not values["quiet"]:
        _show(evaluation)
        if output is not None:
            print(output)
    return 0


def _show(evaluation: "Evaluation") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    measure = MEASURES[evaluation.measure]
    shown = functools.partial(_as_read, measure)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("experience", "classes", "images", f"{measure.name} {measure.unit}", f"recorded {measure.unit}"):
        table.add_column(title, justify="left" if title == "classes" else "right")
    for number, (classes, images) in enumerate(zip(evaluation.classes, evaluation.images, strict=True)):
        recorded = evaluation.recorded[number] if number < len(evaluation.recorded) else None
        listed = ", ".join(map(str, classes))
        table.add_row(str(number), listed, str(images), shown(evaluation.accuracy[number]), shown(recorded))
    table.add_row("mean", "", "", shown(evaluation.mean), shown(evaluation.recorded_mean))
    console = Console()
    console.print(table)
    console.print(evaluation.sentence, markup=False, highlight=False, soft_wrap=True)
    for name, text in evaluation.use_in_words().items():
        console.print(f"{name}: {text}", markup=False, highlight=False, soft_wrap=True)


def _as_read(measure: Measure, value: Any) -> str:
    return "" if value is None else f"{measure.factor * value:.{measure.digits + 1}f}"
