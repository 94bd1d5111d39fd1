"""What the speed scripts share: the hardware in words, a stream of synthetic images, and a clock of epochs."""

import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from avalanche.core import SupervisedPlugin
from torch.profiler import ProfilerActivity, profile

import strategies
from clhyper.data.images import ImageSet
from clhyper.data.stream import ImageStream, split_stream
from clhyper.options import Augmentation, StreamOptions

Device = Literal["cpu", "cuda"]
IMAGE_SHAPE = (3, 32, 32)
CLASSES = 5  # an experience
TEST_IMAGES = 10  # an experience
EPOCHS = 100  # of the stream that is multiplied out
BACKBONE = "slim-resnet18"
DEPTH = 2
STRATEGIES: dict[str, tuple[str, dict[str, Any]]] = {
    "partial-hypernetwork": ("PartialHypernetwork", {"freeze_depth": None, "generator": "additive"}),
    "full-hypernetwork": ("FullHypernetwork", {"generator": "additive"}),
    "partial-hypernetwork factored": ("PartialHypernetwork", {"freeze_depth": None}),
    "partial-hypernetwork chunked": ("PartialHypernetwork", {"freeze_depth": None, "generator": "chunked"}),
    "latent-replay": ("LatentReplay", {"freeze_depth": None}),
    "naive": ("Naive", {}),
    "replay": ("Replay", {}),
    "ewc": ("EWC", {}),
    "lwf": ("LwF", {}),
    "agem": ("AGEM", {}),
    "der": ("DER", {}),
    "separate": ("Separate", {"freeze_depth": None}),
}
"""What is timed: a strategy's class and its options by a name of ours; a freeze depth of None is `DEPTH`.

Joint training has no experiences to average."""


def synthetic_stream(images: Sequence[int], augmentation: Augmentation = "crop-flip") -> ImageStream:
    """A task-incremental stream of random 32x32 images, 5 classes an experience; `images`: of each experience."""
    numbers = np.random.default_rng(0)
    labels = np.concatenate([np.arange(count) % CLASSES + CLASSES * number for number, count in enumerate(images)])
    test_labels = np.repeat(np.arange(CLASSES * len(images)), TEST_IMAGES // CLASSES)
    x, x_test = (numbers.integers(0, 256, (len(y), *IMAGE_SHAPE), dtype=np.uint8) for y in (labels, test_labels))
    names = tuple(map(str, range(CLASSES * len(images))))
    data = ImageSet("synthetic", x, labels, x_test, test_labels, names, (0.5,) * 3, (0.25,) * 3, "synthetic")
    return split_stream(data, StreamOptions(experiences=len(images), augmentation=augmentation), "synthetic")


def make_strategy(name: str, stream: ImageStream, device: str, plugins: Sequence[Any] = (), **options: Any) -> Any:
    """The strategy called `name` in `STRATEGIES` on a new backbone; further options go to its constructor."""
    kind, own = STRATEGIES[name]
    depth = {"freeze_depth": DEPTH} if "freeze_depth" in own else {}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32  # as in every run
    torch.manual_seed(0)
    backbone = stream.backbone(BACKBONE)
    return getattr(strategies, kind)(backbone, device=device, plugins=list(plugins), **{**own, **depth, **options})


class EpochClock(SupervisedPlugin):
    """Seconds of each training epoch, device-synchronised; it asks for no hook within an epoch.

    `seconds`: of the experience's epochs so far. `starting`: called before each epoch with its number.
    """

    def __init__(self, starting: Callable[[int], None] = lambda epoch: None) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.starting = starting

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        self.seconds = []

    def before_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        self.starting(len(self.seconds))
        synchronise(strategy.device)
        self._started = time.perf_counter()

    def after_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        synchronise(strategy.device)
        self.seconds.append(time.perf_counter() - self._started)

    def warm(self, epochs: int) -> float:
        """Median seconds of the experience's first epochs but the very first, which may capture or compile."""
        return statistics.median(self.seconds[1:epochs] or self.seconds)


class KernelCounter(SupervisedPlugin):
    """Counts, while `on`, the kernels of the last epoch: `kernels` and `busy`, the device's seconds; CUDA only."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch, self.on = epoch, False
        self.kernels, self.busy = 0, 0.0
        self._profiler: Any = None

    def before_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        if self.on and strategy.device.type == "cuda" and strategy.clock.train_exp_epochs == self.epoch:
            self._profiler = profile(activities=[ProfilerActivity.CUDA])
            self._profiler.__enter__()

    def after_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        if self._profiler is None:
            return
        synchronise(strategy.device)
        self._profiler.__exit__(None, None, None)
        on_device = [event for event in self._profiler.events() if event.device_type.name == "CUDA"]
        self.kernels = len(on_device)
        self.busy = sum(event.device_time for event in on_device) / 1e6
        self._profiler = None


def synchronise(device: Any) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def hardware(device: str) -> str:
    """The device, with the processor and its threads, and the versions of what computes."""
    information = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", information.read_text()) if information.exists() else None
    processor = (
        f"{named[1] if named else platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
    )
    versions = f"PyTorch {torch.__version__}, Avalanche {metadata.version('avalanche-lib')}"
    on = f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda}), " if device == "cuda" else ""
    return f"{on}{processor}, {torch.get_num_threads()} threads; {versions}, Python {platform.python_version()}"


def reason(error: BaseException) -> str:
    """An error in one line, for the cell of a table."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:100].replace("|", "/")


def print_row(*cells: Any) -> None:
    """A row of a Markdown table, at once: what follows it may take long."""
    print("| " + " | ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells) + " |")
    sys.stdout.flush()


def print_head(*names: str) -> None:
    print_row(*names)
    print("|---" + "|---:" * (len(names) - 1) + "|")
