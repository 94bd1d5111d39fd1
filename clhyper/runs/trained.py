"""A run's strategy as it was after its last finished experience."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clhyper.data.stream import ImageStream
from clhyper.engine import Strategy
from clhyper.engine.seeds import seeded
from clhyper.errors import UserError, require
from clhyper.registry import find
from clhyper.runs.config import SCHEMA, RunConfig, config_from_dict, read_toml
from clhyper.runs.folder import CHECKPOINT, CONFIG


@dataclass(frozen=True)
class Trained:
    """A run's configuration, its stream, its strategy and how many experiences that has learned.

    `recorded`: accuracy on each test experience at the end, as the run recorded it (a fraction, or None).
    `mean`, `std`: of the images that it was trained on, which normalise its input.
    `same_data`: whether the stream's images are those of the run.
    """

    folder: Path
    config: RunConfig
    stream: ImageStream
    strategy: Strategy
    experiences: int
    recorded: list[float | None]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    same_data: bool


def trained(run: Path | str, data: Path | str | None = None, device: str = "cpu") -> Trained:
    """The stream, strategy and model of a run's folder, complete or not, after its last finished experience.

    The folder is read and never changed. A front's file isn't needed: its tensors are in the checkpoint.

    Args:
        run: The run's folder.
        data: Where the images are, in place of where they were; they may be others in the same layout.
        device: Where the model is put.

    Raises:
        UserError: not a run's folder, one without a finished experience, of another schema, or damaged; or images that
            can't be read, have changed, have classes of other names, or don't fit the model.
    """
    folder = Path(run)
    config = _config(folder)
    saved = _checkpoint(folder)
    require(
        torch.device(device).type != "cuda" or torch.cuda.is_available(),
        f"device {device}: no CUDA device here, use cpu",
    )
    stream = _stream(config, data)
    same_data = saved.get("data") == stream.images.fingerprint
    require(
        same_data or data is not None,
        f"{folder}: the data set has changed since this run; give the data it was trained on, or other data in the"
        " same layout, as data",
    )
    names = stream.images.class_names
    for number, (then, now) in enumerate(zip(saved.get("class_names", names), names, strict=False)):
        require(
            then == now,
            f"data {data}: classes are matched by number, and names differ at class {number}: {then!r} in the run and"
            f" {now!r} here; give images of the same classes in the same order",
        )
    strategy = _strategy(folder, config, stream, saved, device)
    mean, std = (tuple(saved.get(name, getattr(stream.images, name))) for name in ("mean", "std"))
    return Trained(
        folder, config, stream, strategy, strategy.experiences_learned, saved["matrix"][-1], mean, std, same_data
    )


def _config(folder: Path) -> RunConfig:
    require(folder.exists(), f"run {folder}: no such folder; `clhyper run` and `clhyper sweep` write one a run")
    require((folder / CONFIG).is_file(), f"run {folder}: no run's folder, which has a {CONFIG}")
    return config_from_dict(read_toml(folder / CONFIG))


def _checkpoint(folder: Path) -> dict[str, Any]:
    path = folder / CHECKPOINT
    require(
        path.is_file(), f"run {folder}: no experience finished yet; `clhyper run --config {folder / CONFIG}` goes on"
    )
    damaged = UserError(f"{path}: damaged, or no checkpoint of a run")
    try:
        saved = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"{path}: can't be read ({(error.strerror or 'unreadable').lower()})") from None
    except Exception:  # damaged bytes can make the unpickler raise anything
        raise damaged from None
    schema = saved.get("schema") if isinstance(saved, dict) else None
    require(schema == SCHEMA, f"{path}: schema {schema}, this version of clhyper reads schema {SCHEMA}")
    if not (saved.get("matrix") and isinstance(saved.get("strategy"), dict)):
        raise damaged
    return saved


def _stream(config: RunConfig, data: Path | str | None) -> ImageStream:
    options = dict(config.benchmark_options)
    if data is not None:
        require("data" in options, f"data {data}: {config.benchmark} has no option data, its images come with it")
        options["data"] = Path(data)
    return find("benchmark", config.benchmark).load()(**options)


def _strategy(folder: Path, config: RunConfig, stream: ImageStream, saved: dict[str, Any], device: str) -> Strategy:
    options = {name: value for name, value in config.strategy_options.items() if name != "front"}
    try:
        with seeded(config.seed, 0):
            strategy = find("strategy", config.strategy).load()(
                stream.backbone(), seed=config.seed, device=torch.device(device), **options
            )
            strategy.restore(saved["strategy"])
        if _classes(stream, strategy) != {label for record in saved["records"] for label in record["classes"]}:
            raise ValueError
    except UserError:
        raise
    except Exception:  # another network's tensors, or another stream's
        raise UserError(
            f"{folder / CHECKPOINT}: doesn't fit the network of {CONFIG} on these images: damaged, of another run or"
            " an earlier version of clhyper, or images of another shape or of other classes"
        ) from None
    strategy.front_source = saved.get("front", strategy.front_source)
    strategy.model.eval()
    return strategy


def _classes(stream: ImageStream, strategy: Strategy) -> set[int]:
    """The data set's classes in the experiences that the strategy knows."""
    known = [experience for experience in stream.train_stream if strategy.model.knows(experience)]
    return {label for experience in known for label in experience.original_classes}
