"""Stored examples in training steps: drawn ahead, with their labels and tasks, and prepared as new ones are."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import SplitDigits
from clhyper.backbones.heads import HeadedModel
from clhyper.data.buffer import BalancedBuffer
from clhyper.engine.replay import SMALLEST_ROOM, Replay
from clhyper.engine.seeds import generator


def replay(capacity, count, augmentation="none", freeze_depth=0):
    """Replay of a buffer of two experiences' images, with its strategy and the buffer."""
    stream = SplitDigits(augmentation=augmentation)
    model = HeadedModel(stream.backbone(), freeze_depth)
    model.train()
    buffer = BalancedBuffer(capacity)
    for experience in stream.train_stream[:2]:
        images = experience.images
        model.adaptation(experience)
        buffer.update(images.labels, images.tasks, images.x, generator(0, 0, "buffer"))
    if freeze_depth:
        model.freeze_front()
    strategy = SimpleNamespace(
        model=model,
        experience=stream.train_stream[1],
        freeze_depth=freeze_depth,
        generator=lambda purpose: generator(0, 1, purpose),
        front_features=lambda x, preparation: model.features(preparation.normalise(x)),
    )
    return Replay(strategy, buffer, count), model, buffer


@pytest.mark.parametrize(("count", "drawn"), [(7, 7), (30, 30), (64, 30)])
def test_a_steps_examples_are_without_repeats_and_keep_label_and_task(count, drawn):
    stored, _, buffer = replay(30, count)
    held = {x.numpy().tobytes(): (y, t) for x, y, t in zip(buffer.x, buffer.y, buffer.tasks, strict=True)}
    rows = stored.draw(5)["replay"]
    assert rows.shape == (5, drawn)
    for step in rows:
        _, labels, tasks = stored.batch({"replay": step})
        chosen = [x.numpy().tobytes() for x in stored.x[step]]
        assert len(set(chosen)) == drawn
        assert [held[x] for x in chosen] == list(zip(labels, tasks, strict=True))


def test_steps_differ_from_one_another_and_reach_all_that_is_stored_and_no_padding():
    stored, _, _ = replay(20, 5)
    rows = stored.draw(40)["replay"].sort(dim=1).values
    assert len(stored.x) == SMALLEST_ROOM
    assert len(rows.unique(dim=0)) > 30
    assert rows.unique().tolist() == list(range(20))


def test_what_is_drawn_ahead_at_once_is_what_is_drawn_step_by_step():
    at_once, step_by_step = (replay(20, 5)[0] for _ in range(2))
    rows = torch.cat([step_by_step.draw(1)["replay"] for _ in range(6)])
    assert torch.equal(at_once.draw(6)["replay"], rows)


def test_images_behind_a_frozen_front_are_its_features_augmented_anew_where_they_are_augmented():
    stored, model, buffer = replay(20, 5, freeze_depth=1)
    drawn = {"replay": stored.draw(1)["replay"][0]}
    assert stored.are_features
    prepared = SplitDigits().train_stream[0].images.preparation.normalise(buffer.x[drawn["replay"]])
    torch.testing.assert_close(stored.batch(drawn)[0], model.features(prepared))

    stored, model, _ = replay(20, 20, "crop-flip", freeze_depth=1)
    passed = []
    features = model.features
    model.features = lambda x: passed.append(x) or features(x)
    for draws in range(2):
        found = {name: tensor[0] for name, tensor in stored.draw(1).items()}
        assert torch.equal(stored.batch(found)[0], features(passed[draws]))
    assert len({x.numpy().tobytes() for x in torch.cat(passed)}) > 30


def test_stored_half_precision_features_are_given_in_full_precision():
    _, _, buffer = replay(20, 5)
    buffer.x = torch.rand(20, 3).half()
    strategy = SimpleNamespace(
        model=nn.Identity(),
        experience=SplitDigits().train_stream[0],
        freeze_depth=1,
        generator=lambda purpose: generator(0, 1, purpose),
    )
    features, _, _ = Replay(strategy, buffer, 5, stores_features=True).batch({"replay": torch.tensor([3, 1])})
    assert torch.equal(features, buffer.x[[3, 1]].float())
