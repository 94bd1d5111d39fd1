"""DER: its loss, and the logits that it keeps."""

import copy

import pytest
import torch
from avalanche.core import SupervisedPlugin
from small_runs import digits, learn, make
from torch.nn import functional as F

from clhyper.evaluation.use import tensor_bytes


class Replayed(SupervisedPlugin):
    """The loss of each step beside its equation, computed from the batch as it went through the network."""

    def __init__(self):
        super().__init__()
        self.found = []

    def before_forward(self, strategy, **kwargs):
        self.model = copy.deepcopy(strategy.model)

    def before_backward(self, strategy, **kwargs):
        if strategy.replay is None:
            return
        rows, buffer = strategy.drawn["replay"], strategy.buffer
        count, stored_tasks = len(rows), buffer.tasks[rows]
        x = torch.cat([strategy.experience.images.preparation(buffer.x[rows]), strategy.mb_x])
        logits = self.model(x, torch.cat([stored_tasks, strategy.mb_task_id]))
        new, old = logits[count:], logits[:count]
        distance = 0.0
        for then, z in zip(buffer.logits[rows], old, strict=True):
            used = then.isfinite().nonzero().flatten()
            distance += float((z[used] - then[used]).square().sum().detach()) / (count * logits.shape[1])
        by_hand = float(F.cross_entropy(new, strategy.mb_y).detach()) + strategy.options.alpha * distance
        by_hand += strategy.options.beta * float(F.cross_entropy(old, buffer.y[rows]).detach())
        self.found.append((float(strategy.loss.detach()), by_hand, distance, sorted(set(stored_tasks.tolist()))))


@pytest.mark.parametrize("task_labels", [True, False])
@pytest.mark.parametrize("options", [{"alpha": 0.3, "beta": 0.7}, {"alpha": 2.0, "beta": 0.0}])
def test_the_loss_of_der_is_that_of_its_equation_whatever_the_heads_widths(options, task_labels):
    stream = digits(experiences=4, task_labels=task_labels)
    plugin = Replayed()
    strategy = make("der", stream, plugins=[plugin], buffer_size=40, replay_batch_size=24, **options)
    learn(strategy, 0, 1, 2, stream=stream)
    assert len(plugin.found) >= 4
    for loss, by_hand, distance, _ in plugin.found:
        assert loss == pytest.approx(by_hand, rel=1e-3)
        assert distance > 0
    assert plugin.found[-1][3] == ([0, 1] if task_labels else [0])


@pytest.mark.parametrize("learner", ["der", "der at depth 1"])
def test_der_keeps_the_logits_that_images_had_as_their_experience_ended(learner):
    stream = digits(experiences=4, augmentation="crop-flip")
    strategy = make(learner, stream, buffer_size=24)
    then = {}
    for number in range(3):
        learn(strategy, number, stream=stream)
        buffer, prepare = strategy.buffer, stream.train_stream[number].images.preparation.normalise
        with torch.no_grad():
            model = copy.deepcopy(strategy.model).eval()
            new = buffer.tasks == number
            for x, z in zip(buffer.x[new], model(prepare(buffer.x[new]), number), strict=True):
                then[number, x.numpy().tobytes()] = z
        assert len(buffer) == len(buffer.logits) == 24
        for x, task, z in zip(buffer.x, buffer.tasks.tolist(), buffer.logits, strict=True):
            expected = then[task, x.numpy().tobytes()]
            torch.testing.assert_close(z[: len(expected)], expected, rtol=1e-4, atol=1e-5)
            assert (z[len(expected) :] == -torch.inf).all()
    assert buffer.x.dtype == torch.uint8
    kept = tensor_bytes(strategy.kept_tensors()) - tensor_bytes(strategy.model.state_dict().values())
    assert kept == 24 * (64 + 8 + 8 + 3 * 4)


def test_a_buffer_smaller_than_a_batch_is_replayed_whole():
    strategy = learn(make("der", buffer_size=6, replay_batch_size=64), 0)
    rows = []
    strategy.model.body.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    learn(strategy, 1)
    assert rows[:-1] == [70] * (len(digits().train_stream[1].images) // 64)
