"""One task's network as safetensors and as ONNX."""

import dataclasses
import hashlib

import pytest
import safetensors.torch
import torch
from small_sweeps import write_archive
from trained_runs import STRATEGIES, WITHOUT_LABELS, trained_run

import clhyper
from clhyper.errors import RunError, UserError
from clhyper.runs import export as module
from clhyper.runs.evaluate import evaluate
from clhyper.runs.export import BATCHES, export, original_classes, task_images
from clhyper.runs.files import read_json
from clhyper.runs.onnx_file import OnnxNetwork

NORMS = ("batch", "group", "instance")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("data") / "a.npz", classes=4)


@pytest.fixture(scope="module")
def ordered(archive, tmp_path_factory):
    """A run whose classes come in an order of their own."""
    return trained_run(archive, tmp_path_factory.mktemp("ordered"), "partial-hypernetwork", class_order=(3, 1, 0, 2))


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


@pytest.mark.slow
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
