"""What records of costs say of parts and losses, and what those say that don't have them."""

import copy
import json

import pytest
import torch
from avalanche.models import SimpleMLP
from avalanche.training import Naive as AvalanchesNaive
from avalanche.training.plugins import EvaluationPlugin

from benchmarks import SplitDigits
from clhyper.evaluation import CostMeter
from clhyper.parts import PARTS
from strategies import EWC, Naive, PartialHypernetwork


@pytest.fixture(scope="module")
def stream():
    return SplitDigits(backbone="mlp")


def trained(strategy_class, stream, experiences=2):
    meter = CostMeter()
    strategy = strategy_class(stream.backbone(), plugins=[meter], epochs=2, freeze_depth=1)
    for number in range(experiences):
        strategy.train(stream.train_stream[number])
    return meter


def avalanches(stream, meter):
    model = SimpleMLP(num_classes=2, input_size=64, hidden_size=100)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    strategy = AvalanchesNaive(
        model=model, optimizer=optimizer, train_mb_size=64, plugins=[meter], evaluator=EvaluationPlugin()
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
    meter = trained(EWC, stream)
    total = meter.total()
    for name in (f"{name}_macs" for name in PARTS):
        assert total[name] == sum(record[name] for record in meter.records)
    assert sum(total[f"{name}_macs"] for name in PARTS) == total["train_macs"]


def test_a_run_that_an_earlier_version_began_goes_on_and_its_totals_of_parts_are_not_known(stream):
    first = trained(Naive, stream, 1)
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
    meter = trained(Naive, stream, 1)
    assert "loss_by_epoch" not in meter.frame()
    assert meter.frame()["back_macs"].tolist() == [meter.records[0]["back_macs"]]
