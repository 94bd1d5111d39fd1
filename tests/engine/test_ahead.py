"""Small test experiences are predicted several at once: the same counts, and hooks for whoever looks."""

import pytest
import torch
from avalanche.core import SupervisedPlugin

from benchmarks import SplitDigits
from clhyper.evaluation import AccuracyMatrix
from clhyper.hypernetworks.model import GeneratedModel
from strategies import Joint, LatentReplay, LwF, Naive, PartialHypernetwork, Separate

LEARNERS = [
    (Naive, {}),
    (LwF, {"freeze_depth": 1}),
    (LatentReplay, {"freeze_depth": 1, "buffer_size": 20}),
    (Separate, {"freeze_depth": 1}),
    (Separate, {"freeze_depth": 0, "norm": "instance"}),
    (PartialHypernetwork, {"freeze_depth": 1, "norm": "batch"}),
    (PartialHypernetwork, {"freeze_depth": 2, "generator": "additive"}),
]


class Logits(SupervisedPlugin):
    """Keeps what is predicted in evaluation, batch by batch, as a user's plugin may."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def after_eval_iteration(self, strategy, **kwargs):
        self.seen.append(strategy.mb_output.clone())


class Around(SupervisedPlugin):
    """Counts evaluations of the whole stream."""

    evaluations = 0

    def after_eval(self, strategy, **kwargs):
        self.evaluations += 1


class Told(AccuracyMatrix):
    """Has a hook of its own beside what it inherits."""

    def after_eval_iteration(self, strategy, **kwargs):
        super().after_eval_iteration(strategy)
        self.batches = getattr(self, "batches", 0) + 1


def digits(**options):
    return SplitDigits(variant="rotated", experiences=4, images_each=40, backbone="small-convnet", **options)


def learned(learner, *plugins, stream=None, **options):
    """A learner after the stream's experiences, and its accuracy matrix."""
    stream = stream or digits(class_order=(3, 5, 8))
    matrix = AccuracyMatrix(stream.eval_stream)
    torch.manual_seed(0)
    strategy = learner(stream.backbone(), epochs=2, batch_size=16, plugins=[matrix, *plugins], **options)
    strategy.eval_mb_size = 150  # as on a device that takes a test experience in one batch
    for experience in stream.train_stream:
        strategy.train(experience, eval_streams=[])
    return strategy, matrix


@pytest.mark.parametrize(("learner", "options"), LEARNERS)
def test_several_experiences_at_once_are_the_same_as_one_by_one(learner, options):
    logits = Logits()
    (_, ahead), (_, plain) = learned(learner, **options), learned(learner, logits, **options)
    assert len(logits.seen) == 11  # one before training, then 1 + 2 + 3 + 4
    assert ahead.matrix == plain.matrix
    assert ahead.initial == plain.initial


@pytest.mark.parametrize(("learner", "options"), LEARNERS)
def test_logits_of_several_tasks_are_those_of_the_back_but_for_rounding(learner, options):
    strategy, _ = learned(learner, **options)
    model, images = (
        strategy.model.eval(),
        [experience.images for experience in digits(class_order=(3, 5, 8)).eval_stream],
    )
    with torch.no_grad():
        x = [its.preparation.normalise(its.x())[: 20 - 3 * number] for number, its in enumerate(images)]
        features = [model.features(rows) for rows in x]
        for logits, rows, task in zip(model.each_task(features, range(4), 7), features, range(4), strict=True):
            expected = model.back(rows, task)
            assert logits.shape == expected.shape
            assert torch.allclose(logits, expected, atol=1e-5)


def test_tasks_of_different_widths_keep_their_own_classes():
    stream = SplitDigits(experiences=3, images_each=40, backbone="small-convnet", classes_each=2)
    strategy, _ = learned(Separate, stream=stream, freeze_depth=1)
    model = strategy.model.eval()
    model.classes_of[1].append(3)
    model.learn(1, [3])  # outputs 0 to 3, of which 2 is no class
    features = [torch.rand(count, 16, 8, 8) for count in (5, 3, 4)]
    with torch.no_grad():
        found = model.eval().each_task(features, [0, 1, 2], 100)
        for logits, rows, task in zip(found, features, (0, 1, 2), strict=True):
            assert torch.equal(logits.argmax(dim=1), model.back(rows, task).argmax(dim=1))
    assert found[1][:, 2].eq(-torch.inf).all()


def test_an_evaluation_of_small_experiences_is_one_pass_and_one_look_at_the_generator(monkeypatch):
    passes, looks = [], []
    each_task, weights_of = GeneratedModel.each_task, GeneratedModel._weights_of
    monkeypatch.setattr(GeneratedModel, "each_task", lambda *given: passes.append(list(given[2])) or each_task(*given))
    monkeypatch.setattr(GeneratedModel, "_weights_of", lambda *given: looks.append(1) or weights_of(*given))
    around = Around()
    learned(PartialHypernetwork, around, freeze_depth=1)
    assert passes == [[0], [0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert len(looks) == len(passes) == around.evaluations


@pytest.mark.parametrize("plugin", [Logits, Told])
def test_a_plugin_with_hooks_of_evaluation_gets_them(plugin, monkeypatch):
    monkeypatch.setattr(GeneratedModel, "each_task", None)
    stream = digits(class_order=(3, 5, 8))
    looking = plugin() if plugin is Logits else plugin(stream.eval_stream[:2])
    learned(PartialHypernetwork, looking, stream=stream, freeze_depth=1)
    assert len(looking.seen) == 11 if plugin is Logits else looking.batches > 11


def test_a_strategy_that_predicts_otherwise_is_asked():
    class Wrong(Separate):
        def forward(self):
            logits = super().forward()
            return logits if self.is_training else -logits

    (_, right), (_, wrong) = learned(Separate), learned(Wrong)
    assert right.matrix[3] != wrong.matrix[3]


def test_larger_experiences_and_those_of_several_tasks_go_batch_by_batch(monkeypatch):
    asked = []
    monkeypatch.setattr(GeneratedModel, "each_task", lambda *given: asked.append(given))
    stream = digits()
    assert len(stream.eval_stream[0].images) > 150
    learned(PartialHypernetwork, stream=stream, freeze_depth=1)
    assert not asked
    joined = SplitDigits(experiences=2)
    matrix = AccuracyMatrix(joined.eval_stream)
    strategy = Joint(joined.backbone(), epochs=1, plugins=[matrix])
    strategy.train(list(joined.train_stream), eval_streams=[])
    assert None not in matrix.matrix[-1]


def test_modules_are_in_the_modes_again_that_they_were_in_before_an_evaluation():
    strategy, _ = learned(Separate, freeze_depth=1)
    model = strategy.model.train()
    model.backs["1"].eval()
    before = {name: module.training for name, module in model.named_modules()}
    strategy.eval(digits(class_order=(3, 5, 8)).eval_stream)
    assert {name: module.training for name, module in model.named_modules()} == before
    assert len(set(before.values())) == 2
