"""Exported files that are damaged or foreign are refused in a sentence."""

import json
import struct

import pytest
import safetensors.torch
import torch

import clhyper
from clhyper.backbones.tensor_file import from_bytes
from clhyper.errors import UserError
from clhyper.runs.export import export


@pytest.fixture
def exported(trained_folder, tmp_path):
    export(clhyper.trained(trained_folder("partial-hypernetwork")), 1, tmp_path, "safetensors")
    return tmp_path / "task-1.safetensors"


def rewritten(path, change, notes=lambda notes: notes):
    """The file with other tensors and notes."""
    tensors, said = from_bytes(path.read_bytes(), "file")
    metadata = {"clhyper": json.dumps(notes(said))}
    path.write_bytes(safetensors.torch.save(change(tensors), metadata=metadata))


@pytest.mark.parametrize(
    ("notes", "sentence"),
    [
        ({"backbone": "os.system"}, "unknown backbone 'os.system'"),
        ({"backbone": 5}, "damaged"),
        ({"image_shape": [1, 10**9, 10**9], "backbone": "mlp"}, "damaged"),
        ({"image_shape": "1x8x8"}, "damaged"),
        ({"image_shape": [1, -8, 8], "backbone": "mlp"}, "too small"),
        ({"classes": [1] * 10**6}, "damaged"),
        ({"norms": {"conv1": "none"}}, "damaged"),
        ({"norms": {"conv1": "instance"}}, "damaged"),
        ({"norms": None}, "damaged"),
        ({"format": "2"}, "no network of one task"),
    ],
)
def test_notes_that_do_not_fit_the_tensors_are_refused(notes, sentence, exported):
    rewritten(exported, lambda tensors: tensors, lambda said: {**said, **notes})
    with pytest.raises(UserError, match=sentence) as error:
        clhyper.load_exported(exported)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", ["missing", "extra", "shape", "type"])
def test_tensors_that_are_not_those_of_the_network_are_refused(case, exported):
    change = {
        "missing": lambda t: {name: value for name, value in t.items() if name != "classifier.bias"},
        "extra": lambda t: {**t, "extra": torch.zeros(1)},
        "shape": lambda t: {**t, "classifier.bias": torch.zeros(3)},
        "type": lambda t: {**t, "classifier.bias": torch.zeros(2, dtype=torch.float64)},
    }[case]
    rewritten(exported, change)
    with pytest.raises(UserError, match=r"task-1\.safetensors: damaged: its tensors"):
        clhyper.load_exported(exported)


def test_damaged_foreign_and_missing_files_are_refused(exported, tmp_path):
    whole = exported.read_bytes()
    for position in range(0, len(whole), 997):
        exported.write_bytes(whole[:position])
        with pytest.raises(UserError, match="not a readable safetensors file, or damaged"):
            clhyper.load_exported(exported)
    exported.write_bytes(struct.pack("<Q", 2**62) + whole[8:])
    with pytest.raises(UserError, match="not a readable safetensors file"):
        clhyper.load_exported(exported)
    safetensors.torch.save_file({"w": torch.zeros(2)}, exported)
    with pytest.raises(UserError, match="no network of one task"):
        clhyper.load_exported(exported)
    with pytest.raises(UserError, match="no such file"):
        clhyper.load_exported(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="can't be read"):
        clhyper.load_exported(tmp_path)
