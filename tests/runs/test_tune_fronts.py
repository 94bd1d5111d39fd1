"""What a search says of a front that may have seen the images that it holds out."""

import json

import pytest
import torch
from small_searches import search, small_tuning
from small_sweeps import write_archive

from clhyper.runs.config import read_toml
from clhyper.runs.pretrain import pretrain
from clhyper.tune.fronts import Fronts

pytest.importorskip("optuna")


def trained(archive, output, classes=(), validation=0.0):
    options = {"data": archive, "backbone": "small-convnet", "validation": validation}
    training = {"epochs": 1, "batch_size": 32}
    pretrain("split-npz", output, classes=classes, benchmark_options=options, training=training)
    return output


def with_front(archive, front):
    given = {"freeze_depth": 1, "front": front, "front_norm": "batch"}
    return small_tuning(archive, "learning_rate=0.01,0.02", strategy="separate", given=given)


@pytest.mark.parametrize(
    ("classes", "validation", "said"),
    [
        ((), 0.0, "0-7, 4 of them in this stream ({}); the held-out images were not kept from it."),
        (
            (3, 4),
            0.4,
            "3-4, 1 of them in this stream ({}); the held-out images were not kept from it, unless its own --validation"
            " was the same.",
        ),
        ((4, 5), 0.0, "4-5 ({})."),
    ],
)
def test_what_a_front_has_seen_is_said_wherever_the_protocol_is(classes, validation, said, archive, tmp_path):
    front = trained(archive, tmp_path / "front.safetensors", classes, validation)
    made = search(with_front(archive, front), tmp_path / "tuning", 1)
    (sentence,) = json.loads((made.folder / "tuning.json").read_text())["protocol"]["fronts"]
    assert sentence == "The front was trained on split-npz classes " + said.format(front)
    notes = (made.folder / "best.toml").read_text().splitlines()[1:3]
    assert notes == [f"# {made.tuning.protocol.sentence()}", f"# {sentence}"]
    assert read_toml(made.folder / "best.toml")["strategy_options"]["front"] == str(front)


def test_other_images_of_the_same_classes_are_not_taken_for_these(archive, tmp_path):
    front = trained(write_archive(tmp_path / "other.npz", images=12), tmp_path / "front.safetensors")
    made = search(with_front(archive, front), tmp_path / "tuning", 1)
    assert made.outputs.said()[1:] == [f"The front was trained on split-npz classes 0-7 ({front})."]


def test_fronts_that_are_searched_are_each_said_of_and_a_front_without_notes_has_none(archive, tmp_path):
    ours, theirs = trained(archive, tmp_path / "ours.safetensors", (4, 5)), tmp_path / "theirs.pt"
    torch.save({}, theirs)
    tuning = small_tuning(
        archive, f"front={ours},{theirs},none,{tmp_path}/gone", strategy="separate", given={"freeze_depth": 1}
    )
    assert Fronts(tuning).sentences() == [
        f"The front was trained on split-npz classes 4-5 ({ours}).",
        f"What the front {theirs} was trained on isn't recorded in it: held-out or test images may be among it.",
        f"What the front {tmp_path}/gone was trained on can't be read here.",
    ]


def test_a_search_without_a_front_says_nothing_of_one(archive, tmp_path):
    made = search(small_tuning(archive, "learning_rate=0.01,0.02"), tmp_path, 1)
    assert made.outputs.said() == [made.tuning.protocol.sentence()]
