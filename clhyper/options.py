"""Options that streams and strategies have in common.

Imports nothing heavy: the command line reads these classes, and those that extend them in `benchmarks/` and
`strategies/`, before it imports torch or Avalanche. The docstring under a field is its help on the command line.
"""

import dataclasses
import math
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from clhyper.errors import require, unknown

Norm = Literal["batch", "group", "instance"]
Augmentation = Literal["none", "flip", "crop-flip"]
Variant = Literal["none", "permuted", "rotated"]
OptimizerName = Literal["adam", "adamw", "sgd"]
Loading = Literal["auto", "device", "loader"]
EngineName = Literal["auto", "eager", "captured", "compiled"]

CORRUPTIONS: dict[str, float | None] = {
    "none": None,
    "solarize": 0.5,
    "blur": 0.9,
    "autocontrast": None,
    "grayscale": None,
}
"""Names of corruptions; for those that have a parameter its default: a threshold, and a deviation in pixels."""
PAPER_CORRUPTIONS = ("none", "solarize", "blur", "autocontrast+grayscale+blur:0.65")
"""The sequence of Hemati et al. 2023; its last deviation is drawn from 0.6 to 0.7 there, and fixed here (ours)."""
_LARGEST = {"solarize": 1.0, "blur": 10.0}

OptionsT = TypeVar("OptionsT")
_OWNERS = "clhyper: only with"


def only_with(**values: tuple[Any, ...]) -> dict[str, Any]:
    """Metadata of an option's field that belongs to some values of another option: `only_with(generator=("static",))`.

    Others can't set it; where they are compared, it isn't named.
    """
    return {_OWNERS: values}


def owners_of(option: "dataclasses.Field[Any]") -> dict[str, tuple[Any, ...]]:
    """What `only_with` said of an option's field: by the name of another option, the values of it that it belongs to.

    Empty for an option that belongs to all, whatever else its metadata hold.
    """
    found: dict[str, tuple[Any, ...]] = option.metadata.get(_OWNERS, {})
    return found


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How a data set becomes a stream of experiences."""

    experiences: int = 5
    """number of experiences that the classes are dealt to, in equal shares"""
    order_seed: int | None = None
    """seed that shuffles the classes before they are dealt, and permuted pixels; without it, classes come in the order
    of their numbers"""
    class_order: tuple[int, ...] = ()
    """the classes in the order in which they are dealt, each once; instead of --order-seed"""
    task_labels: bool = True
    """tell strategies the task (task-incremental); off: one label space (class-incremental; domain-incremental with a
    variant)"""
    image_size: int | None = None
    """side in pixels that images are resized to; without it, as they are"""
    validation: float = 0.0
    """share of the training images held out; runs are then evaluated on these and never read the test set"""
    augmentation: Augmentation = "none"
    """training augmentation: flip (horizontal), crop-flip (random crop with 4 pixels of padding, and flip)"""
    variant: Variant = "none"
    """every experience has all classes, each time in another domain: permuted (pixels shuffled alike in all images,
    experience 0 as it is) or rotated (experience i of n by i/n of --max-angle); none: the classes are dealt"""
    max_angle: float = 180.0
    """degrees over which a rotated stream is spread, counter-clockwise"""
    corrupt: tuple[str, ...] = ()
    """how images of experience 0, 1, ... are corrupted, in training and test alike, and over again if there are more:
    none, solarize, blur, autocontrast, grayscale, several joined as in grayscale+blur, with a threshold (solarize:0.5)
    or a deviation in pixels (blur:0.9); paper: none, solarize, blur, autocontrast+grayscale+blur:0.65"""
    classes_each: int | None = None
    """classes that each experience has, further ones are left out; with a variant they are dealt over and over, so
    that each comes again in other domains; without it, equal shares, or with a variant all classes"""
    alike: float | None = None
    """how alike experiences are, from 0 (as different as can be found) to 1 (as alike as can be found): which classes
    come together is chosen by the similarity of their training images, instead of by --class-order"""
    first: int | None = None
    """experiences that are used, from the first, dealt as without it; the rest are left out; without it, all"""
    images_each: int | None = None
    """training images of each experience at most, as many of one class as of another; without it, all"""
    test_images_each: int | None = None
    """test images of each experience at most, as many of one class as of another; with --validation, held-out images,
    which runs are then evaluated on; without it, all"""
    backbone: str = "slim-resnet18"
    """network that every strategy trains; `clhyper list` has the names"""

    def __post_init__(self) -> None:
        require(self.experiences >= 1, f"experiences {self.experiences}: at least 1")
        require(self.order_seed is None or self.order_seed >= 0, f"order_seed {self.order_seed}: at least 0")
        require(0 <= self.validation < 1, f"validation {self.validation}: a share from 0 up to, but not including, 1")
        require(
            not (self.class_order and self.order_seed is not None),
            "class_order and order_seed contradict each other: give one of them",
        )
        require(self.image_size is None or self.image_size >= 1, f"image_size {self.image_size}: at least 1 pixel")
        require(0 < self.max_angle <= 360, f"max_angle {self.max_angle}: more than 0 and at most 360 degrees")
        for name in self.corruptions:
            corruption_steps(name)
        for name in ("classes_each", "first", "images_each", "test_images_each"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name} {value}: at least 1")
        require(self.alike is None or 0 <= self.alike <= 1, f"alike {self.alike}: a share from 0 to 1")
        require(
            self.alike is None or not self.class_order,
            "alike and class_order contradict each other: give one of them",
        )
        require(
            self.alike is None or self.variant == "none",
            f"alike {self.alike} and variant {self.variant} contradict each other: in a variant all classes come again",
        )
        require(
            self.variant == "rotated" or self.max_angle == StreamOptions.max_angle,
            f"max_angle {self.max_angle}: variant {self.variant} turns no image, --variant rotated does",
        )
        require(
            self.variant != "permuted" or self.augmentation == "none",
            f"augmentation {self.augmentation} and variant permuted contradict each other, since neighbours among"
            " permuted pixels mean nothing: add --augmentation none",
        )

    @property
    def corruptions(self) -> tuple[str, ...]:
        """`corrupt` with `paper` spelled out."""
        return tuple(name for given in self.corrupt for name in (PAPER_CORRUPTIONS if given == "paper" else (given,)))


def corruption_steps(name: str) -> list[tuple[str, float] | tuple[str]]:
    """The steps of a corruption, each with its parameter if it has one: `grayscale+blur` is grayscale, then blur 0.9.

    Raises `UserError` for an unknown name, or a parameter that isn't right.
    """
    steps: list[tuple[str, float] | tuple[str]] = []
    for step in name.split("+"):
        kind, _, given = step.partition(":")
        if kind not in CORRUPTIONS:
            raise unknown("corruption", kind, (*CORRUPTIONS, "paper"))
        value = CORRUPTIONS[kind]
        if value is None:
            require(kind == step, f"corrupt {name}: {kind} takes no number")
            steps += [(kind,)] if kind != "none" else []
            continue
        if kind != step:
            try:
                value = float(given)
            except ValueError:
                value = math.nan
            require(
                0 < value <= _LARGEST[kind],
                f"corrupt {name}: {kind}:NUMBER with a number above 0 and at most {_LARGEST[kind]:g} is right",
            )
        steps.append((kind, value))
    return steps


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What all strategies share, so that a comparison is fair by default."""

    epochs: int = 10
    """passes over an experience's images"""
    batch_size: int = 64
    """images a training step"""
    learning_rate: float = 1e-3
    """learning rate of the optimizer"""
    optimizer: OptimizerName = "adam"
    """optimizer; its state starts anew at each experience"""
    norm: Norm = "batch"
    """normalisation of the back (the layers after the split)"""
    front_norm: Norm = "batch"
    """normalisation of the front (the layers before the split)"""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, f"epochs {self.epochs}: at least 1")
        require(self.batch_size >= 1, f"batch_size {self.batch_size}: at least 1")
        require(0 < self.learning_rate < math.inf, f"learning_rate {self.learning_rate}: more than 0, and finite")


@dataclass(frozen=True, kw_only=True)
class DepthOptions(TrainingOptions):
    """Options of strategies that freeze the first stages of the backbone."""

    freeze_depth: int = 2
    """number of stages that are frozen after the first experience (0: none)"""
    front: Path | None = None
    """checkpoint of a pretrained front, frozen from the start; without it, the first experience trains the front"""
    augmentation_views: int | None = None
    """compute the frozen front's features once for this many augmented views of each image, one of them drawn at every
    visit; another distribution than fresh augmentation, which is used without it, before the front is frozen, and where
    the views' features don't fit into memory"""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.freeze_depth >= 0, f"freeze_depth {self.freeze_depth}: at least 0")
        views = self.augmentation_views
        require(views is None or views >= 1, f"augmentation_views {views}: at least 1")
        require(
            views is None or self.freeze_depth > 0,
            f"augmentation_views {views} and freeze_depth 0 contradict each other: with nothing frozen no features can"
            " be kept",
        )
        require(
            self.front is None or self.freeze_depth > 0,
            "front and freeze_depth 0 contradict each other: with nothing frozen there is no front to load",
        )


def check_engine(engine: str, device: str) -> None:
    """Raises `UserError` for an unknown engine, or for one that a kind of device (cpu or cuda) can't have."""
    if engine not in typing.get_args(EngineName):
        raise unknown("engine", engine, typing.get_args(EngineName))
    require(
        engine != "captured" or device == "cuda",
        f"engine captured: captures CUDA graphs, and the device is {device}; choose eager or compiled",
    )


def build(options_class: type[OptionsT], owner: str, values: dict[str, Any]) -> OptionsT:
    """An instance of `options_class` from keyword `values`; paths may be given as text, tuples as lists.

    Raises:
        UserError: an unknown name or choice, with the nearest right one, or a value out of range.
    """
    known = [field.name for field in dataclasses.fields(options_class)]  # type: ignore[arg-type]
    hints = typing.get_type_hints(options_class)
    for name in values:
        if name not in known:
            raise unknown(f"option of {owner}", name, known)
        choices = typing.get_args(hints[name]) if typing.get_origin(hints[name]) is Literal else ()
        if choices and values[name] not in choices:
            raise unknown(name, str(values[name]), choices)
    return options_class(**{name: _as_type(value, hints[name]) for name, value in values.items()})


def _as_type(value: Any, hint: Any) -> Any:
    if isinstance(value, str) and Path in (hint, *typing.get_args(hint)):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value
