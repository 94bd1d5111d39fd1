"""Loading a pretrained front from a file, and saying where it came from."""

import hashlib
import io
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clhyper.backbones.norm import norm_of
from clhyper.backbones.tensor_file import SUFFIX, from_bytes, read_bytes
from clhyper.errors import UserError, require

_INSTEAD = "what `clhyper pretrain` writes, or a checkpoint saved with torch.save(backbone.state_dict())"
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class FrontFile:
    """A front that was loaded: its file, the SHA-256 of the file's content, and the notes in it, if there are any."""

    path: Path
    digest: str
    notes: dict[str, Any]

    def source(self, images: Any = None, classes: Sequence[int] = ()) -> str:
        """Where the front came from, in words: `split-cifar100 classes 50-99 (fronts/c100.safetensors)`.

        Args:
            images: A stream's `ImageSet`. If the front was trained on the same data, the words say how many of
                `classes`, the stream's, it has seen.
        """
        stream, seen = self.notes.get("stream"), _numbers(self.notes.get("classes"))
        if not (isinstance(stream, str) and stream.isprintable() and seen):
            return str(self.path)
        shared = len({*seen} & {*classes}) if images and self.notes.get("data") == images.fingerprint else 0
        overlap = f", {shared} of them in this stream" if shared else ""
        return f"{stream} classes {_ranges(seen)}{overlap} ({self.path})"


def digest(path: Path | None) -> str | None:
    """SHA-256 of a front's file; None without a front. Raises `UserError` if it can't be read."""
    return None if path is None else hashlib.sha256(read_bytes(path, "front", _INSTEAD)).hexdigest()


def load_front(front: nn.Module, path: Path) -> FrontFile:
    """Fills a front from a checkpoint: the state dict of a front or of a whole backbone with the same stage names.

    A `.safetensors` file, with the notes of `clhyper pretrain` or without, or what torch.save wrote. Only tensors are
    read (`weights_only`), so a hostile file can't run code.

    Raises:
        UserError: no such file, no checkpoint of tensors, another norm, or tensors missing, of another shape or type,
            or not finite.
    """
    content = read_bytes(path, "front", _INSTEAD)
    if path.suffix == SUFFIX:
        tensors, notes = from_bytes(content, f"front {path}")
    else:
        tensors, notes = _from_torch(content, path), {}
    _check_norm(front, path, tensors, notes)
    wanted = front.state_dict()
    for name, value in wanted.items():
        require(
            name in tensors,
            f"front {path}: has no tensor {name!r}, which the front of this backbone and depth needs{_made_as(notes)}",
        )
        _check_tensor(tensors[name], value, f"front {path}: tensor {name!r}", _made_as(notes))
    front.load_state_dict({name: tensors[name] for name in wanted})
    return FrontFile(path, hashlib.sha256(content).hexdigest(), notes)


def _check_tensor(found: Any, wanted: Tensor, what: str, made_as: str) -> None:
    """Raises `UserError`, beginning with `what`, unless `found` can be copied into `wanted` and says what it says."""
    dense = isinstance(found, Tensor) and found.layout == torch.strided and not (found.is_nested or found.is_meta)
    require(dense, f"{what} is no dense tensor of numbers, which the front needs{made_as}")
    require(
        found.shape == wanted.shape,
        f"{what} has shape {tuple(found.shape)}, the front needs {tuple(wanted.shape)}{made_as}",
    )
    fits = found.dtype in _FLOATS if wanted.is_floating_point() else found.dtype == wanted.dtype
    require(fits, f"{what} is of type {_word(found.dtype)}, the front needs {_word(wanted.dtype)}{made_as}")
    finite = bool(found.to(wanted.dtype).isfinite().all())  # a float64 may be finite and too large for a float32
    require(finite, f"{what} has values that are not finite; give a front whose training did not diverge")


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _from_torch(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():  # torch's own, on sparse tensors and other files' protocols
            warnings.simplefilter("ignore")
            tensors = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # on damaged files torch raises whatever its unpickler stumbles on: IndexError, struct.error, ...
        raise UserError(f"front {path}: not a readable checkpoint of tensors, or damaged") from None
    if not isinstance(tensors, dict):
        raise UserError(f"front {path}: holds a {type(tensors).__name__}, not a state dict of named tensors")
    return {name: tensor for name, tensor in tensors.items() if isinstance(name, str)}


def _check_norm(front: nn.Module, path: Path, tensors: dict[str, Tensor], notes: dict[str, Any]) -> None:
    """Scale and shift fit every norm, so that another norm would be loaded without a word."""
    noted = notes.get("norms")
    for name, stage in front.named_children():
        norm = norm_of(stage)
        trained = noted.get(name) if isinstance(noted, dict) else None
        if trained is None and any(key.startswith(f"{name}.") and key.endswith("running_mean") for key in tensors):
            trained = "batch"
        require(
            norm is None or trained in (None, norm),
            f"front {path}: was trained with {trained} norm, and this front has {norm} norm;"
            f" choose --front-norm {trained}",
        )


def _made_as(notes: dict[str, Any]) -> str:
    """What the file holds according to its notes, as the end of a sentence."""
    backbone, shape = notes.get("backbone"), _numbers(notes.get("image_shape"))
    if not (isinstance(backbone, str) and backbone.isprintable() and shape):
        return ""
    return f"; it holds {backbone} for images of {'x'.join(map(str, shape))}"


def _numbers(values: Any) -> list[int]:
    """`values` if it is a list of whole numbers, else none."""
    return values if isinstance(values, list) and all(type(value) is int for value in values) else []


def _ranges(numbers: Sequence[int]) -> str:
    """[0, 1, 2, 4] as 0-2,4."""
    runs = [
        [number for _, number in run]
        for _, run in itertools.groupby(enumerate(sorted(numbers)), lambda item: item[1] - item[0])
    ]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
