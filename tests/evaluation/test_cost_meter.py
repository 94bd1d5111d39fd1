"""Multiply-accumulates against those counted by hand from the layers' sizes."""

import pytest
import torch
from avalanche.models import SimpleMLP
from avalanche.training import Naive as AvalanchesNaive
from avalanche.training.plugins import EvaluationPlugin

from benchmarks import SplitDigits
from clhyper.errors import UserError
from clhyper.evaluation import COSTS, AccuracyMatrix, CostMeter
from strategies import Joint, LatentReplay, Naive, PartialHypernetwork, Separate

PUBLISHED = {"freeze_depth": 1, "generator": "additive"}

BATCH = 64
# The multilayer perceptron on the digits: 64 pixels, two hidden layers of 256 units, two classes an experience.
FIRST, SECOND, HEAD = 64 * 256, 256 * 256, 256 * 2
ROOM = 8  # heads in a step that mixes tasks, all applied to every row, those of padding too


@pytest.fixture(scope="module")
def stream():
    return SplitDigits(backbone="mlp")


def trained(strategy_class, stream, experiences=2, meter=None, plugins=(), **options):
    meter = meter or CostMeter()
    torch.manual_seed(0)
    strategy = strategy_class(stream.backbone(), plugins=[meter, *plugins], **{"epochs": 2, **options})
    for number in range(experiences):
        strategy.train(stream.train_stream[number])
    return strategy, meter


def images(stream, number):
    return len(stream.train_stream[number].images)


def macs(meter):
    return [record["train_macs"] for record in meter.records]


# By hand


def test_a_step_counts_forward_and_backward_without_the_gradient_of_the_input(stream):
    _, meter = trained(Naive, stream)
    step = BATCH * ((FIRST + SECOND + HEAD) + (FIRST + SECOND + HEAD) + (SECOND + HEAD))
    steps = [2 * (images(stream, number) // BATCH) for number in range(2)]
    assert [record["steps"] for record in meter.records] == steps
    assert macs(meter) == [step * count for count in steps]


@pytest.mark.parametrize(("batch_size", "epochs"), [(64, 1), (50, 3), (287, 2), (286, 2), (5000, 3)])
def test_the_ragged_last_batch_is_dropped_and_a_small_experience_is_one_batch(stream, batch_size, epochs):
    count = images(stream, 0)
    _, meter = trained(Naive, stream, 1, batch_size=batch_size, epochs=epochs)
    rows = min(batch_size, count)
    steps = epochs * (count // rows)
    assert meter.records[0]["steps"] == steps
    assert macs(meter) == [rows * (2 * FIRST + 3 * SECOND + 3 * HEAD) * steps]


@pytest.mark.parametrize("epochs", [1, 3])
def test_features_of_a_frozen_front_are_counted_once_an_experience(stream, epochs):
    _, meter = trained(Naive, stream, freeze_depth=1, epochs=epochs)
    steps = epochs * (images(stream, 1) // BATCH)
    assert macs(meter)[1] == images(stream, 1) * FIRST + steps * BATCH * (2 * SECOND + 3 * HEAD)


def test_a_frozen_front_of_augmented_images_is_counted_forward_in_each_step():
    stream = SplitDigits(backbone="mlp", augmentation="flip")
    _, meter = trained(Naive, stream, freeze_depth=1)
    steps = 2 * (images(stream, 1) // BATCH)
    assert macs(meter)[1] == steps * BATCH * (FIRST + 2 * SECOND + 3 * HEAD)


@pytest.mark.parametrize("replayed", [16, 64])
def test_latent_replay_counts_both_parts_of_the_batch_and_the_filling_of_the_buffer(stream, replayed):
    _, meter = trained(LatentReplay, stream, freeze_depth=1, buffer_size=20, replay_batch_size=replayed)
    steps = [2 * (images(stream, number) // BATCH) for number in range(2)]
    first = steps[0] * BATCH * (2 * FIRST + 3 * SECOND + 3 * HEAD) + 20 * FIRST
    rows = BATCH + min(replayed, 20)
    second = images(stream, 1) * FIRST + steps[1] * rows * (2 * SECOND + 3 * ROOM * HEAD) + 10 * FIRST
    assert macs(meter) == [first, second]


# Additive generator of the back (second layer and classifier): embedding 32, MLP 50 and 32, channel embedding 32.
MLP_IN, MLP_OUT = 32 * 50, 50 * 32
TASK_PART, CHANNEL_PART, CLASSIFIER = 32 * 256, 256 * (32 + 1) * 256, 32 * HEAD  # + 1: the task part and bias
GENERATION = 3 * (MLP_IN + MLP_OUT + TASK_PART + CHANNEL_PART + CLASSIFIER)
# The drift takes Gram matrices of factors 32 + 32 wide (a parameter and its difference from the snapshot), and for
# what depends on the task one more (bias); forward one product of a factor with itself, backward one with the other's.
CAPACITY = 64  # earlier tasks with their padding
OF_A_TASK = 2 * MLP_IN + 3 * MLP_OUT + 2 * 65 * 65  # embeddings are fixed: no gradient of the MLP's input
OF_TASK_ROWS = 2 * 65 * 65 * (256 + HEAD)
AMONG_CHANNELS = 2 * 64 * 64 * (256 + 256) + 2 * 64 * 64  # the last: one tile added up for its layer, and dealt back
MEAN_OF_CHANNELS = 3 * 256 * 64
DRIFT_BUT_TASKS = OF_TASK_ROWS + AMONG_CHANNELS + MEAN_OF_CHANNELS


def test_a_partial_hypernetwork_counts_generation_drift_and_snapshot(stream):
    _, meter = trained(PartialHypernetwork, stream, 3, **PUBLISHED)
    steps = [2 * (images(stream, number) // BATCH) for number in range(3)]
    first = BATCH * (2 * FIRST + 3 * SECOND + 3 * HEAD) + GENERATION
    assert macs(meter)[0] == steps[0] * first
    for earlier in (1, 2):
        features = images(stream, earlier) * FIRST
        snapshot = CAPACITY * (MLP_IN + MLP_OUT)
        new = BATCH * (2 * SECOND + 3 * HEAD) + GENERATION
        drift = CAPACITY * OF_A_TASK + DRIFT_BUT_TASKS
        assert macs(meter)[earlier] == features + snapshot + steps[earlier] * (new + drift)


def test_a_sample_of_earlier_tasks_costs_as_many_tasks_as_it_draws_and_no_padding(stream):
    _, all_tasks = trained(PartialHypernetwork, stream, 3, **PUBLISHED)
    _, one = trained(PartialHypernetwork, stream, 3, **PUBLISHED, drift_tasks=1)
    steps = 2 * (images(stream, 2) // BATCH)
    assert macs(all_tasks)[2] - macs(one)[2] == steps * (CAPACITY - 1) * OF_A_TASK


def test_joint_training_counts_steps_that_mix_tasks(stream):
    meter = CostMeter()
    strategy = Joint(stream.backbone(), epochs=1, plugins=[meter])
    strategy.train(stream.train_stream)
    steps = 1437 // BATCH
    assert macs(meter) == [steps * BATCH * (2 * FIRST + 3 * SECOND + 3 * ROOM * HEAD)]


def test_avalanches_own_strategy_is_counted_alike(stream):
    meter = CostMeter()
    model = SimpleMLP(num_classes=2, input_size=64, hidden_size=100)
    strategy = AvalanchesNaive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.05),
        train_mb_size=BATCH,
        train_epochs=2,
        plugins=[meter],
        evaluator=EvaluationPlugin(),
    )
    strategy.train(stream.train_stream[0])
    rows = images(stream, 0)
    assert macs(meter) == [2 * rows * (2 * 64 * 100 + 3 * 100 * 2)]  # its loader keeps the ragged last batch
    assert meter.records[0]["bytes_kept"] is None
    assert "doesn't say what it keeps" in meter.records[0]["reasons"]["bytes_kept"]


# What isn't training


def test_evaluation_is_no_part_of_training(stream):
    _, plain = trained(Naive, stream)
    matrix = AccuracyMatrix(stream.test_stream)
    _, evaluated = trained(Naive, stream, plugins=[matrix])
    before = AccuracyMatrix(stream.test_stream)
    meter = CostMeter()
    torch.manual_seed(0)
    first = Naive(stream.backbone(), epochs=2, plugins=[before, meter])
    for number in range(2):
        first.train(stream.train_stream[number])
    assert macs(plain) == macs(evaluated) == macs(meter)
    for one in (evaluated, meter):
        assert all(record["evaluation_seconds"] > 0 for record in one.records)
    assert all(record["evaluation_seconds"] == 0 for record in plain.records)


def test_training_that_breaks_off_leaves_no_counter_behind():
    labelled = SplitDigits(backbone="mlp", task_labels=False)
    meter = CostMeter()
    strategy = PartialHypernetwork(labelled.backbone(), epochs=1, plugins=[meter], **PUBLISHED)
    strategy.train(labelled.train_stream[0])
    with pytest.raises(UserError):
        strategy.train(labelled.train_stream[1])
    from torch.utils._python_dispatch import _get_current_dispatch_mode

    assert _get_current_dispatch_mode() is None
    assert len(meter.records) == 1


# Parameters and bytes


def numbers(tensors):
    return sum(tensor.numel() for tensor in tensors)


def test_what_an_experience_trained_is_told_from_what_it_held_fixed(stream):
    _, meter = trained(Naive, stream, freeze_depth=1)
    front, back, head = FIRST + 256, SECOND + 256, HEAD + 2
    assert [record["trainable_parameters"] for record in meter.records] == [front + back + head, back + head]
    assert [record["frozen_parameters"] for record in meter.records] == [0, front + head]


def test_generated_and_own_parameters_of_a_partial_hypernetwork_are_told_apart(stream):
    strategy, meter = trained(PartialHypernetwork, stream, **PUBLISHED)
    assert meter.records[-1]["generated_parameters"] == SECOND + 256 + HEAD + 2
    earlier = 32 + 256 + 2
    assert meter.records[-1]["frozen_parameters"] == FIRST + 256 + earlier
    assert meter.records[-1]["trainable_parameters"] == numbers(strategy.model.hypernetwork.parameters()) - earlier


@pytest.mark.parametrize("stored_as", ["float32", "float16"])
def test_bytes_kept_count_the_buffer_at_its_own_type(stream, stored_as):
    strategy, meter = trained(LatentReplay, stream, freeze_depth=1, buffer_size=20, stored_as=stored_as)
    of_a_row = 256 * {"float32": 4, "float16": 2}[stored_as] + 8 + 8
    model = 4 * (FIRST + 256 + SECOND + 256 + 2 * (HEAD + 2))
    assert meter.records[-1]["bytes_kept"] == model + 20 * of_a_row
    assert len(strategy.buffer) == 20


def test_separate_backs_keep_a_whole_back_a_task(stream):
    _, meter = trained(Separate, stream, 3, freeze_depth=1)
    kept = [record["bytes_kept"] for record in meter.records]
    back = 4 * (SECOND + 256 + HEAD + 2)
    assert kept[1] - kept[0] == kept[2] - kept[1] == back
    _, meter = trained(PartialHypernetwork, stream, 3, **PUBLISHED)
    kept = [record["bytes_kept"] for record in meter.records]
    assert kept[1] - kept[0] == kept[2] - kept[1] == 4 * (32 + 256 + 2)


def test_statistics_a_task_are_counted_among_the_bytes_of_one_more_task():
    stream = SplitDigits()
    x = torch.zeros(8, 1, 8, 8)
    sizes = {}
    for norm in ("batch", "instance"):
        strategy, meter = trained(PartialHypernetwork, stream, **PUBLISHED, norm=norm, epochs=1)
        meter.measure_use(strategy, x, 1)
        sizes[norm] = meter.total()["bytes_per_task"]
        assert sizes[norm] == meter.records[1]["bytes_kept"] - meter.records[0]["bytes_kept"]
    assert sizes["batch"] - sizes["instance"] == 2 * (4 * 32 + 4 * 64) + 2 * 8


# Results


def test_totals_sum_what_adds_up_and_take_the_peak_of_peaks(stream):
    _, meter = trained(Naive, stream)
    total = meter.total()
    assert total["train_macs"] == sum(macs(meter))
    assert total["train_seconds"] == sum(record["train_seconds"] for record in meter.records)
    peaks = [record["peak_host_bytes"] for record in meter.records]
    if None not in peaks:
        assert total["peak_host_bytes"] == max(peaks) > 50e6
    assert set(COSTS) <= set(total)
    assert total["peak_device_bytes"] is None
    for name in COSTS:
        assert (total[name] is None) == (name in total["reasons"]), name


def test_seconds_are_positive_and_about_those_that_passed(stream):
    import time

    start = time.perf_counter()
    _, meter = trained(Naive, stream, epochs=6)
    passed = time.perf_counter() - start
    assert 0 < meter.total()["train_seconds"] < 1.05 * passed


def test_measuring_use_leaves_the_model_and_its_mode_as_they_were(stream):
    strategy, meter = trained(PartialHypernetwork, stream, **PUBLISHED)
    strategy.model.train()
    before = {name: tensor.clone() for name, tensor in strategy.model.state_dict().items()}
    meter.measure_use(strategy, torch.zeros(8, 1, 8, 8), 0)
    assert strategy.model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in strategy.model.state_dict().items())
    assert meter.total()["generation_ms"] > 0
    assert meter.total()["batch_ms"] > 0
    assert meter.total()["bytes_per_task"] == 4 * (32 + 256 + 2)


def test_what_is_not_generated_has_no_time_of_generation_but_a_reason(stream):
    strategy, meter = trained(Naive, stream)
    meter.measure_use(strategy, torch.zeros(8, 1, 8, 8), 0)
    assert meter.total()["generation_ms"] is None
    assert meter.total()["reasons"]["generation_ms"] == "nothing is generated"
    assert meter.total()["bytes_per_task"] == 4 * (HEAD + 2)


def test_a_restored_meter_goes_on(stream):
    _, whole = trained(Naive, stream, 2)
    _, first = trained(Naive, stream, 1)
    second = CostMeter()
    second.restore(first.state())
    trained(Naive, stream, 1, meter=second)
    assert macs(second) == [macs(whole)[0]] * 2
    assert second.total()["train_macs"] == sum(macs(second))
