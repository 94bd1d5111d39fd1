"""Trains a whole backbone on classes of a stream at once, for fronts to be taken from."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from clhyper import __version__
from clhyper.backbones.norm import norm_of
from clhyper.backbones.tensor_file import to_bytes
from clhyper.engine.seeds import seeded
from clhyper.errors import UserError, require
from clhyper.evaluation import AccuracyMatrix
from clhyper.options import EngineName, Loading
from clhyper.registry import find
from clhyper.runs.files import write
from clhyper.runs.outcome import Progress
from clhyper.runs.progress import ProgressReporter


def pretrain(
    benchmark: str,
    output: Path,
    *,
    classes: Sequence[int] = (),
    benchmark_options: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    seed: int = 0,
    device: str = "cpu",
    loading: Loading = "auto",
    engine: EngineName = "auto",
    report: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Trains the stream's backbone on its training images and writes it to `output`, a safetensors file.

    It is joint training on a stream of one experience. The file is written once, at the end, and holds every stage with
    its norm's statistics, the classifier, and the notes that are returned: what it was trained on and how well it does.

    Args:
        benchmark: Name of the stream.
        output: File that `--front` takes.
        classes: The data set's classes to train on; all by default.
        benchmark_options: Options of the stream, but for how it deals classes to experiences.
        training: Options of joint training.
        seed: Fixes initialisation, batches and augmentation.
        device: Where to train.
        loading, engine: Where images are, and how steps are executed; see `Strategy`.
        report: Told of progress.

    Raises:
        UserError: a stream, class, option or device that there isn't, or an output that can't be written.
        RunError: training diverged, or the file can no longer be written at its end.
    """
    where = torch.device(device)
    require(where.type != "cuda" or torch.cuda.is_available(), f"device {device}: no CUDA device here, use cpu")
    stream = single_experience(benchmark, classes, benchmark_options or {})
    with seeded(seed, 0):
        backbone = stream.backbone()
    accuracy = AccuracyMatrix(stream.eval_stream)
    plugins: list[Any] = [accuracy, *([ProgressReporter(report, 1, accuracy)] if report else [])]
    joint = find("strategy", "joint").load()
    strategy = joint(
        backbone, seed=seed, device=where, loading=loading, engine=engine, plugins=plugins, **(training or {})
    )
    check_writable(output)
    strategy.train(stream.train_stream)
    network = strategy.model.plain(stream.train_stream[0].task_label)
    options = strategy.options
    notes = {
        "stream": benchmark,
        "classes": list(stream.train_stream[0].original_classes),
        "data": stream.images.fingerprint,
        "backbone": stream.options.backbone,
        "image_shape": list(stream.image_shape),
        "norms": {name: norm for name, stage in network.named_children() if (norm := norm_of(stage))},
        "mean": list(stream.images.mean),
        "std": list(stream.images.std),
        "augmentation": stream.options.augmentation,
        **{name: getattr(options, name) for name in ("epochs", "batch_size", "learning_rate", "optimizer")},
        "seed": seed,
        "accuracy": accuracy.matrix[-1][0],
        "evaluated_on": stream.evaluated_on,
        "clhyper": __version__,
    }
    write(output, to_bytes(network.state_dict(), notes))
    return notes


def single_experience(benchmark: str, classes: Sequence[int], options: Mapping[str, Any]) -> Any:
    """The stream with these classes, or all, in one experience; raises `UserError` for what there isn't."""
    try:
        dealt = {**options, "experiences": 1, "class_order": tuple(classes), "classes_each": None, "first": None}
        stream = find("benchmark", benchmark).load()(**dealt)
    except UserError as error:
        raise UserError(str(error).replace("class_order", "classes")) from None
    require(len(stream.train_stream) == 1, f"{benchmark}: pretrain takes streams that can be a single experience")
    return stream


def check_writable(output: Path, what: str = "output", instead: str = "another file") -> None:
    """Makes the file's folder and tries to write in it: training may take hours, and its file comes at the end.

    Raises:
        UserError: it can't be written; the sentence begins with `what` and ends with what to give `instead`.
    """
    target = output.resolve()
    require(target.is_file() or not target.exists(), f"{what} {output}: is no ordinary file; give {instead}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent) as file:
            file.write(b"tried")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{what} {output}: can't be written ({reason}); give {instead}") from None
