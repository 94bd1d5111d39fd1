"""Small strategies on the digits, for the tests beside this file."""

import copy
import functools

import torch
from avalanche.core import SupervisedPlugin

import strategies
from benchmarks import SplitDigits

LEARNERS = {
    "naive": ("Naive", {}),
    "naive at depth 2": ("Naive", {"freeze_depth": 2}),
    "replay": ("Replay", {"buffer_size": 20, "replay_batch_size": 16}),
    "ewc": ("EWC", {}),
    "online ewc at depth 1": ("EWC", {"mode": "online", "freeze_depth": 1}),
    "lwf": ("LwF", {}),
    "lwf at depth 1": ("LwF", {"freeze_depth": 1}),
    "agem": ("AGEM", {"patterns_per_experience": 10, "sample_size": 16}),
    "agem at depth 1": ("AGEM", {"freeze_depth": 1}),
    "der": ("DER", {"buffer_size": 20, "replay_batch_size": 16}),
    "der at depth 1": ("DER", {"freeze_depth": 1, "buffer_size": 20}),
    "latent replay": ("LatentReplay", {"freeze_depth": 1, "buffer_size": 20, "replay_batch_size": 16}),
    "separate": ("Separate", {"freeze_depth": 1}),
    "partial hypernetwork": ("PartialHypernetwork", {"freeze_depth": 1, "generator": "additive"}),
    "chunked hypernetwork": ("PartialHypernetwork", {"freeze_depth": 1, "generator": "chunked"}),
    "static hypernetwork": ("PartialHypernetwork", {"freeze_depth": 1, "generator": "static", "embedding": 8}),
    "tile hypernetwork": ("StaticHypernetwork", {"embedding": 8}),
    "factored hypernetwork": ("PartialHypernetwork", {"freeze_depth": 1, "generator": "factored", "rank": 8}),
    "distilled hypernetwork": (
        "PartialHypernetwork",
        {
            "freeze_depth": 1,
            "generator": "factored",
            "rank": 8,
            "reserve": True,
            "distillation": 1.0,
            "drift_scale": "relative",
        },
    ),
    "full hypernetwork": ("FullHypernetwork", {"generator": "additive"}),
}
FREEZING = [
    "naive at depth 2",
    "online ewc at depth 1",
    "lwf at depth 1",
    "agem at depth 1",
    "der at depth 1",
    "latent replay",
    "separate",
    "partial hypernetwork",
    "chunked hypernetwork",
    "static hypernetwork",
    "factored hypernetwork",
    "distilled hypernetwork",
]


@functools.cache
def digits(**options):
    return SplitDigits(**options)


def make(learner, stream=None, seed=0, initialisation=0, plugins=None, **options):
    """A strategy that trains one epoch an experience unless told otherwise."""
    name, defaults = LEARNERS[learner]
    stream = stream or digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(initialisation)
        backbone = stream.backbone()
    chosen = {"epochs": 1, "learning_rate": 3e-3, **defaults, **options}
    return getattr(strategies, name)(backbone, seed=seed, plugins=plugins, **chosen)


def learn(strategy, *numbers, stream=None):
    for number in numbers:
        strategy.train((stream or digits()).train_stream[number])
    return strategy


def tensors(module):
    return copy.deepcopy(dict(module.state_dict()))


def same(one, other):
    """Whether two dicts of tensors are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def images(number, stream=None, count=None):
    """An experience's training images as networks see them, with labels and tasks."""
    held = (stream or digits()).train_stream[number].images
    return tuple(part[:count] for part in (held.preparation.normalise(held.x()), held.labels, held.tasks))


def uneven():
    return digits(experiences=4)  # of 3, 3, 2 and 2 classes


class Steps(SupervisedPlugin):
    """Of each training step: the batch, the loss, and a copy of the model before its forward pass."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def before_forward(self, strategy, **kwargs):
        self.model = copy.deepcopy(strategy.model)
        self.batch = strategy.mb_x, strategy.mb_y, strategy.mb_task_id

    def before_update(self, strategy, **kwargs):
        gradients = {n: p.grad.clone() for n, p in strategy.model.named_parameters() if p.grad is not None}
        self.steps.append((self.model, self.batch, float(strategy.loss.detach()), gradients, strategy))


def recorded(learner, *experiences, stream=None, **options):
    """The strategy and its steps in the last of the experiences."""
    plugin = Steps()
    strategy = learn(make(learner, stream, **options), *experiences[:-1], stream=stream)
    strategy.plugins.append(plugin)
    learn(strategy, experiences[-1], stream=stream)
    assert len(plugin.steps) >= 2
    return strategy, plugin.steps
