"""Training steps that an engine can capture: none waits for values, and experiences do the same on other tensors."""

import functools

import pytest
import torch
from avalanche.core import SupervisedPlugin
from small_runs import FREEZING, LEARNERS, digits, learn, make
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from clhyper.engine.program import DryStep
from strategies import Joint

WAITS = {  # for a value that is on the device, or for one that is not
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::nonzero_numpy",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::bincount",
    "aten::lift_fresh",
}
RANDOM = ("rand", "bernoulli", "normal_", "uniform_", "multinomial", "dropout")


class Watch(TorchDispatchMode):
    """Names of the operators that a captured step can't have."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        by_mask = name in ("aten::index", "aten::index_put", "aten::index_put_") and any(
            leaf.dtype == torch.bool for leaf in tree_leaves(args[1]) if isinstance(leaf, torch.Tensor)
        )
        copies_number = name == "aten::where" and any(
            leaf.ndim == 0 for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)
        )  # on a GPU, to the device
        if name in WAITS or by_mask or copies_number or any(word in name for word in RANDOM):
            self.found.add(name)
        return func(*args, **(kwargs or {}))


def watched(strategy):
    """Watches what makes up a step, from an experience's second on."""
    watch = Watch()
    strategy._check_losses = lambda: None  # looks at each loss on a CPU alone

    def under_watch(function):
        @functools.wraps(function)
        def call():
            if not strategy.is_training or strategy.clock.train_exp_iterations == 0:
                return function()
            with watch:
                return function()

        return call

    for name in ("forward", "criterion", "backward", "optimizer_step"):
        setattr(strategy, name, under_watch(getattr(strategy, name)))
    return watch


@pytest.mark.parametrize(
    ("learner", "augmentation"),
    [(learner, "crop-flip") for learner in LEARNERS]
    + [  # batches are the frozen front's features; the others' are images either way
        pytest.param(learner, "none", marks=() if learner in FREEZING else pytest.mark.slow) for learner in LEARNERS
    ],
)
def test_a_step_neither_waits_for_values_nor_draws_random_numbers(learner, augmentation):
    stream = digits(experiences=4, augmentation=augmentation)  # of 3, 3, 2 and 2 classes
    strategy = make(learner, stream, engine="eager")
    watch = watched(strategy)
    learn(strategy, 0, 1, 2, stream=stream)
    assert watch.found == set()


@pytest.mark.parametrize("task_labels", [True, False])
def test_a_step_of_joint_training_does_not_look_at_its_tasks(task_labels):
    stream = digits(experiences=4, task_labels=task_labels, validation=0.5)
    strategy = Joint(stream.backbone(), epochs=1, engine="eager")
    watch = watched(strategy)
    strategy.train(stream.train_stream)
    assert watch.found == set()


class Fingerprints(SupervisedPlugin):
    """What the first step of each experience does."""

    def __init__(self):
        super().__init__()
        self.found = []

    def before_training_epoch(self, strategy, **kwargs):
        dry = DryStep(strategy.dataloader, next(strategy.dataloader.blocks()))
        assert dry.movable
        self.found.append(dry.fingerprint)


@pytest.mark.parametrize("learner", LEARNERS)
def test_later_experiences_do_the_same_on_other_tensors(learner):
    plugin = Fingerprints()
    stream = digits(augmentation="flip")
    learn(make(learner, stream, plugins=[plugin]), 0, 1, 2, 3, stream=stream)
    assert len(plugin.found) == 4
    if learner != "chunked hypernetwork":  # whose drift generates for every earlier task, padded to few more
        assert plugin.found[2] == plugin.found[3]
