"""A loss or a weight that is no longer finite stops the training and is named."""

import pytest
import torch
from small_runs import learn, make

from clhyper.engine.losses import LossWatch
from clhyper.errors import RunError


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_step_of_the_first_bad_loss_is_named(bad):
    strategy = learn(make("naive", epochs=3, batch_size=64), 0)
    steps, criterion = [], strategy._criterion

    def spoilt(logits, labels):
        steps.append(len(steps))
        return criterion(logits, labels) + (bad if len(steps) == 7 else 0)

    strategy._criterion = spoilt
    with pytest.raises(RunError, match="experience 2, epoch 2, step 3:"):
        learn(strategy, 1)
    assert len(steps) == 7
    assert strategy.experiences_learned == 1


def test_looking_at_the_end_of_an_epoch_names_the_same_step():
    watch = LossWatch(torch.device("cpu"))
    for loss in (0.5, 0.4, float("inf"), 0.3, float("nan")):
        watch.add(torch.tensor([loss]))
    with pytest.raises(RunError, match="experience 4, epoch 6, step 3:"):
        watch.check(3, 5, 0.1)


def test_weights_that_diverge_in_the_last_step_are_found_before_anything_is_saved():
    strategy = make("naive")

    def spoil():
        with torch.no_grad():
            strategy.model.body.conv2[0].weight[0, 0] = torch.nan

    strategy._after_training_epoch = lambda **_: spoil()
    with pytest.raises(RunError, match=r"body\.conv2\.0\.weight is not finite after experience 1"):
        learn(strategy, 0)
