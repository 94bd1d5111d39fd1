"""Times an epoch of our naive strategy against Avalanche's own with its stock loader and worker processes.

Run `python benchmarks/speed/loader.py --device cuda`; `--help` lists the options. Both train the same slim ResNet-18
with Adam on the same images, cropped, flipped and normalised: ours in batches on the device, Avalanche's image by image
with torchvision's transforms, as its users write them.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from avalanche.benchmarks import nc_benchmark
from avalanche.benchmarks.utils import as_classification_dataset
from avalanche.training import Naive as StockNaive
from avalanche.training.plugins import EvaluationPlugin
from PIL import Image
from torch.utils.data import Dataset
from torchvision import transforms

from benchmarks.speed import setting
from benchmarks.speed.setting import (
    CLASSES,
    Device,
    EpochClock,
    hardware,
    make_strategy,
    print_head,
    print_row,
    reason,
    synthetic_stream,
)
from clhyper.data.stream import ImageStream


@dataclass(frozen=True)
class Options:
    """What is timed, and where."""

    device: Device = "cpu"
    """where to train"""
    engines: tuple[str, ...] = ("eager", "auto")
    """engines of ours"""
    workers: int = 5
    """worker processes of Avalanche's loader"""
    images: int = 2500
    """training images of the experience"""
    epochs: int = 4
    """epochs of each, of which the first isn't timed"""
    batch_size: int = 64
    """images a step"""
    threads: int = 2
    """threads that PyTorch computes with on the CPU"""


class Pictures(Dataset):
    """Images one by one, as torchvision's data sets give them."""

    def __init__(self, stream: ImageStream, transform: Any) -> None:
        self.images, self.targets = stream.images.x_train.transpose(0, 2, 3, 1), stream.images.y_train.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.images[index])), self.targets[index]


def stock(stream: ImageStream, options: Options) -> float:
    """Seconds of an epoch of Avalanche's own."""
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(stream.images.mean, stream.images.std),
        ]
    )
    pictures = as_classification_dataset(Pictures(stream, transform))
    benchmark = nc_benchmark(pictures, pictures, n_experiences=1, task_labels=False, shuffle=False)
    model, clock = stream.backbone(setting.BACKBONE), EpochClock()
    assert model.classes == CLASSES
    strategy = StockNaive(
        model=model.to(options.device),
        optimizer=torch.optim.Adam(model.parameters(), lr=1e-3),
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=options.batch_size,
        train_epochs=options.epochs,
        device=torch.device(options.device),
        plugins=[clock],
        evaluator=EvaluationPlugin(),
    )
    strategy.train(benchmark.train_stream[0], num_workers=options.workers, pin_memory=options.device == "cuda")
    return clock.warm(options.epochs)


def ours(stream: ImageStream, engine: str, options: Options) -> float:
    clock = EpochClock()
    strategy = make_strategy(
        "naive",
        stream,
        options.device,
        (clock,),
        engine=engine,
        epochs=options.epochs,
        batch_size=options.batch_size,
    )
    strategy.train(stream.train_stream[0])
    return clock.warm(options.epochs)


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", "No loggers specified")
    print(hardware(options.device))
    print(
        f"slim ResNet-18, {options.images} images, batch {options.batch_size}; medians of {options.epochs - 1} epochs\n"
    )
    stream = synthetic_stream([options.images])
    print_head("naive", "s an epoch", "times faster")
    ways: Sequence[tuple[str, Any]] = [
        (f"Avalanche's, {options.workers} workers", lambda: stock(stream, options)),
        *((f"ours, {engine}", lambda engine=engine: ours(stream, engine, options)) for engine in options.engines),
    ]
    first = None
    for name, way in ways:
        try:
            seconds = way()
        except Exception as error:
            print_row(name, reason(error))
            continue
        first = first or seconds
        print_row(name, seconds, first / seconds)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
