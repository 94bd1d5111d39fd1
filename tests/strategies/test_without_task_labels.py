"""One label space that grows: labels count on, and the task is 0 throughout."""

import pytest
import torch
from small_runs import digits, learn, make, same, tensors

from clhyper.errors import UserError
from clhyper.evaluation import AccuracyMatrix
from strategies import Joint

ONE_HEAD = [
    "naive",
    "naive at depth 2",
    "ewc",
    "online ewc at depth 1",
    "lwf",
    "agem",
    "der",
    "der at depth 1",
    "replay",
    "latent replay",
]


@pytest.fixture(scope="module")
def stream():
    return digits(task_labels=False)


@pytest.mark.parametrize("learner", ONE_HEAD)
def test_one_head_grows_over_all_classes_seen(learner, stream):
    strategy = make(learner, stream)
    for number in range(3):
        learn(strategy, number, stream=stream)
        assert list(strategy.model.heads) == ["0"]
        assert strategy.model.heads["0"].out_features == 2 * (number + 1)
    x = stream.test_stream[0].images
    logits = strategy.model.eval()(x.preparation.normalise(x.x()), 0)
    assert logits.shape == (len(x), 6)
    assert logits.isfinite().all()


def test_a_head_that_grows_keeps_the_outputs_it_had(stream):
    strategy = learn(make("naive", stream), 0, stream=stream)
    before = tensors(strategy.model.heads["0"])
    strategy.experience = stream.train_stream[1]
    strategy.model.train()
    strategy.check_model_and_optimizer()
    after = tensors(strategy.model.heads["0"])
    assert torch.equal(after["weight"][:2], before["weight"])
    assert torch.equal(after["bias"][:2], before["bias"])
    assert len(after["weight"]) == 4
    trained = {id(p) for group in strategy.optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in strategy.model.heads["0"].parameters()} <= trained


def test_classes_not_seen_yet_are_not_evaluated_and_seen_ones_are_told_apart(stream):
    matrix = AccuracyMatrix(stream.test_stream)
    strategy = make("replay", stream, plugins=[matrix], epochs=12, buffer_size=100, replay_batch_size=64)
    learn(strategy, 0, 1, stream=stream)
    assert matrix.matrix[0][1:] == [None] * 4
    assert matrix.matrix[1][2:] == [None] * 3
    assert min(matrix.matrix[1][:2]) > 0.8


def test_stored_examples_are_balanced_over_all_classes(stream):
    strategy = learn(make("latent replay", stream, buffer_size=30), 0, 1, 2, stream=stream)
    assert strategy.buffer.tasks.unique().tolist() == [0]
    assert strategy.buffer.y.bincount().tolist() == [5] * 6


def test_joint_training_learns_all_classes_in_one_head(stream):
    torch.manual_seed(0)
    matrix = AccuracyMatrix()
    strategy = Joint(stream.backbone(), epochs=4, learning_rate=1e-2, plugins=[matrix])
    strategy.train(stream.train_stream)
    strategy.eval(stream.test_stream)
    assert strategy.model.heads["0"].out_features == 10
    assert sum(matrix.matrix[-1]) / 5 > 0.8


@pytest.mark.parametrize("learner", ["separate", "partial hypernetwork", "full hypernetwork"])
def test_what_needs_task_labels_says_so_at_the_second_experience(learner, stream):
    strategy = learn(make(learner, stream), 0, stream=stream)
    before = tensors(strategy.model)
    with pytest.raises(UserError, match="needs task labels: experience 1 brings new classes under task 0"):
        learn(strategy, 1, stream=stream)
    assert same(tensors(strategy.model), before)


@pytest.mark.parametrize("learner", ["naive", "separate", "partial hypernetwork"])
def test_a_narrower_experience_never_predicts_an_output_it_does_not_use(learner):
    stream = digits(experiences=4)  # of 3, 3, 2 and 2 classes
    strategy = learn(make(learner, stream), 0, 2, stream=stream)
    for number, classes in ((0, 3), (2, 2)):
        images = stream.test_stream[number].images
        x = images.preparation.normalise(images.x())
        logits = strategy.model.eval()(x, images.tasks)
        assert logits.argmax(dim=1).max() < classes
        assert (logits[:, classes:] == -torch.inf).all()
        assert logits[:, :classes].isfinite().all()
    mixed = strategy.model(torch.cat([x[:3], x[:3]]), torch.tensor([0, 0, 0, 2, 2, 2]))
    assert mixed.shape == (6, 3)
    assert (mixed[3:, 2] == -torch.inf).all()
    assert mixed[:3].isfinite().all()
