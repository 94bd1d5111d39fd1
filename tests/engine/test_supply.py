"""Where images and features come from: read whole or through a loader, kept while memory allows, the same numbers."""

import copy

import numpy as np
import pytest
import torch
from avalanche.core import SupervisedPlugin
from supplied_runs import equal, learn, make, passes, tensors

from benchmarks import SplitDigits
from clhyper.data import memory
from clhyper.data.images import ImageSet
from clhyper.data.sources import digits
from clhyper.data.stream import split_stream
from clhyper.engine.supply import Supply
from clhyper.errors import UserError
from clhyper.evaluation import AccuracyMatrix
from clhyper.options import StreamOptions
from strategies import DER, EWC, FullHypernetwork, LatentReplay, Naive, PartialHypernetwork


class Logits(SupervisedPlugin):
    """Keeps what is predicted in evaluation."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def after_eval_iteration(self, strategy, **kwargs):
        self.seen.append(strategy.mb_output.clone())


def accuracies(strategy):
    return next(plugin for plugin in strategy.plugins if isinstance(plugin, AccuracyMatrix)).matrix


# Loading


@pytest.mark.parametrize(
    ("learner", "options", "streamed"),
    [
        (FullHypernetwork, {}, {"augmentation": "crop-flip"}),
        (PartialHypernetwork, {"freeze_depth": 2, "augmentation_views": 2}, {"augmentation": "flip"}),
        (LatentReplay, {"freeze_depth": 1, "buffer_size": 20}, {"augmentation": "none"}),
        (LatentReplay, {"freeze_depth": 0, "buffer_size": 20}, {"augmentation": "crop-flip"}),
        (EWC, {"freeze_depth": 0}, {"variant": "rotated", "experiences": 3, "class_order": (1, 2, 3)}),
        (DER, {"freeze_depth": 1, "buffer_size": 20}, {"augmentation": "crop-flip"}),
    ],
)
def test_numbers_are_the_same_wherever_images_are(learner, options, streamed):
    stream = SplitDigits(**streamed)
    runs = [learn(make(learner, stream, loading=way, **options), stream) for way in ("device", "loader")]
    assert equal(*[tensors(run) for run in runs])
    assert accuracies(runs[0]) == accuracies(runs[1])


class Counting(np.ndarray):
    """An array that says how many rows of it are copied at once."""

    reads: list[int]

    def __getitem__(self, rows):
        if isinstance(rows, np.ndarray):
            type(self).reads.append(len(rows))
        return np.asarray(super().__getitem__(rows))


@pytest.fixture
def large(tmp_path):
    """A stream whose images are a memory-mapped file, and a list of how many were read at once."""
    source = digits()
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (2 * len(source.x_train), *source.image_shape))
    x[:] = np.concatenate([source.x_train] * 2)
    Counting.reads = []
    images = ImageSet(
        "large", x.view(Counting), np.tile(source.y_train, 2), source.x_test.view(Counting), source.y_test,
        source.class_names, source.mean, source.std, "large",
    )  # fmt: skip
    options = StreamOptions(experiences=2, class_order=(3, 5, 6, 9), backbone="small-convnet", augmentation="flip")
    return split_stream(images, options, "large"), Counting.reads


def test_through_a_loader_no_more_images_are_ever_read_at_once_than_a_batch(large):
    stream, reads = large
    strategy = make(PartialHypernetwork, stream, loading="loader", freeze_depth=1)
    strategy.eval_mb_size = 64
    learn(strategy, stream, 2)
    assert max(reads) == 64
    assert sum(reads) >= sum(len(experience.images) // 64 * 64 for experience in stream.train_stream)
    assert None not in accuracies(strategy)[1]


def test_on_the_device_images_are_read_once_an_experience_and_test_images_once_a_run(large):
    stream, reads = large
    strategy = learn(make(EWC, stream, loading="device", epochs=2), stream, 2)
    strategy.eval(stream.test_stream)
    train, test = (
        [len(experience.images) for experience in part] for part in (stream.train_stream, stream.test_stream)
    )
    assert sorted(reads) == sorted([*train, *test])


def test_what_does_not_fit_a_quarter_of_free_memory_goes_through_the_loader_and_that_is_said_once(large, free):
    stream, reads = large
    size = len(stream.train_stream[0].images) * 64
    free(8 * size)
    strategy = learn(make(Naive, stream), stream, 1)
    assert max(reads) == len(stream.train_stream[0].images)
    assert strategy.notices == []
    reads.clear()
    free(2 * size)
    with pytest.warns(RuntimeWarning, match="more than 25% of the memory that is free, so they are read as they are"):
        strategy = learn(make(Naive, stream), stream, 2)
    assert max(reads) <= max(64, *(len(experience.images) for experience in stream.test_stream))
    assert len(strategy.notices) == 1
    assert "--loading device" in strategy.notices[0]


def test_a_data_set_is_read_in_parts_on_its_way_to_the_device(large, monkeypatch):
    stream, reads = large
    monkeypatch.setattr("clhyper.engine.supply.READ_AT_ONCE", 64 * 100)
    images = stream.train_stream[1].images
    strategy = make(Naive, stream)
    assert torch.equal(strategy.read(images), torch.from_numpy(np.asarray(images.source[images.rows])))
    assert max(reads[:-1]) == 100


# Frozen features


@pytest.mark.filterwarnings("error")
def test_free_memory_is_known_here():
    assert memory.free_bytes(torch.device("cpu")) > 2**20
    assert memory.fits(0, torch.device("cpu"))
    assert not memory.fits(2**60, torch.device("cpu"))


def test_what_is_kept_already_counts_towards_the_quarter(free):
    free(700)
    device = torch.device("cpu")
    assert memory.fits(100, device, held=100)
    assert not memory.fits(101, device, held=100)


def test_features_are_computed_once_an_experience_if_they_fit_and_else_at_every_visit_which_is_said(free):
    stream = SplitDigits()
    once = make(LatentReplay, stream, freeze_depth=1, epochs=3, buffer_size=0)
    anew = copy.deepcopy(once)
    learn(once, stream, 1)
    learn(anew, stream, 1)
    counts = [passes(strategy) for strategy in (once, anew)]
    once.train(stream.train_stream[1], eval_streams=[])
    free(4 * 64 * len(stream.train_stream[1].images))
    with pytest.warns(RuntimeWarning, match="features of an experience's images take more than 25% of the memory"):
        anew.train(stream.train_stream[1], eval_streams=[])
    images, tests = len(stream.train_stream[1].images), sum(len(e.images) for e in list(stream.test_stream)[:2])
    assert sum(counts[0]) == images + tests - len(stream.test_stream[0].images)
    assert sum(counts[1]) >= 3 * (images // 64 * 64)
    for one, other in zip(tensors(once), tensors(anew), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_where_images_are_is_no_part_of_a_runs_name_and_is_one_of_three():
    from clhyper.runs.config import config_from_dict, make_config

    streamed = make_config("split-digits", "naive", {}, {}, loading="loader")
    assert streamed.name == make_config("split-digits", "naive", {}, {}).name
    assert config_from_dict(streamed.as_dict()).loading == "loader"
    with pytest.raises(UserError, match="unknown loading 'disk'"):
        make_config("split-digits", "naive", {}, {}, loading="disk")


# Evaluation


@pytest.mark.parametrize("learner", [PartialHypernetwork, LatentReplay])
def test_predictions_are_the_same_bit_for_bit_with_and_without_what_is_kept(learner, free):
    stream, logits = SplitDigits(), Logits()
    strategy = learn(make(learner, stream, [logits], freeze_depth=1, loading="device"), stream)
    strategy.eval_mb_size = 50
    strategy.supply = Supply(strategy, "device", 1)
    runs = []
    for bytes_free in (2**40, 2**40, 0):
        free(bytes_free)
        logits.seen.clear()
        strategy.eval(stream.test_stream)
        runs.append(list(logits.seen))
        if bytes_free:
            assert strategy.supply.evaluation_bytes > 0
            continue
        assert equal(*runs[:2])
    strategy.supply = Supply(strategy, "device", 1)
    logits.seen.clear()
    strategy.eval(stream.test_stream)
    assert strategy.supply.evaluation_bytes == 0
    assert equal(runs[0], list(logits.seen))


def test_kept_features_are_dropped_when_the_front_moves():
    stream = SplitDigits()
    strategy = learn(make(LatentReplay, stream, freeze_depth=1), stream, 2)
    other = learn(make(LatentReplay, stream, freeze_depth=1, seed=9, learning_rate=0.01), stream, 2)
    logits = Logits()
    strategy.plugins.append(logits)
    other.plugins.append(logits)
    strategy.restore(other.state())
    strategy.eval(stream.test_stream)
    other.eval(stream.test_stream)
    half = len(logits.seen) // 2
    assert equal(logits.seen[:half], logits.seen[half:])
    before = list(logits.seen[:1])
    with torch.no_grad():
        next(strategy.model.front.parameters()).mul_(2)
    logits.seen.clear()
    strategy.eval(stream.test_stream)
    assert not equal(before, logits.seen[:1])


def test_test_images_pass_a_frozen_front_once_a_run():
    stream = SplitDigits()
    strategy = learn(make(PartialHypernetwork, stream, freeze_depth=1), stream, 1)
    seen = passes(strategy)
    for experience in list(stream.train_stream)[1:4]:
        strategy.train(experience, eval_streams=[])
    strategy.eval(stream.test_stream)
    train = sum(len(e.images) for e in list(stream.train_stream)[1:4])
    assert sum(seen) == train + sum(len(e.images) for e in list(stream.test_stream)[1:4])


def test_what_is_kept_stays_within_a_quarter_of_memory_and_later_experiences_do_without(monkeypatch):
    stream = SplitDigits()
    sizes = [64 * len(experience.images) for experience in stream.test_stream]
    strategy = make(FullHypernetwork, stream, loading="device")
    for experience in stream.train_stream:
        strategy.experience = experience
        strategy.model.train()
        strategy.model.adaptation(experience)
    left = 4 * (sizes[0] + sizes[1] + sizes[2] // 2)
    monkeypatch.setattr(memory, "free_bytes", lambda device: left - strategy.supply.evaluation_bytes)
    kept = []
    for experience in stream.test_stream:
        batches = strategy.supply.evaluation(experience.images)
        assert sum(len(y) for _, y, _ in batches) == len(experience.images)
        kept.append(strategy.supply.evaluation_bytes)
    assert kept == [sizes[0], sizes[0] + sizes[1]] + [sizes[0] + sizes[1]] * 3
