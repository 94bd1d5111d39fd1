"""A whole backbone trained for fronts, and the runs that use it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from small_sweeps import write_archive
from trained_runs import trained_run

import clhyper
from benchmarks import SplitNpz
from clhyper.backbones import build_backbone
from clhyper.backbones.tensor_file import from_bytes
from clhyper.errors import RunError, UserError
from clhyper.runs.files import read_json
from clhyper.runs.pretrain import pretrain

TRAINING = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("data") / "a.npz", classes=8)


@pytest.fixture(scope="module")
def stream(archive):
    return {"data": archive, "backbone": "small-convnet"}


@pytest.fixture(scope="module")
def front(stream, tmp_path_factory):
    """A backbone trained on classes 4 to 7, and its notes."""
    path = tmp_path_factory.mktemp("fronts") / "upper.safetensors"
    return path, pretrain("split-npz", path, classes=[4, 5, 6, 7], benchmark_options=stream, training=TRAINING, seed=3)


def predictions(path, data, classes):
    """Accuracy of the file's backbone, loaded by hand, on the test images of these classes."""
    tensors, notes = from_bytes(path.read_bytes(), "front")
    backbone = build_backbone(notes["backbone"], tuple(notes["image_shape"]), len(notes["classes"]))
    backbone.load_state_dict(tensors)
    images = SplitNpz(data=data, experiences=1, class_order=classes).test_stream[0].images
    found = backbone.eval()(images.preparation.normalise(images.x())).argmax(1)
    return (found == images.labels).float().mean().item()


def test_the_file_holds_a_whole_backbone_that_is_as_accurate_as_its_notes_say(front, archive):
    path, notes = front
    assert from_bytes(path.read_bytes(), "front")[1] == json.loads(json.dumps(notes))
    assert predictions(path, archive, (4, 5, 6, 7)) == pytest.approx(notes["accuracy"])
    assert notes["accuracy"] > 0.5  # 0.25 is chance
    assert (notes["stream"], notes["classes"], notes["seed"], notes["epochs"]) == ("split-npz", [4, 5, 6, 7], 3, 3)
    assert notes["norms"] == {"conv1": "batch", "conv2": "batch", "conv3": "batch"}
    assert (notes["image_shape"], notes["evaluated_on"]) == ([1, 8, 8], "test")
    assert [path] == list(path.parent.iterdir())


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(front, stream, tmp_path):
    for seed, equal in ((3, True), (4, False)):
        path = tmp_path / f"{seed}.safetensors"
        pretrain("split-npz", path, classes=[4, 5, 6, 7], benchmark_options=stream, training=TRAINING, seed=seed)
        assert (path.read_bytes() == front[0].read_bytes()) == equal


def test_held_out_images_are_evaluated_on_in_place_of_the_test_set(stream, tmp_path):
    options = {**stream, "validation": 0.25}
    notes = pretrain("split-npz", tmp_path / "f.safetensors", benchmark_options=options, training={"epochs": 1})
    assert (notes["evaluated_on"], notes["classes"]) == ("validation", list(range(8)))


def test_all_stages_with_their_statistics_are_the_front_of_a_run_that_says_where_it_came_from(front, archive, tmp_path):
    path, _ = front
    for order, words in (((0, 1, 2, 3), ""), ((0, 1, 2, 5), ", 1 of them in this stream")):
        folder = trained_run(archive, tmp_path, "separate", front=path, freeze_depth=3, class_order=order)
        result = read_json(folder / "result.json")
        assert result["front"] == f"split-npz classes 4-7{words} ({path})"
        (row,) = [row for row in clhyper.load(tmp_path).to_dict("records") if row["folder"] == str(folder)]
        assert row["front"] == result["front"]
        tensors, _ = from_bytes(path.read_bytes(), "front")
        held = clhyper.trained(folder).strategy.model.front.state_dict()
        assert len(held) == 18
        assert all(torch.equal(value, tensors[name]) for name, value in held.items())


def test_the_same_classes_of_other_data_are_no_overlap(front, tmp_path):
    other = write_archive(tmp_path / "b.npz", classes=8, images=21)
    result = read_json(trained_run(other, tmp_path, "naive", front=front[0]) / "result.json")
    assert result["front"] == f"split-npz classes 4-7 ({front[0]})"


@pytest.mark.parametrize("classes", [[4, 9], [-1, 2]])
def test_classes_that_there_are_not_are_named_and_nothing_is_written(classes, stream, tmp_path):
    with pytest.raises(UserError, match=r"^classes: \[(9|-1)\] is no class of split-npz"):
        pretrain("split-npz", tmp_path / "f.safetensors", classes=classes, benchmark_options=stream)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["/proc/x/f.safetensors", "/proc/f.safetensors", "/dev/null"])
def test_an_output_that_cannot_be_written_is_said_before_training(output, stream):
    told = []
    with pytest.raises(UserError, match=rf"^output {output}: (can't be written \(.*\); give|is no ordinary file)"):
        pretrain("split-npz", Path(output), benchmark_options=stream, training={"epochs": 1}, report=told.append)
    assert told == []


def test_a_file_that_cannot_be_written_after_training_is_said_without_a_promise(stream, tmp_path):
    def disappear(progress):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)

    path = tmp_path / "out" / "f.safetensors"
    with pytest.raises(RunError, match=r"f\.safetensors: can't be written \(no such file or directory\)$"):
        pretrain("split-npz", path, benchmark_options=stream, training={"epochs": 1}, report=disappear)


def test_training_that_diverges_or_is_stopped_writes_nothing(stream, tmp_path):
    path = tmp_path / "f.safetensors"
    path.write_text("what was there before")

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain("split-npz", path, benchmark_options=stream, training={"epochs": 1}, report=stop)
    options = {"epochs": 3, "optimizer": "sgd", "learning_rate": 1e30}
    with pytest.raises(RunError):
        pretrain("split-npz", path, benchmark_options=stream, training=options)
    assert path.read_text() == "what was there before"
    assert [path] == list(tmp_path.iterdir())
