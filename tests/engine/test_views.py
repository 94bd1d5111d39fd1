"""Views: a frozen front's features of augmented images, computed ahead."""

import pytest
import torch
from supplied_runs import equal, learn, make, passes, tensors

from benchmarks import SplitDigits
from clhyper.errors import UserError
from strategies import Naive, PartialHypernetwork


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
