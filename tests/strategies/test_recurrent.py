"""HyperLSTM, LSTM and text replay on rows of digits and on text."""

import copy
import functools
import math

import pytest
import torch
from brown_stand_in import installed

import strategies
from benchmarks import BrownCharacters, DigitRows
from clhyper.errors import UserError
from clhyper.evaluation import AccuracyMatrix, CostMeter
from clhyper.measures import BITS
from clhyper.parts import PARTS
from clhyper.recurrent.drift import gate_drift

SMALL = {"units": 16, "epochs": 1, "learning_rate": 1e-2, "batch_size": 16}
HYPER = {"hyper_units": 8, "embedding": 4}
LEARNERS = {
    "LSTM": {},
    "LayerNormLSTM": {},
    "HyperLSTM": HYPER,
    "TextReplay": {"buffer_size": 24, "replay_batch_size": 8},
}
EVERY = pytest.mark.parametrize("learner", LEARNERS)


@functools.cache
def digits(**options):
    return DigitRows(**{"experiences": 3, "class_order": (0, 1, 2, 3, 4, 5), "images_each": 64} | options)


@functools.cache
def text(**options):
    installed()
    return BrownCharacters(
        genres=("news", "romance"), window=12, characters_each=600, test_characters_each=300, **options
    )


def make(learner, stream, plugins=None, seed=0, **options):
    chosen = SMALL | LEARNERS[learner] | options
    return getattr(strategies, learner)(stream.backbone(), seed=seed, plugins=plugins, **chosen)


def learn(strategy, stream, *numbers):
    for number in numbers:
        strategy.train(stream.train_stream[number])
    return strategy


def tensors(strategy):
    return {name: tensor.clone() for name, tensor in strategy.model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def inputs(stream, number, count=6):
    examples = stream.test_stream[number].images
    return examples.preparation.normalise(examples.x()[:count]), examples.tasks[:count]


@EVERY
@pytest.mark.parametrize("stream", [digits, text])
def test_a_new_strategy_knows_nothing_and_training_teaches_it(learner, stream):
    stream = stream()
    matrix = AccuracyMatrix(stream.test_stream, stream.measure)
    strategy = make(learner, stream, [matrix], epochs=12)
    strategy.train(stream.train_stream[0])
    learned = matrix.matrix[0][0]
    if stream.measure is BITS:
        assert learned < math.log2(stream.classes) - 1
    else:
        assert learned > 0.8


@EVERY
def test_a_new_network_takes_about_the_logarithm_of_the_number_of_characters(learner):
    stream = text()
    matrix = AccuracyMatrix(stream.test_stream, stream.measure)
    make(learner, stream, [matrix], learning_rate=1e-12).train(stream.train_stream[0])
    assert matrix.matrix[0][0] == pytest.approx(math.log2(stream.classes), abs=0.25)


@EVERY
@pytest.mark.parametrize("stream", [digits, text])
def test_the_same_seed_ends_with_the_same_numbers_and_so_does_one_that_was_restored(learner, stream, tmp_path):
    stream = stream()
    torch.manual_seed(1)
    straight = learn(make(learner, stream), stream, 0)
    torch.save(straight.state(), tmp_path / "state.pt")
    learn(straight, stream, 1)
    torch.manual_seed(2)
    resumed = make(learner, stream)
    resumed.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    learn(resumed, stream, 1)
    assert same(tensors(straight), tensors(resumed))
    assert not same(tensors(straight), tensors(learn(make(learner, stream, seed=1), stream, 0, 1)))


@EVERY
@pytest.mark.parametrize("stream", [digits, text])
def test_predictions_do_not_depend_on_what_else_is_in_the_batch(learner, stream):
    stream = stream()
    model = learn(make(learner, stream), stream, 0, 1).model.eval()
    (first, of_first), (second, of_second) = inputs(stream, 0), inputs(stream, 1)
    with torch.no_grad():
        mixed = model(torch.cat([first, second]), torch.cat([of_first, of_second]))
        apart = torch.cat([model(first, 0), model(second, 1)])
    torch.testing.assert_close(mixed, apart, rtol=1e-4, atol=1e-5)


def test_a_label_a_step_is_predicted_from_what_came_before_it_alone():
    stream = text()
    model = learn(make("HyperLSTM", stream), stream, 0).model.eval()
    x, _ = inputs(stream, 0)
    other = x.clone()
    other[:, 7:] = (other[:, 7:] + 1) % stream.classes
    with torch.no_grad():
        one, changed = model(x, 0), model(other, 0)
    assert one.shape == (len(x), stream.classes, 12)
    assert torch.equal(one[:, :, :7], changed[:, :, :7])
    assert not torch.equal(one[:, :, 7:], changed[:, :, 7:])


def test_earlier_embeddings_and_heads_of_a_hyper_lstm_stay_bit_for_bit_and_so_does_its_norm():
    stream = text()
    strategy = learn(make("HyperLSTM", stream), stream, 0)
    kept = [tensor.clone() for tensor in strategy.model.task_tensors(0)]
    norm = {name: tensor.clone() for name, tensor in strategy.model.cell.norm.state_dict().items()}
    learn(strategy, stream, 1)
    assert all(torch.equal(one, other) for one, other in zip(kept, strategy.model.task_tensors(0), strict=True))
    assert same(norm, strategy.model.cell.norm.state_dict())
    assert len(kept) == 3


def test_a_new_task_of_the_same_classes_starts_with_the_last_ones_head_and_embedding():
    stream = text()
    strategy = learn(make("HyperLSTM", stream), stream, 0)
    strategy.model.train().adaptation(stream.train_stream[1])
    first, second = (list(strategy.model.task_tensors(task)) for task in (0, 1))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    of_digits = learn(make("LSTM", digits(task_labels=False)), digits(task_labels=False), 0)
    before = of_digits.model.heads["0"].weight.clone()
    of_digits.model.train().adaptation(digits(task_labels=False).train_stream[1])
    assert torch.equal(of_digits.model.heads["0"].weight[:2], before)
    assert of_digits.model.heads["0"].out_features == 4


def test_the_drift_is_nothing_where_nothing_moved_and_grows_with_what_did():
    stream = digits()
    strategy = learn(make("HyperLSTM", stream), stream, 0)
    cell = strategy.model.cell
    moved, x = copy.deepcopy(cell), torch.rand(5, 3, 8)
    task = strategy.model.embeddings["0"].detach()
    assert float(gate_drift(moved, cell, x, task)) == 0
    drifts = []
    for _ in range(2):
        with torch.no_grad():
            for parameter in moved.parameters():
                parameter.add_(0.01)
        drifts.append(float(gate_drift(moved, cell, x, task)))
    assert 0 < drifts[0] < drifts[1]


def test_the_drift_holds_earlier_tasks_where_they_were():
    stream = digits()
    risen = {}
    for beta in (0.0, 10.0):
        matrix = AccuracyMatrix(stream.test_stream)
        strategy = make("HyperLSTM", stream, [matrix], epochs=5, beta=beta)
        learn(strategy, stream, 0, 1)
        risen[beta] = matrix.matrix[0][0] - matrix.matrix[1][0]
    assert risen[10.0] < risen[0.0] - 0.05


def test_what_replay_stores_are_windows_with_the_character_after_them_balanced_over_genres():
    stream = text()
    strategy = learn(make("TextReplay", stream), stream, 0, 1)
    assert strategy.buffer.x.dtype == torch.uint8
    assert strategy.buffer.x.shape == (24, 13)
    assert strategy.buffer.tasks.bincount().tolist() == [12, 12]
    first = stream.train_stream[0].images
    windows = torch.cat([first.x(), first.labels[:, -1:].to(torch.uint8)], dim=1)
    stored = strategy.buffer.x[strategy.buffer.tasks == 0]
    assert all((windows == one).all(dim=1).any() for one in stored)
    kept = sum(tensor.numel() * tensor.element_size() for tensor in strategy.kept_tensors())
    model = sum(tensor.numel() * tensor.element_size() for tensor in strategy.model.state_dict().values())
    assert kept - model == 24 * (13 + 8)


def test_replay_trains_the_heads_of_earlier_tasks_and_fine_tuning_leaves_them():
    stream = text()
    for learner, moves in (("TextReplay", True), ("LSTM", False)):
        strategy = learn(make(learner, stream), stream, 0)
        before = strategy.model.heads["0"].weight.clone()
        learn(strategy, stream, 1)
        assert torch.equal(before, strategy.model.heads["0"].weight) != moves


def test_a_long_gradient_is_shortened_to_the_clip():
    stream = digits()
    lengths = []

    class Watching(strategies.LSTM):
        def optimizer_step(self):
            super().optimizer_step()
            squares = [p.grad.square().sum() for p in self.model.trained_parameters() if p.grad is not None]
            lengths.append(float(sum(squares).sqrt()))

    Watching(stream.backbone(), clip=0.01, **SMALL).train(stream.train_stream[0])
    assert max(lengths) == pytest.approx(0.01, rel=1e-3)


@EVERY
def test_the_cost_meter_counts_every_part_of_a_recurrent_step(learner):
    stream = digits()
    meter = CostMeter()
    strategy = learn(make(learner, stream, [meter]), stream, 0, 1)
    meter.measure_use(strategy, inputs(stream, 1)[0], 1)
    first, second = meter.records
    per_step = [record["train_macs"] / record["steps"] for record in (first, second)]
    assert second["train_macs"] == sum(second[f"{part}_macs"] for part in PARTS)
    assert second["back_macs"] > 0
    assert (second["drift_macs"] > 0) == (second["generation_macs"] > 0) == (learner == "HyperLSTM")
    if learner == "LSTM":
        rows, steps, units = 16, 8, 16
        products = rows * (steps * 4 * units * (8 + units) + units * 2)
        # Backward: of the weights and of what comes in, but for the first step's state and the input itself.
        assert per_step[0] == pytest.approx(3 * products, rel=0.2)
    else:
        assert per_step[1] >= per_step[0]
    assert meter.use["bytes_per_task"] == sum(4 * tensor.numel() for tensor in strategy.model.task_tensors(1))


def test_a_network_of_whole_images_is_refused_with_what_would_be_right():
    from benchmarks import SplitDigits

    with pytest.raises(UserError, match="LSTM reads sequences, and SmallConvNet reads whole images: give"):
        strategies.LSTM(SplitDigits().backbone())
    strategies.LSTM(SplitDigits().backbone("rows"))


@pytest.mark.parametrize(
    ("learner", "option", "value"),
    [
        ("LSTM", "units", 0),
        ("LSTM", "clip", 0.0),
        ("HyperLSTM", "factors", 0),
        ("HyperLSTM", "beta", -1.0),
        ("HyperLSTM", "embedding_rate", math.inf),
        ("TextReplay", "buffer_size", -1),
        ("LSTM", "norm", "batch"),
    ],
)
def test_an_option_out_of_range_is_named(learner, option, value):
    with pytest.raises(UserError, match=option):
        make(learner, digits(), **{option: value})


def test_other_strategies_read_rows_with_a_linear_classifier_of_the_mean_row():
    stream = digits()
    strategy = strategies.Naive(stream.backbone(), epochs=1, batch_size=16)
    learn(strategy, stream, 0, 1)
    assert {name: tuple(p.shape) for name, p in strategy.model.named_parameters()} == {
        f"heads.{task}.{part}": shape for task in (0, 1) for part, shape in (("weight", (2, 8)), ("bias", (2,)))
    }
