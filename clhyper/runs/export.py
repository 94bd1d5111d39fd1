"""Exports one task's network of a trained run, and checks that it predicts what the run's model predicts."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from clhyper import __version__
from clhyper.backbones.tensor_file import to_bytes
from clhyper.data.augmentation import Preparation
from clhyper.errors import RunError, UserError, require
from clhyper.runs.exported import FORMAT, norms, rebuild, with_normalisation
from clhyper.runs.files import read_object, uninterrupted, write, write_json
from clhyper.runs.onnx_file import INPUT, OUTPUT, OnnxNetwork, check_packages, to_onnx
from clhyper.runs.trained import Trained

Format = Literal["safetensors", "onnx", "both"]
CHECKED_IMAGES = 64
BATCHES = (1, 7, CHECKED_IMAGES)
TOLERANCE = 1e-5
"""of the largest logit, if above 1: the model's front has its norms folded, and its kernels lie otherwise in memory"""


@dataclass(frozen=True)
class ExportedFile:
    """A file of an export. `difference`: largest difference from the model's own logits on the images checked."""

    path: Path
    bytes: int
    sha256: str
    difference: float


def export(run: Trained, task: int, output: Path, format: Format = "both") -> list[ExportedFile]:
    """Writes `task-T.safetensors`, `task-T.onnx` and, what they are, `task-T.json` to the folder `output`.

    The model is put on the CPU. Nothing is written unless each file, read again, gives the model's own logits on test
    images of the task at several batch sizes, to 1e-5 (times the largest logit, if above 1).

    Raises:
        UserError: a task that hasn't been learned, other images, missing packages, or a folder that can't be made or
            has the task's files from another run.
        RunError: a file that doesn't give the model's logits.
    """
    require(run.same_data, f"{run.folder}: export needs the images that the run was trained on, and these are others")
    if format != "safetensors":
        check_packages()
    network = with_normalisation(run.strategy.model.cpu().plain(task), run.mean, run.std)
    notes = describe(run, task, network)
    staying = _staying(output, notes, {"safetensors", "onnx"} if format == "both" else {format})
    contents: dict[str, bytes] = {}
    if format != "onnx":
        contents["safetensors"] = to_bytes(network.state_dict(), notes)
    if format != "safetensors":
        contents["onnx"] = to_onnx(network, run.stream.image_shape)
    images = task_images(run, task)
    readers: dict[str, Callable[[bytes], Any]] = {
        "safetensors": lambda content: rebuild(content, f"task {task}"),
        "onnx": OnnxNetwork,
    }
    differences = {kind: largest_difference(run, task, readers[kind](c), images) for kind, c in contents.items()}
    for kind, (difference, scale) in differences.items():
        if not difference <= TOLERANCE * scale:
            raise RunError(
                f"task {task}: the {kind} file gives logits that differ from the model's by {difference:.2g}, more than"
                f" {TOLERANCE * scale:.2g}; nothing was written"
            )
    files = [
        ExportedFile(
            output / f"task-{task}.{kind}", len(content), hashlib.sha256(content).hexdigest(), differences[kind][0]
        )
        for kind, content in contents.items()
    ]
    _write(output, task, contents, _summary(notes, files, len(images), staying))
    return files


def describe(run: Trained, task: int, network: nn.Module) -> dict[str, Any]:
    """What is exported: enough to rebuild the network, and to know what its outputs mean."""
    classes = original_classes(run, task)
    return {
        "format": FORMAT,
        "backbone": run.stream.options.backbone,
        "image_shape": list(run.stream.image_shape),
        "norms": norms(network),
        "classes": classes,
        "class_names": [run.stream.images.class_names[label] for label in classes],
        "task": task,
        "stream": run.config.benchmark,
        "variant": getattr(run.stream.options, "variant", "none"),
        "strategy": run.config.strategy,
        "run": run.folder.absolute().name,
        "experiences": run.experiences,
        "front": run.strategy.front_source,
        "data": run.stream.images.fingerprint,
        "clhyper": __version__,
    }


def original_classes(run: Trained, task: int) -> list[int]:
    """The data set's own number of each of the task's classes, in the order of their labels, that is of the outputs."""
    names: dict[int, int] = {}
    for experience in run.stream.train_stream:
        labels = experience.classes_by_task.get(task, [])
        names.update(zip(labels, experience.original_classes, strict=False))
    return [names[label] for label in sorted(run.strategy.model.classes_of[task])]


def task_images(run: Trained, task: int) -> Tensor:
    """uint8 (images, channels, height, width): test images of the task's learned experiences, as many of each."""
    of_task = [e.images for e in run.stream.eval_stream if task in e.classes_by_task and run.strategy.model.knows(e)]
    share = -(-CHECKED_IMAGES // len(of_task))
    rows = [images.x(torch.arange(min(share, len(images)))) for images in of_task]
    return torch.cat(rows)[:CHECKED_IMAGES]


@torch.no_grad()
def largest_difference(
    run: Trained, task: int, network: Callable[[Tensor], Tensor], images: Tensor
) -> tuple[float, float]:
    """Largest difference from the model's logits over several batch sizes, and the largest logit, at least 1."""
    model = run.strategy.model.eval()
    labels = sorted(model.classes_of[task])
    prepare = Preparation(run.mean, run.std).normalise
    difference, scale = 0.0, 1.0
    for size in BATCHES:
        for x in images[: 2 * size].split(size):
            wanted = model(prepare(x), task)[:, labels]
            found = network(x.float() / 255)
            if found.shape != wanted.shape:
                return float("inf"), scale
            gap = (found - wanted).abs().max().item()
            difference = gap if gap > difference or gap != gap else difference
            scale = max(scale, wanted.abs().max().item())
    return difference, scale


def _staying(output: Path, notes: dict[str, Any], formats: set[str]) -> dict[str, Any]:
    """What `task-T.json` says of the same network's file in a format that isn't written now, if there is one.

    Raises:
        UserError: files of the task that are another run's, or one that would stay and is of another network.
    """
    name = f"task-{notes['task']}"
    there = {kind: path for kind in ("safetensors", "onnx", "json") if (path := output / f"{name}.{kind}").exists()}
    said = read_object(output / f"{name}.json")
    owner = f"run {said['run']!r}" if "run" in said else f"an unknown run ({name}.json is missing or damaged)"
    require(
        not there or said.get("run") == notes["run"],
        f"output {output}: has task {notes['task']} of {owner}; give another folder or move its files away",
    )
    files = said.get("files")
    staying = {}
    for path in (path for kind, path in there.items() if kind not in {*formats, "json"}):
        entry = files.get(path.name) if isinstance(files, dict) else None
        digest = entry.get("sha256") if isinstance(entry, dict) else None
        require(
            {**said, **notes} == said and digest == hashlib.sha256(path.read_bytes()).hexdigest(),
            f"{path}: of an earlier state of this run, or changed since; export --format both, or move it away",
        )
        staying[path.name] = entry
    return staying


def _summary(notes: dict[str, Any], files: list[ExportedFile], images: int, staying: dict[str, Any]) -> dict[str, Any]:
    return {
        **notes,
        "input": {"name": INPUT, "type": "float32", "shape": ["batch", *notes["image_shape"]], "values": "0 to 1"},
        "output": {"name": OUTPUT, "type": "float32", "shape": ["batch", len(notes["classes"])]},
        "images_checked": images,
        "files": staying
        | {
            file.path.name: {"bytes": file.bytes, "sha256": file.sha256, "largest_difference": file.difference}
            for file in files
        },
    }


def _write(output: Path, task: int, contents: dict[str, bytes], summary: dict[str, Any]) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output {output}: can't be made ({(error.strerror or '').lower()})") from None
    with uninterrupted():
        for kind, content in contents.items():
            write(output / f"task-{task}.{kind}", content)
        write_json(output / f"task-{task}.json", summary)
