"""Fronts of studies in references and in the documentation's example, and beside streams of several sources."""

import re
from pathlib import Path

import numpy as np
import pytest

from clhyper.cli.fronts import without_failed
from clhyper.errors import UserError
from clhyper.runs.files import read_json
from clhyper.runs.folder import FAILURE, RESULT
from clhyper.runs.study import expand, read_study
from clhyper.runs.study_front_check import check_fronts
from clhyper.runs.study_fronts import fronts_of, train_front

DOCUMENTATION = Path(__file__).parents[2] / "docs/how-to/studies.md"
MIXED = """
title = "Fronts"
question = "Is a class seen twice?"

[data]
a = "an .npz file"
b = "an .npz file"

[streams.both]
benchmark = "mixed"
sources = ["{b}", "{a}"]
image_size = 8
backbone = "small-convnet"

[fronts.a]
benchmark = "split-npz"
data = "{a}"
backbone = "small-convnet"
classes = "1-2"

[[runs]]
strategies = ["separate"]
depths = "2"
front = "a"

[[show]]
kind = "table"
"""


@pytest.fixture
def study(tmp_path):
    """Reads a study from text."""

    def study(text):
        (tmp_path / "fronts.toml").write_text(text)
        return read_study(str(tmp_path / "fronts.toml"))

    return study


@pytest.fixture
def example():
    """The study with a front in the documentation."""
    (text,) = [text for text in re.findall(r"```toml\n(.*?)```", DOCUMENTATION.read_text(), re.S) if "[fronts." in text]
    return text


def write_colours(path, seed):
    """Colour images of 3 classes, whose labels are the same whatever the seed."""
    images = np.random.default_rng(seed).integers(0, 256, (12, 3, 8, 8), dtype=np.uint8)
    labels = np.tile(np.arange(3), 4)
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return str(path)


def test_a_front_of_classes_that_one_of_several_sources_has_is_refused(study, tmp_path):
    paths = {name: write_colours(tmp_path / f"{name}.npz", seed) for seed, name in enumerate("ab")}
    with pytest.raises(UserError) as error:
        check_fronts(expand(study(MIXED), paths))
    assert str(error.value) == (
        "front a: its classes and those of stream both have 1, 2 in common; give the front others, or the stream other"
        " sources"
    )
    own = write_colours(tmp_path / "c.npz", 2)
    check_fronts(expand(study(MIXED.replace('data = "{a}"', f'data = "{own}"')), paths))


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("separate@2,front=first experience", None),
        ("separate@2,front=pretrained on others", None),
        ("separate@2,front=others", "front is first experience or pretrained on others there"),
        ("separate@2,front=pretrained on other", "front is first experience or pretrained on others there"),
        ("joint,front=pretrained on others", "front is of no run there"),
    ],
)
def test_the_front_of_a_reference_is_one_that_runs_have(reference, said, study, example):
    text = example.replace('"separate@2"', f'"{reference}"') + '\n[[runs]]\nstrategies = ["joint"]\n'
    if said is None:
        study(text)
        return
    with pytest.raises(UserError) as error:
        study(text)
    words, _, condition = reference.partition(",")
    assert str(error.value) == f"reference in study fronts, show 2: no run of {words} has {condition}; {said}"


def test_what_is_in_a_file_is_left_to_the_page(study, example):
    text = example.replace("[streams.digits]", '[options]\nfront = "my.safetensors"\n\n[streams.digits]')
    study(text.replace('"separate@2"', '"separate@2,front=my.safetensors"'))


def test_the_documentations_example_fits_together(study, example):
    planned = expand(study(example))
    assert [front.name for front in fronts_of(planned)] == ["others"]
    check_fronts(planned)


def test_a_damaged_front_is_to_be_deleted(study, example, tmp_path):
    (front,) = fronts_of(expand(study(example)))
    front.path(tmp_path).parent.mkdir()
    front.path(tmp_path).write_bytes(b"damaged")
    sentence = rf"^front others: {front.path(tmp_path)}: .*; delete it and it is trained anew$"
    with pytest.raises(UserError, match=sentence):
        train_front(front, tmp_path)


def test_results_in_which_no_front_can_be_made_are_named_by_their_flag(study, example, tmp_path):
    (front,) = fronts_of(expand(study(example)))
    (tmp_path / "fronts").touch()
    sentence = (
        rf"^front others: file {front.path(tmp_path)}: can't be written \(.*\); give another folder with --results$"
    )
    with pytest.raises(UserError, match=sentence):
        train_front(front, tmp_path)


def test_only_runs_with_a_front_that_failed_fail_with_it_unless_they_are_complete(study, example, tmp_path):
    planned = expand(study(example))
    complete, failed = [one for one in planned if one.front]
    (tmp_path / complete.config.name).mkdir()
    (tmp_path / complete.config.name / RESULT).write_text('{"status": "complete", "metrics": {}, "cost": {}}')
    able = without_failed(planned, {failed.front.file: "front others: diverged"}, tmp_path)
    assert able == [one.config for one in planned if one.front is None]
    assert read_json(tmp_path / failed.config.name / FAILURE)["reason"] == "front others: diverged"
    assert {path.name for path in tmp_path.glob("split-digits*")} == {complete.config.name, failed.config.name}
    assert not (tmp_path / complete.config.name / FAILURE).exists()
