"""One task's network as ordinary layers, as safetensors and as ONNX."""

import copy
import dataclasses
import functools
import hashlib
import json
import struct

import pytest
import safetensors.torch
import torch
from small_sweeps import HYPERNETWORK, write_archive
from torch import nn
from trained_runs import STRATEGIES, WITHOUT_LABELS, trained_run

import clhyper
from benchmarks import SplitDigits
from clhyper.backbones.tensor_file import from_bytes
from clhyper.errors import RunError, UserError
from clhyper.registry import find, option_defaults
from clhyper.runs import export as module
from clhyper.runs.evaluate import evaluate
from clhyper.runs.export import BATCHES, export, original_classes, task_images
from clhyper.runs.files import read_json
from clhyper.runs.onnx_file import OnnxNetwork

NORMS = ("batch", "group", "instance")
LAYERS = (
    nn.Conv2d,
    nn.Linear,
    nn.ReLU,
    nn.BatchNorm2d,
    nn.GroupNorm,
    nn.InstanceNorm2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
)


@functools.cache
def digits(task_labels=True):
    return SplitDigits(backbone="small-convnet", task_labels=task_labels)


def untrained(strategy, depth, norm, task_labels=True, **options):
    """A strategy that has room for two experiences and whose running statistics have moved, untrained."""
    entry = find("strategy", strategy)
    options = {"freeze_depth": depth, "norm": norm, "front_norm": norm, **HYPERNETWORK, **options}
    known = {name: value for name, value in options.items() if name in option_defaults(entry.options())}
    torch.manual_seed(depth)
    made = entry.load()(digits(task_labels).backbone(), **known)
    model = made.model.train()
    for experience in list(digits(task_labels).train_stream)[:2]:
        model.adaptation(experience)
        x = experience.images.preparation.normalise(experience.images.x()[:32])
        with torch.no_grad():
            model(x, experience.task_label)
    return model.eval()


def inputs(task, task_labels=True):
    images = digits(task_labels).test_stream[task].images
    return images.preparation.normalise(images.x()[:9])


@pytest.mark.parametrize("depth", [0, 3])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_task_in_ordinary_layers_gives_the_models_logits_bit_for_bit(strategy, norm, depth):
    model = untrained(strategy, depth, norm)
    before = copy.deepcopy(model.state_dict())
    for task in (0, 1):
        plain = model.plain(task)
        assert torch.equal(plain(inputs(task)), model(inputs(task), task))
        assert list(dict(plain.named_children())) == ["conv1", "conv2", "conv3", "classifier"]
        assert all(isinstance(layer, LAYERS) for layer in plain.modules() if not list(layer.children()))
        assert not any(p.requires_grad for p in plain.parameters())
        assert not any(layer.training or layer._forward_hooks or layer._forward_pre_hooks for layer in plain.modules())
        with torch.no_grad():
            for tensor in plain.state_dict().values():
                tensor.zero_()  # it shares nothing
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("strategy", WITHOUT_LABELS)
def test_without_task_labels_task_0_has_all_classes_seen(strategy):
    model = untrained(strategy, 1, "batch", task_labels=False)
    for number in (0, 1):
        x = inputs(number, task_labels=False)
        assert torch.equal(model.plain(0)(x), model(x, 0))
    assert model.plain(0)(x).shape == (9, 4)
    with pytest.raises(UserError, match="task 1: not learned by this model, whose tasks are: 0"):
        model.plain(1)


@pytest.mark.parametrize("strategy", ["naive", "separate", "partial-hypernetwork"])
def test_outputs_that_are_none_of_the_tasks_classes_are_left_out_and_the_rest_stay_in_the_order_of_labels(strategy):
    """Avalanche's own streams may give a task the labels 4 and 2, in that order, with other widths beside it."""
    model = untrained(strategy, 1, "group")
    model.classes_of[1] = [1]
    state = torch.get_rng_state()
    torch.testing.assert_close(model.plain(1)(inputs(1)), model(inputs(1), 1)[:, [1]], rtol=1e-6, atol=1e-6)
    model.classes_of[1] = [1, 0]
    assert torch.equal(model.plain(1)(inputs(1)), model(inputs(1), 1))
    assert torch.equal(torch.get_rng_state(), state)


def test_what_the_chunked_generator_generates_is_put_into_ordinary_layers_too():
    model = untrained("partial-hypernetwork", 1, "batch", generator="chunked", rank=56)  # the default, as others' are
    assert type(model.hypernetwork).__name__ == "ChunkedHypernetwork"
    for task in (0, 1):
        assert torch.equal(model.plain(task)(inputs(task)), model(inputs(task), task))


def test_each_task_of_a_generator_with_batch_norm_has_its_own_statistics():
    model = untrained("partial-hypernetwork", 1, "batch")
    first, second = (model.plain(task).state_dict() for task in (0, 1))
    assert torch.equal(first["conv1.1.running_mean"], second["conv1.1.running_mean"])
    assert not torch.equal(first["conv2.1.running_mean"], second["conv2.1.running_mean"])


# Files


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("data") / "a.npz", classes=4)


@pytest.fixture(scope="module")
def ordered(archive, tmp_path_factory):
    """A run whose classes come in an order of their own."""
    return trained_run(archive, tmp_path_factory.mktemp("ordered"), "partial-hypernetwork", class_order=(3, 1, 0, 2))


@pytest.fixture
def exported(ordered, tmp_path):
    export(clhyper.trained(ordered), 1, tmp_path, "safetensors")
    return tmp_path / "task-1.safetensors"


@pytest.mark.parametrize(
    ("strategy", "task_labels"), [(name, True) for name in STRATEGIES] + [(name, False) for name in WITHOUT_LABELS]
)
def test_a_run_of_every_strategy_is_exported_and_read_again_with_equal_logits(
    strategy, task_labels, trained_folder, tmp_path
):
    run = clhyper.trained(trained_folder(strategy, task_labels))
    task = int(task_labels)
    (file,) = export(run, task, tmp_path / "out", "safetensors")
    network = clhyper.load_exported(file.path)
    for number, experience in enumerate(run.stream.test_stream):
        if task in experience.classes_by_task:
            found = network(experience.images.x().float() / 255).argmax(1)
            assert (found == experience.images.labels).float().mean().item() == pytest.approx(run.recorded[number])
    assert file.difference <= 1e-6
    assert file.bytes == file.path.stat().st_size


def test_the_files_say_what_goes_in_what_comes_out_and_where_they_are_from(ordered, archive, tmp_path):
    run = clhyper.trained(ordered)
    files = export(run, 1, tmp_path)
    assert [file.path.name for file in files] == ["task-1.safetensors", "task-1.onnx"]
    said = read_json(tmp_path / "task-1.json")
    assert said["classes"] == [0, 2]
    assert said["class_names"] == ["0", "2"]
    assert said["input"] == {"name": "images", "type": "float32", "shape": ["batch", 1, 8, 8], "values": "0 to 1"}
    assert said["output"]["shape"] == ["batch", 2]
    assert (said["run"], said["task"], said["strategy"]) == (ordered.name, 1, "partial-hypernetwork")
    for file in files:
        assert said["files"][file.path.name]["bytes"] == file.path.stat().st_size
        assert said["files"][file.path.name]["sha256"] == file.sha256
    images = task_images(run, 1)
    model = run.strategy.model
    onnx = OnnxNetwork(files[1].path.read_bytes())
    for size in BATCHES:
        wanted = model(run.stream.test_stream[1].images.preparation.normalise(images[:size]), 1)
        assert (onnx(images[:size].float() / 255) - wanted).abs().max() < 1e-5
    assert str(module.__file__).rpartition("/")[0].encode() not in files[1].path.read_bytes()
    assert b".py" not in files[1].path.read_bytes()


def test_the_checked_images_are_of_every_experience_of_the_task(trained_folder):
    run = clhyper.trained(trained_folder("naive", task_labels=False))
    assert original_classes(run, 0) == [0, 1, 2, 3]
    expected = torch.cat([e.images.x()[:20] for e in run.stream.test_stream])
    assert torch.equal(task_images(run, 0), expected)


def test_a_file_that_gives_other_logits_fails_the_export_and_nothing_is_written(ordered, tmp_path, monkeypatch):
    def slightly_off(content, what):
        network = real(content, what)
        network.classifier.bias[0] += 1e-4
        return network

    real = module.rebuild
    monkeypatch.setattr(module, "rebuild", slightly_off)
    with pytest.raises(RunError, match=r"task 0: the safetensors file gives logits that differ .* by 0\.0001"):
        export(clhyper.trained(ordered), 0, tmp_path / "out", "safetensors")
    assert not (tmp_path / "out").exists()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_files_of_another_runs_task_are_not_replaced_and_the_run_is_named(ordered, trained_folder, tmp_path):
    other = trained_folder("naive")
    export(clhyper.trained(other), 1, tmp_path, "safetensors")
    before = contents(tmp_path)
    for format in ("safetensors", "onnx"):
        with pytest.raises(UserError, match=f"has task 1 of run '{other.name}'; give another folder or move its files"):
            export(clhyper.trained(ordered), 1, tmp_path, format)
    assert contents(tmp_path) == before
    (tmp_path / "task-1.json").unlink()
    with pytest.raises(UserError, match=r"task 1 of an unknown run \(task-1\.json is missing or damaged\)"):
        export(clhyper.trained(ordered), 1, tmp_path, "safetensors")
    export(clhyper.trained(ordered), 0, tmp_path, "safetensors")  # another task's files are in nobody's way


def test_a_format_that_is_exported_later_is_described_beside_the_one_that_is_there(ordered, tmp_path):
    run = clhyper.trained(ordered)
    for format in ("onnx", "safetensors", "safetensors"):
        export(run, 1, tmp_path, format)
    said = read_json(tmp_path / "task-1.json")["files"]
    assert sorted(said) == ["task-1.onnx", "task-1.safetensors"]
    for name, entry in said.items():
        assert entry["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    (tmp_path / "task-1.onnx").write_bytes(b"changed")
    with pytest.raises(UserError, match=r"task-1\.onnx: of an earlier state of this run, or changed since; export --f"):
        export(run, 1, tmp_path, "safetensors")
    export(run, 1, tmp_path)
    with pytest.raises(UserError, match=r"task-1\.onnx: of an earlier state of this run"):
        export(dataclasses.replace(run, experiences=3), 1, tmp_path, "safetensors")


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


# What is shipped


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bytes_a_task_are_what_must_be_sent_to_a_device_that_has_what_tasks_share(strategy, trained_folder):
    """The device has the model without anything of task 1; the bytes sent make it predict as the model does."""
    folder = trained_folder(strategy)
    run, device = clhyper.trained(folder), clhyper.trained(folder)
    model, on_device = run.strategy.model, device.strategy.model
    own = [tensor.detach() for tensor in on_device.task_tensors(1)]
    for tensor in own:
        tensor.zero_()
    images = run.stream.test_stream[1].images
    x = images.preparation.normalise(images.x())
    assert not torch.equal(on_device(x, 1), model(x, 1))
    sent = safetensors.torch.save({str(i): tensor.detach() for i, tensor in enumerate(model.task_tensors(1))})
    for index, tensor in safetensors.torch.load(sent).items():
        own[int(index)].copy_(tensor)
    assert torch.equal(on_device(x, 1), model(x, 1))
    header = 8 + int.from_bytes(sent[:8], "little")
    result = read_json(folder / "result.json")
    assert result["cost"]["bytes_per_task"] == len(sent) - header
    assert result["cost"]["batch_ms"] > 0
    generates = "hypernetwork" in strategy
    assert (result["cost"]["generation_ms"] is not None) == generates
    assert result["reasons"].get("generation_ms") == (None if generates else "nothing is generated")


@pytest.mark.parametrize("strategy", WITHOUT_LABELS)
def test_without_task_labels_bytes_a_task_are_null_with_the_reason(strategy, trained_folder):
    result = read_json(trained_folder(strategy, task_labels=False) / "result.json")
    assert result["cost"]["bytes_per_task"] is None
    assert "share one head" in result["reasons"]["bytes_per_task"]
    assert result["cost"]["batch_ms"] > 0


# ONNX of everything


@pytest.mark.slow
@pytest.mark.parametrize("depth", [0, 3])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_onnx_equals_every_strategy_at_every_norm_and_at_both_ends_of_depth(strategy, norm, depth, archive, tmp_path):
    folder = trained_run(archive, tmp_path, strategy, norm=norm, front_norm=norm, freeze_depth=depth)
    (file,) = export(clhyper.trained(folder), 1, tmp_path / "out", "onnx")
    assert file.difference < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("strategy", WITHOUT_LABELS)
def test_onnx_equals_every_strategy_without_task_labels(strategy, archive, tmp_path):
    (file,) = export(clhyper.trained(trained_run(archive, tmp_path, strategy, task_labels=False)), 0, tmp_path, "onnx")
    assert file.difference < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_onnx_equals_the_slim_resnet_and_the_perceptron(norm, tmp_path):
    archive = write_archive(tmp_path / "a.npz", classes=4)
    for backbone, size in (("slim-resnet18", 16), ("mlp", 8)):
        folder = trained_run(archive, tmp_path, "naive", backbone=backbone, image_size=size, norm=norm)
        (file,) = export(clhyper.trained(folder), 1, tmp_path / backbone, "onnx")
        assert file.difference < 1e-5


@pytest.mark.gpu
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_on_a_gpu_is_evaluated_and_exported_on_either_device(strategy, archive, tmp_path):
    folder = trained_run(archive, tmp_path, strategy, norm="batch", device="cuda")
    for device in ("cuda", "cpu"):
        found = evaluate(folder, device=device)
        assert found.accuracy == pytest.approx(found.recorded, abs=0.05)
        (file,) = export(clhyper.trained(folder, device=device), 1, tmp_path / device, "safetensors")
        assert file.difference <= 1e-6
    assert (tmp_path / "cuda" / "task-1.safetensors").read_bytes() == file.path.read_bytes()
