"""Multiply-accumulates by what they serve, against those counted by hand from the layers' sizes, and losses."""

import copy
import json

import pytest
import torch
from avalanche.models import SimpleMLP
from avalanche.training import Naive as AvalanchesNaive
from avalanche.training.plugins import EvaluationPlugin
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from benchmarks import SplitDigits
from clhyper.backbones.heads import HeadedModel
from clhyper.evaluation import CostMeter
from clhyper.evaluation.counter import OperationCounter
from clhyper.parts import PARTS, part
from strategies import AGEM, DER, EWC, LatentReplay, LwF, Naive, PartialHypernetwork, Separate

BATCH = 64
# The multilayer perceptron on the digits: 64 pixels, two hidden layers of 256 units, two classes an experience.
FIRST, SECOND, HEAD = 64 * 256, 256 * 256, 256 * 2
ROOM = 8  # heads in a step that mixes tasks, all applied to every row, those of padding too
BACK = 2 * SECOND + 3 * HEAD  # of an image, behind a frozen front: nothing asks for the gradient of the features


@pytest.fixture(scope="module")
def stream():
    return SplitDigits(backbone="mlp")


def trained(strategy_class, stream, experiences=2, **options):
    meter = CostMeter()
    strategy = strategy_class(stream.backbone(), plugins=[meter], **{"epochs": 2, **options})
    for number in range(experiences):
        strategy.train(stream.train_stream[number])
    return strategy, meter


def parts(record):
    return {name: record[f"{name}_macs"] for name in PARTS if record[f"{name}_macs"]}


def images(stream, number):
    return len(stream.train_stream[number].images)


def rows(stream, number):
    """Rows of new images in all steps of an experience's two epochs."""
    return 2 * (images(stream, number) // BATCH) * BATCH


# By hand


def test_the_front_has_its_own_backward_pass_until_it_is_frozen(stream):
    _, meter = trained(Naive, stream, freeze_depth=1)
    first, second = meter.records
    assert parts(first) == {"front": rows(stream, 0) * 2 * FIRST, "back": rows(stream, 0) * (3 * SECOND + 3 * HEAD)}
    assert parts(second) == {"front": images(stream, 1) * FIRST, "back": rows(stream, 1) * BACK}


def test_with_nothing_frozen_there_is_no_front(stream):
    _, meter = trained(Naive, stream, 1)
    assert parts(meter.records[0]) == {"back": meter.records[0]["train_macs"]}


def test_replayed_features_are_the_backs_and_filling_the_buffer_is_the_fronts(stream):
    _, meter = trained(LatentReplay, stream, freeze_depth=1, buffer_size=20, replay_batch_size=16)
    steps = rows(stream, 1) // BATCH
    back = steps * (BATCH + 16) * (2 * SECOND + 3 * ROOM * HEAD)
    assert parts(meter.records[1]) == {"front": (images(stream, 1) + 10) * FIRST, "back": back}


def test_importances_of_ewc_are_other_passes_and_the_features_they_start_from_are_the_fronts(stream):
    _, meter = trained(EWC, stream, freeze_depth=1)
    importances = images(stream, 0) * (3 * SECOND + 3 * HEAD), images(stream, 1) * BACK
    assert meter.records[1]["other_macs"] == importances[1]
    assert meter.records[1]["back_macs"] == rows(stream, 1) * BACK
    assert meter.records[0]["front_macs"] == (2 * rows(stream, 0) + images(stream, 0)) * FIRST


def test_what_the_previous_network_says_is_another_pass(stream):
    _, meter = trained(LwF, stream, freeze_depth=1)
    forward = SECOND + ROOM * HEAD
    back = rows(stream, 1) * (2 * SECOND + 3 * ROOM * HEAD)
    assert parts(meter.records[1]) == {
        "front": images(stream, 1) * FIRST,
        "back": back,
        "other": rows(stream, 1) * forward,
    }


def test_the_reference_gradient_of_agem_is_another_pass_and_augmented_examples_pass_the_front():
    augmented = SplitDigits(backbone="mlp", augmentation="flip")
    _, meter = trained(AGEM, augmented, freeze_depth=1, patterns_per_experience=10, sample_size=10)
    second, steps = meter.records[1], rows(augmented, 1) // BATCH
    assert second["front_macs"] == steps * (BATCH + 10) * FIRST
    assert second["back_macs"] == rows(augmented, 1) * BACK
    assert second["other_macs"] == steps * 10 * (2 * SECOND + 2 * ROOM * HEAD)  # earlier heads have no gradient


def test_logits_that_der_stores_are_other_passes(stream):
    _, meter = trained(DER, stream, freeze_depth=1, buffer_size=20, replay_batch_size=16)
    assert meter.records[0]["other_macs"] == 20 * (SECOND + HEAD)
    assert meter.records[0]["front_macs"] == rows(stream, 0) * 2 * FIRST + 20 * FIRST
    assert meter.records[1]["other_macs"] == 10 * (SECOND + HEAD)


@pytest.fixture(scope="module")
def chunked(stream):
    """Chunks of the back's weights, each from the embeddings of task and chunk through one hidden layer."""
    options = {"generator": "chunked", "embedding": 4, "chunk_embedding": 4, "chunk_hidden": (10,), "chunk_size": 500}

    def train(experiences=3, **more):
        return trained(PartialHypernetwork, stream, experiences, freeze_depth=1, **options, **more)[1].records

    return train


def test_what_a_step_generates_is_generation_and_what_the_drift_generates_is_drift(stream, chunked):
    first, _, third = chunked()
    steps = [rows(stream, number) // BATCH for number in range(3)]
    assert first["drift_macs"] == 0
    assert third["back_macs"] == rows(stream, 2) * BACK
    assert third["generation_macs"] / steps[2] == first["generation_macs"] / steps[0] > 0
    assert third["drift_macs"] > 0
    assert third["other_macs"] == 0
    (_, _, without) = chunked(beta=0.0)
    assert without["drift_macs"] == 0
    kept = [name for name in PARTS if name != "drift"]
    assert [without[f"{name}_macs"] for name in kept] == [third[f"{name}_macs"] for name in kept]


def test_looking_ahead_changes_where_the_drift_is_taken_and_no_part(chunked):
    ahead, here = chunked(lookahead=True), chunked(lookahead=False)
    assert [parts(record) for record in ahead] == [parts(record) for record in here]


def test_distillation_is_other_with_the_networks_that_it_generates(chunked):
    plain, distilled = chunked(), chunked(distillation=1.0)
    assert parts(distilled[0]) == parts(plain[0])
    for one, other in zip(plain[1:], distilled[1:], strict=True):
        assert other["other_macs"] > other["back_macs"]
        assert parts(other) == {**parts(one), "other": other["other_macs"]}


# How parts are told


def test_a_part_within_drift_is_drift_and_one_within_another_part_is_its_own():
    x = torch.ones(2, 3)
    with OperationCounter() as counter:
        with part("drift"), part("generation"):
            x @ torch.ones(3, 5)
        with part("back"):
            with part("generation"):
                x @ torch.ones(3, 7)
            x @ torch.ones(3, 11)
        x @ torch.ones(3, 13)
    assert counter.macs() == {"front": 0, "generation": 42, "back": 66, "drift": 30, "other": 78}


def test_what_is_computed_again_in_a_backward_pass_belongs_to_the_part_that_it_was_first_computed_in():
    x, weight = torch.ones(2, 3), torch.ones(3, 5, requires_grad=True)
    other = torch.ones(5, 1, requires_grad=True)
    with OperationCounter() as counter:
        with part("front"):
            hidden = checkpoint(lambda w: (x @ w).square(), weight, use_reentrant=False)
        with part("back"):
            loss = (hidden @ other).sum()
        with part("generation"):  # a part that is under way elsewhere doesn't count
            loss.backward()
    assert counter.macs() == {"front": 30 + 30 + 30, "generation": 0, "back": 30, "drift": 0, "other": 0}


def test_a_model_of_ones_own_has_its_back_counted_without_saying_so(stream):
    class Own(HeadedModel):
        def back(self, features, tasks):
            return F.softplus(self.classify(self.body(features), tasks))

    class OwnNaive(Naive):
        def make_model(self, backbone):
            return Own(backbone, self.freeze_depth)

    _, meter = trained(OwnNaive, stream, freeze_depth=1)
    assert parts(meter.records[1]) == {"front": images(stream, 1) * FIRST, "back": rows(stream, 1) * BACK}


def test_counters_leave_nothing_behind_in_the_thread(stream):
    trained(Separate, stream, 1)
    x = torch.ones(2, 3, requires_grad=True)
    with part("front"):
        y = x @ torch.ones(3, 5)
    with OperationCounter() as counter:
        y.sum().backward()
    assert counter.macs() == {name: 30 if name == "other" else 0 for name in PARTS}


# Records


def avalanches(stream, meter):
    model = SimpleMLP(num_classes=2, input_size=64, hidden_size=100)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    strategy = AvalanchesNaive(
        model=model, optimizer=optimizer, train_mb_size=BATCH, plugins=[meter], evaluator=EvaluationPlugin()
    )
    strategy.train(stream.train_stream[0])


def test_avalanches_own_strategy_has_no_parts_and_no_losses_but_reasons(stream):
    meter = CostMeter()
    avalanches(stream, meter)
    (record,), total = meter.records, meter.total()
    assert record["train_macs"] > 0
    for name in (f"{name}_macs" for name in PARTS):
        assert record[name] is total[name] is None
        assert record["reasons"][name] == total["reasons"][name] == "Naive doesn't say which part does which work"
    assert record["loss_by_epoch"] is None
    assert record["reasons"]["loss_by_epoch"] == "Naive doesn't say its losses"


def test_totals_of_parts_are_sums_that_add_up_to_all_work(stream):
    _, meter = trained(EWC, stream, freeze_depth=1)
    total = meter.total()
    for name in (f"{name}_macs" for name in PARTS):
        assert total[name] == sum(record[name] for record in meter.records)
    assert sum(total[f"{name}_macs"] for name in PARTS) == total["train_macs"]


def test_a_run_that_an_earlier_version_began_goes_on_and_its_totals_of_parts_are_not_known(stream):
    _, first = trained(Naive, stream, 1)
    state = copy.deepcopy(first.state())
    for name in ("loss_by_epoch", *(f"{name}_macs" for name in PARTS)):
        del state["records"][0][name]
    meter = CostMeter()
    meter.restore(state)
    strategy = Naive(stream.backbone(), plugins=[meter], epochs=1)
    strategy.train(stream.train_stream[0])
    total = meter.total()
    assert total["train_macs"] == sum(record["train_macs"] for record in meter.records)
    assert total["back_macs"] is None
    assert total["reasons"]["back_macs"].startswith("experience 1 was trained by an earlier version")
    assert meter.frame()["back_macs"].isna().tolist() == [True, False]


# Losses


class Losses:
    """Every step's loss, by epoch, where it is made."""

    def __init__(self, strategy):
        self.epochs = []
        optimizer_step, before_epoch = strategy.optimizer_step, strategy._before_training_epoch

        def step():
            self.epochs[-1].append(float(strategy.loss))
            optimizer_step()

        def epoch(**kwargs):
            self.epochs.append([])
            before_epoch(**kwargs)

        strategy.optimizer_step, strategy._before_training_epoch = step, epoch


@pytest.mark.parametrize("strategy_class", [Naive, EWC, PartialHypernetwork])
def test_losses_by_epoch_are_means_of_its_steps_losses(strategy_class, stream):
    meter = CostMeter()
    strategy = strategy_class(stream.backbone(), freeze_depth=1, epochs=3, plugins=[meter])
    losses = Losses(strategy)
    for number in range(2):
        strategy.train(stream.train_stream[number])
    found = [loss for record in meter.records for loss in record["loss_by_epoch"]]
    assert [len(record["loss_by_epoch"]) for record in meter.records] == [3, 3]
    assert found == pytest.approx([sum(epoch) / len(epoch) for epoch in losses.epochs], rel=1e-12)
    assert found[2] < found[0]
    assert json.loads(json.dumps(meter.records))[0]["loss_by_epoch"] == found[:3]


def test_a_frame_of_costs_has_no_lists(stream):
    _, meter = trained(Naive, stream, 1)
    assert "loss_by_epoch" not in meter.frame()
    assert meter.frame()["back_macs"].tolist() == [meter.records[0]["back_macs"]]
