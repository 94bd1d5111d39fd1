"""Which trials are stopped after an experience, judged by what others had after as many."""

import pytest
from small_searches import small_tuning

pytest.importorskip("optuna")

from clhyper.tune.trials import Trials

OTHERS = [[0.99, 0.90, 0.85]] * 5


def trials(archive, folder, pruner):
    """Five complete trials that each had the same accuracies."""
    tuning = small_tuning(archive, "learning_rate=1e-3..1e-1:log", sampler="random", pruner=pruner)
    made = Trials(tuning, folder)
    for accuracies in OTHERS:
        trial = made.next()
        for learned in range(1, 4):
            assert not made.hopeless(trial, accuracies[:learned])
        made.finish(trial, [accuracies[-1]])
    return made


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_a_trial_that_is_good_after_one_experience_and_bad_after_two_is_stopped_after_two(pruner, archive, tmp_path):
    made = trials(archive, tmp_path, pruner)
    trial = made.next()
    assert not made.hopeless(trial, [0.995])
    assert made.hopeless(trial, [0.995, 0.10])


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_experiences_that_are_heard_of_at_once_are_judged_one_by_one(pruner, archive, tmp_path):
    made = trials(archive, tmp_path, pruner)
    assert made.hopeless(made.next(), [0.995, 0.10])
    assert not made.hopeless(made.next(), [0.995, 0.91])
    assert made.hopeless(made.next(), [0.10, 0.91])


def test_a_trial_whose_accuracy_falls_as_the_others_did_goes_on(archive, tmp_path):
    made = trials(archive, tmp_path, "median")
    trial = made.next()
    assert not any(made.hopeless(trial, [0.99, 0.91, 0.86][:learned]) for learned in (1, 2, 3))
