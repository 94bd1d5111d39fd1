"""Where images and features come from: read whole or through a loader, kept while memory allows, the same numbers."""

import copy

import numpy as np
import pytest
import torch
from avalanche.core import SupervisedPlugin

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


def make(learner, stream, plugins=(), **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = stream.backbone()
    chosen = {"epochs": 1, "engine": "eager", **options}
    return learner(backbone, plugins=[AccuracyMatrix(stream.test_stream), *plugins], **chosen)


def learn(strategy, stream, experiences=3):
    for experience in list(stream.train_stream)[:experiences]:
        strategy.train(experience, eval_streams=[])
    return strategy


def accuracies(strategy):
    return next(plugin for plugin in strategy.plugins if isinstance(plugin, AccuracyMatrix)).matrix


def tensors(strategy):
    return [tensor.clone() for tensor in strategy.model.state_dict().values()]


def equal(one, other):
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture
def free(monkeypatch):
    """Says how many bytes are free."""

    def say(count):
        monkeypatch.setattr(memory, "free_bytes", lambda device: count)

    return say


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


def passes(strategy):
    """Counts images that go through the front; a list with one entry a call."""
    seen, features = [], strategy.model.features

    def counted(x):
        seen.append(len(x))
        return features(x)

    strategy.model.features = counted
    return seen


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


# Views


def view_features(strategy):
    return strategy.dataloader.batches.x.x


def start(strategy, experience):
    """As far as the experience's batches."""
    strategy.experience = experience
    strategy.make_train_dataloader()
    return strategy.dataloader


def test_views_are_the_fronts_features_of_augmented_images_drawn_by_the_seed():
    stream = SplitDigits(augmentation="crop-flip")
    images = stream.train_stream[1].images
    strategy = learn(make(PartialHypernetwork, stream, freeze_depth=1, augmentation_views=3, seed=5), stream, 1)
    steps = start(strategy, stream.train_stream[1])
    features = view_features(strategy).unflatten(0, (3, len(images)))
    draws = strategy.generator("views")
    for view in features:
        x = images.preparation(images.x(), images.preparation.draw(len(images), draws))
        torch.testing.assert_close(view, strategy.model.front(x))
    assert not torch.allclose(features[0], features[1])
    x, y, _ = next(iter(steps))
    for row, label in zip(x, y, strict=True):
        here = (features == row).flatten(2).all(dim=2).nonzero()
        assert label in images.labels[here[:, 1]]
    again = learn(make(PartialHypernetwork, stream, freeze_depth=1, augmentation_views=3, seed=5), stream, 1)
    start(again, stream.train_stream[1])
    assert torch.equal(view_features(again), view_features(strategy))


def test_views_are_visited_equally_often_and_anew_in_every_epoch():
    from scipy.stats import chisquare

    stream = SplitDigits(augmentation="flip")
    strategy = learn(make(Naive, stream, freeze_depth=1, augmentation_views=4), stream, 1)
    steps = start(strategy, stream.train_stream[1])
    epochs = [torch.cat([block.draws for block in steps.blocks()])[:, 0] for _ in range(30)]
    assert chisquare(torch.cat(epochs).bincount(minlength=4)).pvalue > 1e-3
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 30


def test_the_first_experience_trains_the_front_on_fresh_augmentation_and_nothing_of_views_stays():
    stream = SplitDigits(augmentation="flip")
    strategy = make(Naive, stream, freeze_depth=1, augmentation_views=4)
    assert not start(strategy, stream.train_stream[0]).are_features
    assert not strategy.dataloader.batches.views
    plain = make(Naive, stream, freeze_depth=1)
    learn(strategy, stream, 1)
    learn(plain, stream, 1)
    assert equal(tensors(strategy), tensors(plain))
    learn(strategy, stream, 2)
    sizes = [sum(t.nbytes for t in run.kept_tensors()) for run in (strategy, learn(plain, stream, 2))]
    assert sizes[0] == sizes[1]
    assert not strategy.dataloader


def test_views_pass_the_front_once_each_and_are_counted():
    from clhyper.evaluation import CostMeter

    stream = SplitDigits(augmentation="flip")
    meters = {views: CostMeter() for views in (2, 5)}
    for views, meter in meters.items():
        strategy = make(Naive, stream, [meter], freeze_depth=1, augmentation_views=views, epochs=2)
        learn(strategy, stream, 1)
        seen = passes(strategy)
        strategy.train(stream.train_stream[1], eval_streams=[])
        images, tests = len(stream.train_stream[1].images), len(stream.test_stream[1].images)
        assert sum(seen) == views * images + tests
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        strategy.model.features(stream.train_stream[1].images.x().float())
    macs = [meter.records[1]["train_macs"] for meter in meters.values()]
    assert macs[1] - macs[0] == 3 * counter.get_total_flops() // 2


def test_views_that_do_not_fit_give_way_to_fresh_augmentation_and_that_is_said(free):
    stream = SplitDigits(augmentation="flip")
    strategy = learn(make(Naive, stream, freeze_depth=1, augmentation_views=50), stream, 1)
    plain = learn(make(Naive, stream, freeze_depth=1), stream, 1)
    free(4 * 64 * 2 * len(stream.train_stream[1].images))
    with pytest.warns(RuntimeWarning, match="augmentation_views 50: .* so images are augmented anew at every visit"):
        strategy.train(stream.train_stream[1], eval_streams=[])
    plain.train(stream.train_stream[1], eval_streams=[])
    assert equal(tensors(strategy), tensors(plain))


def test_views_of_what_is_not_augmented_or_not_frozen_are_refused_in_one_sentence():
    from clhyper.runs.config import make_config

    stream = SplitDigits()
    with pytest.raises(UserError, match="augmentation_views 2: images are not augmented"):
        learn(make(Naive, stream, freeze_depth=1, augmentation_views=2), stream, 1)
    with pytest.raises(UserError, match="augmentation_views 2 and freeze_depth 0 contradict each other"):
        make(Naive, stream, augmentation_views=2)
    with pytest.raises(UserError, match="augmentation_views 0: at least 1"):
        make(Naive, stream, freeze_depth=1, augmentation_views=0)
    with pytest.raises(UserError, match=r"augmentation_views 2: with augmentation none .* add --augmentation"):
        make_config("split-digits", "partial-hypernetwork", {}, {"augmentation_views": 2})
    assert make_config("split-digits", "partial-hypernetwork", {}, {"freeze_depth": 0}).strategy == "full-hypernetwork"


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
