"""The speed benchmark compares like with like."""

import pytest
import torch

from benchmarks.speed.generation import (
    LARGEST_DIFFERENCE,
    Options,
    compile_ways,
    differences,
    make_ways,
    time_steps,
)
from clhyper.hypernetworks import AdditiveHypernetwork


@pytest.fixture
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("depth", [4, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (0, 2))])
def test_the_published_way_and_ours_compute_the_same_loss_drift_and_gradients(depth):
    ways = make_ways(Options(depth=depth, earlier_tasks=3, batch_size=4))
    assert ways["ours"].drift() > 0
    assert max(differences(ways).values()) < 1e-9


@pytest.mark.slow  # it compiles a step
def test_compiled_steps_have_the_same_gradients_and_leave_the_parameters_as_they_were():
    ways = make_ways(Options(depth=3, earlier_tasks=3, batch_size=4))
    ways |= compile_ways(ways)
    before = ways["ours"].drift().detach()
    assert max(differences(ways).values()) < 1e-4
    assert ways["ours"].drift() == before


def test_a_wrong_drift_is_noticed(monkeypatch):
    right = AdditiveHypernetwork.drift
    monkeypatch.setattr(AdditiveHypernetwork, "drift", lambda *arguments: 1.05 * right(*arguments))
    ways = make_ways(Options(earlier_tasks=3, batch_size=4))
    assert max(differences(ways).values()) > LARGEST_DIFFERENCE


@pytest.mark.slow
def test_every_way_is_timed():
    options = Options(earlier_tasks=3, batch_size=4, steps=1)
    assert all(min(milliseconds) > 0 for milliseconds in time_steps(make_ways(options), options).values())
