"""writes one task's network of a run as safetensors and ONNX"""

from pathlib import Path
from typing import Literal

from clhyper.cli.common import check_output, one_run
from clhyper.cli.flags import Flag, parse
from clhyper.errors import UserError

_DESCRIPTION = """Writes one task's network of a run as ordinary layers: images from 0 to 1 in, logits out.

task-T.safetensors holds weights and what is needed to rebuild the network (clhyper.load_exported), task-T.onnx the same
network for any batch size, task-T.json what both are. Each file is read again and must give the model's own logits on
test images, to 1e-5 (of the largest logit, where that is above 1). Otherwise nothing is written and the exit code is 1.
Without task labels there is one task, 0.

Examples:
  clhyper export results/runs/NAME --task 0
  clhyper export results/runs/NAME --task 2 --format safetensors --output exported"""


def main(arguments: list[str]) -> int:
    """Reads the command, exports, prints each file with its size and how equal it is."""
    asks = arguments[:1] in (["--help"], ["-h"])
    folder, flags = (Path(), arguments) if asks else one_run("export", arguments)
    values = parse(
        "clhyper export RUN",
        _DESCRIPTION,
        [
            Flag("task", int | None, None, "the task's label, from 0 (needed)"),
            Flag("output", Path | None, None, "folder for the files; without it, RUN/export"),
            Flag("format", Literal["safetensors", "onnx", "both"], "both", "what to write; ONNX needs clhyper[onnx]"),
            Flag("data", Path | None, None, "where the images are, in place of where they were in training"),
            Flag("quiet", bool, False, "print nothing but errors"),
        ],
        flags,
    )
    if values["task"] is None:
        raise UserError("missing task: give --task T, the label of a task that the run has learned")
    output = values["output"] or folder / "export"
    if folder.exists():
        check_output(output)
    if values["format"] != "safetensors":
        from clhyper.runs.onnx_file import check_packages

        check_packages()
    from clhyper.runs.export import export
    from clhyper.runs.trained import trained

    for file in export(trained(folder, values["data"]), values["task"], output, values["format"]):
        equal = f"within {file.difference:.1g} of the model's logits" if file.difference else "equal bit for bit"
        if not values["quiet"]:
            print(f"{file.path}  {file.bytes} bytes, {equal}")
    return 0
