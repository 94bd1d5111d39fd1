"""Multiply-accumulates by what they serve, against those counted by hand from the layers' sizes."""

import pytest
from torch.nn import functional as F

from benchmarks import SplitDigits
from clhyper.backbones.heads import HeadedModel
from clhyper.evaluation import CostMeter
from clhyper.parts import PARTS
from strategies import AGEM, DER, EWC, LatentReplay, LwF, Naive, PartialHypernetwork

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


def test_a_model_of_ones_own_has_its_back_counted_without_saying_so(stream):
    class Own(HeadedModel):
        def back(self, features, tasks):
            return F.softplus(self.classify(self.body(features), tasks))

    class OwnNaive(Naive):
        def make_model(self, backbone):
            return Own(backbone, self.freeze_depth)

    _, meter = trained(OwnNaive, stream, freeze_depth=1)
    assert parts(meter.records[1]) == {"front": images(stream, 1) * FIRST, "back": rows(stream, 1) * BACK}
