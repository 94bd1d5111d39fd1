"""One run, from its configuration to its results on disk."""

import copy
import platform
import time
import traceback
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch

from clhyper import __version__
from clhyper.backbones import set_norm, split
from clhyper.engine.front import digest, load_front
from clhyper.engine.host_memory import keep_freed_memory
from clhyper.engine.seeds import seed_everything_else, seeded
from clhyper.errors import RunError, UserError, require
from clhyper.evaluation import AccuracyMatrix, CostMeter, TaskInference
from clhyper.measures import ACCURACY
from clhyper.registry import entries, find
from clhyper.runs.config import RunConfig
from clhyper.runs.files import read_json
from clhyper.runs.folder import RESULT, RunFolder
from clhyper.runs.loggers import evaluator
from clhyper.runs.outcome import Note, Outcome, Progress
from clhyper.runs.progress import ProgressReporter
from clhyper.threads import turns

_MEMORY_RAN_OUT = (
    "out of memory",
    "can't allocate memory",
    "STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",  # what cuBLAS says where there is no memory for its handle
)


def run(
    config: RunConfig,
    results: Path,
    report: Callable[[Progress | Note], None] | None = None,
    loggers: tuple[str, ...] = (),
    runs_at_once: int = 1,
    lanes: Callable[[], int] | None = None,
    steps: Callable[[int], None] | None = None,
) -> Outcome:
    """Trains and evaluates as configured, or goes on where an earlier process stopped.

    Args:
        config: What to run.
        results: Folder that has one folder a run.
        report: Told of progress.
        loggers: Avalanche's loggers to switch on: interactive, text, csv, tensorboard.
        runs_at_once: How many processes with runs share the machine.
        lanes: The most runs that this process had side by side since it was last asked; without it, one. Times the
            number of processes it is noted in the result, since it lengthens seconds.
        steps: Told of the number of training steps just finished.

    Raises:
        UserError: bad input, found before anything is written.
        BusyError: another process is at work on this run.
    """
    folder = RunFolder(results, config)
    config = folder.config
    torch.set_num_threads(config.threads)
    if config.device == "cpu":
        keep_freed_memory()
    # Matrix products are as exact as convolutions are: some engines compute the one by the other.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    start = time.perf_counter()
    prepared = prepare(config)
    loading_seconds = time.perf_counter() - start
    with folder.held(), turns.working():
        folder.check_defaults()
        if folder.complete:
            return _skipped(folder, prepared[0].images.fingerprint, digest(config.strategy_options.get("front")))
        try:
            metrics = _train(
                config, folder, *prepared, loading_seconds, report, loggers, CostMeter(runs_at_once, lanes), steps
            )
        except UserError as error:
            folder.fail(str(error))
            return Outcome("failed", folder.path, str(error), misuse=True)
        except Exception as error:
            reason = _reason(error)
            folder.fail(reason, traceback.format_exc())
            return Outcome("failed", folder.path, reason, out_of_memory=is_out_of_memory(error))
        return Outcome("complete", folder.path, metrics=metrics)


def _reason(error: Exception) -> str:
    if isinstance(error, RunError):
        written = isinstance(error.__cause__, OSError)
        return f"{error}; the same command goes on, nothing finished is lost" if written else str(error)
    text = f"{type(error).__name__}: {error}".partition("\n")[0]
    if is_out_of_memory(error):
        return f"out of memory ({text}); a smaller batch size or fewer runs at once take less"
    return text


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether at the root of an error the host's or the device's memory ran out."""
    while error is not None:
        said = str(error) if isinstance(error, RuntimeError) else ""
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in said for sign in _MEMORY_RAN_OUT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _skipped(folder: RunFolder, data: str, front: str | None) -> Outcome:
    result = read_json(folder.path / RESULT)
    require(
        result.get("data") == data,
        f"{folder.path}: the data set has changed since this run ended; move the folder away to run it anew",
    )
    require(
        result.get("front_digest") == front,
        f"{folder.path}: the front's file has changed since this run ended; move the folder away to run it anew",
    )
    return Outcome("skipped", folder.path, metrics=result.get("metrics", {}))


def prepare(config: RunConfig) -> tuple[Any, Any]:
    """The run's stream and its strategy's backbone, checked to fit each other.

    Raises:
        UserError: data that can't be read, a stream that can't be dealt so, no such device, or a depth out of range.
    """
    device = torch.device(config.device)
    require(device.type != "cuda" or torch.cuda.is_available(), f"device {config.device}: no CUDA device here, use cpu")
    stream = find("benchmark", config.benchmark).load()(**config.benchmark_options)
    with seeded(config.seed, 0):
        backbone = stream.backbone()
    _check_reading(config, stream, backbone)
    front, _ = split(backbone, config.strategy_options.get("freeze_depth", 0))
    if config.strategy_options.get("front") is not None:
        tried = copy.deepcopy(front)
        set_norm(tried, config.strategy_options["front_norm"])
        load_front(tried, config.strategy_options["front"])
    return stream, backbone


def _check_reading(config: RunConfig, stream: Any, backbone: Any) -> None:
    """Raises `UserError` if a strategy reads sequences and the stream's backbone none, or the other way round."""
    reads = find("strategy", config.strategy).constant("reads_sequences", False)
    readers = [name for name, entry in entries("strategy").items() if entry.constant("reads_sequences", False)]
    require(
        not reads or hasattr(backbone, "steps"),
        f"{config.strategy} reads sequences, and {type(backbone).__name__} reads whole images: choose --backbone rows,"
        " or a stream of sequences, such as digit-rows",
    )
    require(
        reads or stream.measure is ACCURACY,
        f"{config.benchmark} is text, and {config.strategy} learns images: choose {', '.join(readers)}",
    )


def _train(
    config: RunConfig,
    folder: RunFolder,
    stream: Any,
    backbone: Any,
    loading_seconds: float,
    report: Callable[[Progress | Note], None] | None,
    loggers: tuple[str, ...],
    cost: CostMeter,
    steps: Callable[[int], None] | None,
) -> dict[str, float | None]:
    device = torch.device(config.device)
    accuracy = AccuracyMatrix(stream.eval_stream, stream.measure)
    inference = TaskInference(stream.eval_stream)
    plugins: list[Any] = [inference, accuracy, cost]
    learner = find("strategy", config.strategy).load()
    units = [list(stream.train_stream)] if learner.offline else list(stream.train_stream)
    if report:
        plugins.append(ProgressReporter(report, len(units), accuracy, steps))
    strategy = learner(
        backbone,
        seed=config.seed,
        device=device,
        loading=config.loading,
        engine=config.engine,
        plugins=plugins,
        evaluator=evaluator(loggers, folder.path),
        **config.strategy_options,
    )
    if report:
        strategy.on_notice = lambda text: report(Note(text))
    front_digest = None
    if strategy.front_file is not None:
        front_digest = strategy.front_file.digest
        dealt = [label for experience in stream.train_stream for label in experience.original_classes]
        strategy.front_source = strategy.front_file.source(stream.images, dealt)
    folder.start(environment(device))
    records: list[dict[str, Any]] = []
    saved = folder.checkpoint()
    if saved is not None:
        require(
            saved["data"] == stream.images.fingerprint,
            f"{folder.path}: the data set has changed since this run began; move the folder away to run it anew",
        )
        require(
            saved.get("front_digest") == front_digest,
            f"{folder.path}: the front's file has changed since this run began; move the folder away to run it anew",
        )
        records = saved["records"]
        loading_seconds += saved["loading_seconds"]
        try:
            for part, owner in (("strategy", strategy), ("accuracy", accuracy), ("cost", cost)):
                owner.restore(saved[part])
            if "inference" in saved:  # earlier versions took none
                inference.restore(saved["inference"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:  # tensors of other names or shapes
            if is_out_of_memory(error):
                raise
            raise UserError(
                f"{folder.path}: was begun by an earlier version of clhyper, whose {config.strategy} this one can't go"
                " on with; move the folder away to run it anew"
            ) from None
        folder.write_readable(records, accuracy.matrix)
    for number, unit in enumerate(units[strategy.experiences_learned :], start=strategy.experiences_learned):
        seed_everything_else(config.seed, number)
        strategy.train(unit, eval_streams=[])
        records.append(_record(number, unit, accuracy, cost, config))
        folder.save(
            {
                "strategy": strategy.state(),
                "accuracy": accuracy.state(),
                "cost": cost.state(),
                "inference": inference.state(),
                "data": stream.images.fingerprint,
                "front": strategy.front_source,
                "front_digest": front_digest,
                "mean": list(stream.images.mean),
                "std": list(stream.images.std),
                "class_names": list(stream.images.class_names),
                "loading_seconds": loading_seconds,
            },
            records,
            accuracy.matrix,
        )
    strategy.engine.close()
    measure_use(strategy, stream, cost)
    measured = accuracy.measured() | inference.measured()
    total = cost.total()
    reasons = {name: reason for name, (_, reason) in measured.items() if reason} | total.pop("reasons")
    metrics = {name: value for name, (value, _) in measured.items()}
    folder.finish(
        {
            "metrics": metrics,
            "cost": {**total, "loading_seconds": loading_seconds + total["loading_seconds"]},
            "reasons": reasons,
            "evaluated_on": stream.evaluated_on,
            "similarity": stream.similarity(),
            "data": stream.images.fingerprint,
            "front": strategy.front_source,
            "front_digest": front_digest,
            "engine": ", ".join(dict.fromkeys(record["engine"] for record in cost.records)),
            "notices": strategy.notices,
            "runs_at_once": cost.most_at_once,
            "family": config.family,
            "freeze_depth": config.freeze_depth,
        }
    )
    return metrics


def _record(number: int, unit: Any, accuracy: AccuracyMatrix, cost: CostMeter, config: RunConfig) -> dict[str, Any]:
    last = unit[-1] if isinstance(unit, list) else unit
    measure = accuracy.measure
    return {
        **({} if measure is ACCURACY else {"measure": measure.name}),
        "experience": last.current_experience,
        "classes": sorted({c for e in (unit if isinstance(unit, list) else [unit]) for c in e.original_classes}),
        "accuracy": accuracy.rows[last.current_experience],
        "cost": cost.records[-1],
        "threads": config.threads,
        "training": number,
    }


def measure_use(strategy: Any, stream: Any, cost: CostMeter) -> None:
    """Measures use by the last task learned, on a training batch of its images; the first may need less than others."""
    images = [experience for experience in stream.eval_stream if strategy.model.knows(experience)][-1].images
    rows = images.x(torch.arange(min(len(images), strategy.train_mb_size))).to(strategy.device)
    cost.measure_use(strategy, images.preparation.normalise(rows), int(images.tasks[0]), stream.options.task_labels)


def environment(device: torch.device) -> dict[str, Any]:
    """What the run ran on, and when: day, versions, processor and device."""
    from importlib.metadata import version

    return {
        "date": date.today().isoformat(),
        "clhyper": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "avalanche": version("avalanche-lib"),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": platform.processor() or platform.machine(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }
