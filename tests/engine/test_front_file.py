import contextlib
import functools
import hashlib
import io
import os
import pickle
import warnings
import zipfile
from dataclasses import dataclass

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from clhyper.backbones import SlimResNet18, SmallConvNet, set_norm, split
from clhyper.backbones.tensor_file import to_bytes
from clhyper.engine.front import load_front
from clhyper.errors import UserError
from strategies import Naive

DEPTH = 2


def a_backbone(seed=0):
    torch.manual_seed(seed)
    return SmallConvNet(classes=2)


def a_front(seed=0):
    return split(a_backbone(seed), DEPTH)[0]


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_front_is_filled_from_the_state_of_a_whole_backbone_or_of_a_front(tmp_path):
    pretrained = a_backbone(seed=1)
    for source in (pretrained, split(pretrained, DEPTH)[0]):
        torch.save(source.state_dict(), tmp_path / "front.pt")
        front = a_front(seed=2)
        load_front(front, tmp_path / "front.pt")
        wanted = split(pretrained, DEPTH)[0].state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in front.state_dict().items())


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path):
    proof = tmp_path / "it-ran"
    hostile = {**a_front().state_dict(), "extra": RunsCode(proof)}
    torch.save(hostile, tmp_path / "zipped.pt")
    torch.save(hostile, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(RunsCode(proof)))
    for name in ("zipped.pt", "legacy.pt", "bare.pt"):
        with pytest.raises(UserError, match="not a readable checkpoint of tensors"):
            load_front(a_front(), tmp_path / name)
        with pytest.raises(UserError):
            Naive(a_backbone(), freeze_depth=DEPTH, front=tmp_path / name)
    assert not proof.exists()
    pickle.loads((tmp_path / "bare.pt").read_bytes())
    assert proof.exists()  # so the file is hostile indeed


def test_a_missing_file_is_named_with_what_would_be_right(tmp_path):
    with pytest.raises(UserError, match=r"no-front.pt: no such file; give what `clhyper pretrain` writes, or"):
        Naive(a_backbone(), freeze_depth=DEPTH, front=str(tmp_path / "no-front.pt"))


def test_a_folder_and_an_empty_file_are_no_checkpoints(tmp_path):
    (tmp_path / "empty.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"can't be read \(is a directory\)"):
        load_front(a_front(), tmp_path)
    with pytest.raises(UserError, match="not a readable checkpoint of tensors, or damaged"):
        load_front(a_front(), tmp_path / "empty.pt")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([torch.zeros(2)], "holds a list, not a state dict"),
        (torch.zeros(2), "holds a Tensor, not a state dict"),
        ({}, "has no tensor 'conv1.0.weight', which the front of this backbone and depth needs"),
        ({"conv1.0.weight": torch.zeros(3)}, r"tensor 'conv1.0.weight' has shape \(3,\), the front needs \(16, 1"),
        ({"conv1.0.weight": 5}, "tensor 'conv1.0.weight' is no dense tensor of numbers"),
        ({5: torch.zeros(2)}, "has no tensor 'conv1.0.weight'"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_and_says_what_is_wrong(content, sentence, tmp_path):
    torch.save(content, tmp_path / "front.pt")
    front = a_front()
    before = {name: value.clone() for name, value in front.state_dict().items()}
    with pytest.raises(UserError, match=sentence):
        load_front(front, tmp_path / "front.pt")
    assert all(torch.equal(before[name], value) for name, value in front.state_dict().items())


def with_one_value(value):
    return lambda tensor: torch.cat([tensor.flatten()[1:], torch.tensor([value], dtype=tensor.dtype)]).view_as(tensor)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("conv1.0.weight", with_one_value(float("nan")), "has values that are not finite"),
        ("conv2.1.running_var", with_one_value(float("inf")), "has values that are not finite"),
        ("conv1.0.weight", lambda tensor: tensor.double() + 1e300, "has values that are not finite"),
        ("conv1.0.weight", torch.Tensor.to_sparse, "is no dense tensor of numbers"),
        ("conv1.0.weight", lambda tensor: tensor.flatten(1).to_sparse_csr(), "is no dense tensor of numbers"),
        ("conv1.0.weight", lambda tensor: tensor.to("meta"), "is no dense tensor of numbers"),
        ("conv1.0.weight", lambda tensor: tensor.to(torch.int8), "is of type int8, the front needs float32"),
        ("conv1.0.weight", lambda tensor: tensor.to(torch.complex64), "is of type complex64, the front needs float32"),
        ("conv1.0.weight", lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "is of type qint8"),
        ("conv1.1.num_batches_tracked", torch.Tensor.float, "is of type float32, the front needs int64"),
    ],
)
def test_tensors_that_are_not_dense_finite_and_of_the_right_type_are_refused_without_a_warning(
    name, change, sentence, tmp_path
):
    state = a_front().state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({**state, name: change(state[name])}, tmp_path / "front.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=f"front.pt: tensor '{name}' {sentence}") as error:
            load_front(a_front(), tmp_path / "front.pt")
    assert "\n" not in str(error.value)


def test_a_front_in_half_or_double_precision_is_converted(tmp_path):
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        torch.save(a_front(seed=1).to(dtype).state_dict(), tmp_path / "front.pt")
        front = a_front(seed=2)
        load_front(front, tmp_path / "front.pt")
        wanted = a_front(seed=1).state_dict()["conv1.0.weight"].to(dtype).float()
        assert torch.equal(front.state_dict()["conv1.0.weight"], wanted)


def test_a_front_of_another_norm_or_depth_is_refused(tmp_path):
    torch.save(split(a_backbone(), 1)[0].state_dict(), tmp_path / "front.pt")
    with pytest.raises(UserError, match=r"has no tensor 'conv2\.0\.weight'"):
        Naive(a_backbone(), freeze_depth=DEPTH, front=tmp_path / "front.pt")
    Naive(a_backbone(), freeze_depth=1, front=tmp_path / "front.pt")
    without_statistics = {name: v for name, v in a_front().state_dict().items() if "running" not in name}
    torch.save(without_statistics, tmp_path / "front.pt")
    with pytest.raises(UserError, match=r"has no tensor 'conv1\.1\.running_mean'"):
        Naive(a_backbone(), freeze_depth=DEPTH, front=tmp_path / "front.pt")


NOTES = {
    "stream": "split-npz",
    "classes": [9, 4, 5, 6],
    "data": "abc",
    "backbone": "small-convnet",
    "image_shape": [1, 8, 8],
    "norms": {"conv1": "batch", "conv2": "batch", "conv3": "batch"},
}


def a_noted_file(path, **notes):
    path.write_bytes(to_bytes(a_backbone(seed=1).state_dict(), {**NOTES, **notes}))
    return path


@dataclass
class Images:
    fingerprint: str


def test_a_safetensors_file_fills_a_front_with_its_notes_or_without(tmp_path):
    noted = a_noted_file(tmp_path / "noted.safetensors")
    safetensors.torch.save_file(a_backbone(seed=1).state_dict(), tmp_path / "bare.safetensors")
    wanted = split(a_backbone(seed=1), DEPTH)[0].state_dict()
    for path in (noted, tmp_path / "bare.safetensors"):
        strategy = Naive(a_backbone(seed=2), freeze_depth=DEPTH, front=path)
        held = strategy.model.front.state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in held.items())
        assert strategy.model.front_frozen
        assert strategy.front_file.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert strategy.front_source == str(tmp_path / "bare.safetensors")
    assert Naive(a_backbone(), freeze_depth=DEPTH, front=noted).front_source == f"split-npz classes 4-6,9 ({noted})"


def test_the_source_counts_the_streams_classes_that_the_front_has_seen_in_the_same_data(tmp_path):
    path = a_noted_file(tmp_path / "f.safetensors")
    front = load_front(a_front(), path)
    assert front.source(Images("abc"), [0, 5, 9]) == f"split-npz classes 4-6,9, 2 of them in this stream ({path})"
    assert front.source(Images("abc"), [0, 1]) == f"split-npz classes 4-6,9 ({path})"
    assert front.source(Images("abd"), [0, 5, 9]) == f"split-npz classes 4-6,9 ({path})"


@pytest.mark.parametrize("notes", [{"stream": 5}, {"stream": "a\x1b[2J"}, {"classes": "4-6"}, {"classes": ["4"]}])
def test_notes_of_another_kind_leave_the_files_name_as_the_source(notes, tmp_path):
    path = a_noted_file(tmp_path / "f.safetensors", **notes)
    assert load_front(a_front(), path).source() == str(path)


@pytest.mark.parametrize("norm", ["group", "instance"])
def test_a_front_trained_with_another_norm_is_refused_though_its_tensors_fit(norm, tmp_path):
    noted = a_noted_file(tmp_path / "f.safetensors")
    torch.save(a_backbone().state_dict(), tmp_path / "f.pt")
    for path in (noted, tmp_path / "f.pt"):
        with pytest.raises(UserError, match=f"was trained with batch norm, and this front has {norm} norm; choose --f"):
            Naive(a_backbone(), freeze_depth=DEPTH, front=path, front_norm=norm)
    other = a_backbone()
    set_norm(other, norm)
    noted.write_bytes(to_bytes(other.state_dict(), {**NOTES, "norms": dict.fromkeys(NOTES["norms"], norm)}))
    with pytest.raises(UserError, match=f"was trained with {norm} norm, and this front has batch norm"):
        Naive(a_backbone(), freeze_depth=DEPTH, front=noted)
    Naive(a_backbone(), freeze_depth=DEPTH, front=noted, front_norm=norm)


def test_a_front_of_another_backbone_or_shape_is_refused_with_what_the_file_holds(tmp_path):
    path = a_noted_file(tmp_path / "f.safetensors")
    with pytest.raises(UserError, match=r"no tensor 'layer1.*; it holds small-convnet for images of 1x8x8$"):
        Naive(SlimResNet18((1, 16, 16)), freeze_depth=1, front=path)
    with pytest.raises(UserError, match=r"'conv1.0.weight' has shape .*; it holds small-convnet for images of 1x8x8$"):
        Naive(SmallConvNet((3, 8, 8)), freeze_depth=1, front=path)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_a_damaged_safetensors_file_is_refused_or_read_and_nothing_else_happens(tmp_path, data):
    whole = a_noted_file(tmp_path / "f.safetensors").read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    position = data.draw(some.one_of(some.integers(0, end), some.integers(0, len(whole) - 1)))
    path = tmp_path / "damaged.safetensors"
    if data.draw(some.booleans()):
        path.write_bytes(whole[:position])
        with pytest.raises(UserError, match=r"damaged\.safetensors: not a readable safetensors file, or damaged"):
            load_front(a_front(), path)
    else:
        path.write_bytes(_changed(whole, position, data.draw(some.binary(min_size=1, max_size=8))))
        with contextlib.suppress(UserError):
            load_front(a_front(), path).source()


def test_a_pickle_that_calls_itself_safetensors_is_refused_and_runs_nothing(tmp_path):
    proof = tmp_path / "it-ran"
    (tmp_path / "f.safetensors").write_bytes(pickle.dumps(RunsCode(proof)))
    with pytest.raises(UserError, match="not a readable safetensors file, or damaged"):
        load_front(a_front(), tmp_path / "f.safetensors")
    torch.save({"w": RunsCode(proof)}, tmp_path / "f.safetensors")
    with pytest.raises(UserError, match="not a readable safetensors file, or damaged"):
        load_front(a_front(), tmp_path / "f.safetensors")
    assert not proof.exists()


@functools.cache
def whole_file():
    file = io.BytesIO()
    torch.save(a_front().state_dict(), file)
    return file.getvalue()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_a_damaged_file_is_refused_or_read_and_nothing_else_happens(tmp_path, data):
    whole = whole_file()
    position = data.draw(some.integers(0, len(whole) - 1))
    damage = data.draw(some.sampled_from(["cut", "change"]))
    content = (
        whole[:position]
        if damage == "cut"
        else _changed(whole, position, data.draw(some.binary(min_size=1, max_size=8)))
    )
    path = tmp_path / "damaged.pt"
    path.write_bytes(content)
    if damage == "cut":
        with pytest.raises(UserError, match=r"damaged\.pt"):
            load_front(a_front(), path)
    else:
        with contextlib.suppress(UserError):
            load_front(a_front(), path)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=some.binary(min_size=1, max_size=60))
def test_any_bytes_as_a_pickle_inside_a_checkpoint_are_refused(tmp_path, content):
    path = tmp_path / "odd.pt"
    with zipfile.ZipFile(io.BytesIO(whole_file())) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, content if name.endswith("data.pkl") else source.read(name))
    with pytest.raises(UserError, match=r"odd\.pt"):
        load_front(a_front(), path)


def _changed(whole, position, patch):
    return whole[:position] + patch + whole[position + len(patch) :]
