"""Safetensors files with notes: tensors by name and a dict of plain values, and nothing that could run."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from clhyper.errors import UserError

SUFFIX = ".safetensors"
_KEY = "clhyper"


def to_bytes(tensors: dict[str, Tensor], notes: dict[str, Any]) -> bytes:
    """A safetensors file of `tensors` whose metadata hold `notes` as JSON."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(plain, metadata={_KEY: json.dumps(notes)})


def from_bytes(content: bytes, what: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and notes of a safetensors file; the notes of a file that has none of ours are empty.

    Raises:
        UserError: `content` is damaged or of another format; the sentence begins with `what`.
    """
    try:
        tensors = safetensors.torch.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except Exception:  # damaged or hostile headers raise KeyError, ValueError, SafetensorError, ...
        raise UserError(f"{what}: not a readable safetensors file, or damaged") from None
    try:
        notes = json.loads(header["__metadata__"][_KEY])
    except (KeyError, TypeError, ValueError, RecursionError):
        notes = {}
    return tensors, notes if isinstance(notes, dict) else {}


def read_bytes(path: Path, what: str, instead: str) -> bytes:
    """The file's content; raises `UserError`, beginning with `what` and the path, with what to give `instead`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{what} {path}: no such file; give {instead}") from None
    except OSError as error:
        raise UserError(f"{what} {path}: can't be read ({(error.strerror or 'unreadable').lower()})") from None
