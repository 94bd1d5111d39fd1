"""What holds of the numbers of the field for any accuracy matrix, with any of its cells missing."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from clhyper.evaluation.metrics import all_metrics
from clhyper.figures.summary import mean_and_interval

ALIKE = settings(derandomize=True, deadline=None, database=None, max_examples=150)
SHARES = some.floats(0, 1)
CELLS = some.none() | SHARES


@some.composite
def matrices(draw, cell=CELLS):
    size = draw(some.integers(1, 6))
    return [[draw(cell) for _ in range(size)] for _ in range(size)]


def array(matrix) -> np.ndarray:
    return np.array(matrix, dtype=float)  # None becomes NaN


@ALIKE
@given(matrices(), some.none() | some.lists(some.none() | SHARES, min_size=6, max_size=6))
def test_every_metric_is_what_numpy_makes_of_the_matrix_or_none_with_a_reason(matrix, initial):
    r, size = array(matrix), len(matrix)
    start = array(initial if initial is not None else [None] * 6)
    earlier = range(size - 1)
    # The best before the end leaves out what wasn't evaluated; all else needs every cell that it names.
    best = [max((r[i, j] for i in earlier if not math.isnan(r[i, j])), default=math.nan) for j in earlier]
    expected = {
        "acc": r[-1],
        "forgetting": np.array([best[j] - r[-1, j] for j in earlier]),
        "bwt": np.array([r[-1, j] - r[j, j] for j in earlier]),
        "fwt": np.array([r[j - 1, j] - start[j] for j in range(1, size)]),
        "learning_accuracy": np.diag(r),
    }
    for name, (value, reason) in all_metrics(matrix, initial).items():
        parts = expected[name]
        if len(parts) and not np.isnan(parts).any():
            assert reason is None
            assert value == pytest.approx(parts.mean(), abs=1e-12)
        else:
            assert value is None
            assert reason


@ALIKE
@given(matrices())
def test_no_metric_leaves_its_bounds(matrix):
    found = {name: value for name, (value, _) in all_metrics(matrix, [0.5] * 6).items() if value is not None}
    for name in ("acc", "learning_accuracy"):
        assert 0 <= found.get(name, 0) <= 1
    for name in ("forgetting", "bwt", "fwt"):
        assert -1 <= found.get(name, 0) <= 1
    if {"forgetting", "bwt"} <= set(found):
        assert found["forgetting"] >= -found["bwt"] - 1e-12
    if {"acc", "bwt", "learning_accuracy"} <= set(found):
        share = (len(matrix) - 1) / len(matrix)
        assert found["acc"] == pytest.approx(found["learning_accuracy"] + share * found["bwt"], abs=1e-12)


@ALIKE
@given(matrices(SHARES), some.data())
def test_what_is_ahead_of_the_diagonal_decides_only_transfer_and_the_best(matrix, data):
    blind = [[value if j <= i else None for j, value in enumerate(row)] for i, row in enumerate(matrix)]
    whole, partly = all_metrics(matrix), all_metrics(blind)
    for name in ("acc", "bwt", "learning_accuracy"):
        assert whole[name] == partly[name]
    if len(matrix) > 1:
        assert whole["forgetting"][0] >= partly["forgetting"][0]


@ALIKE
@given(some.lists(some.floats(-1e6, 1e6) | some.just(math.nan), max_size=8).flatmap(
    lambda values: some.tuples(some.just(values), some.permutations(values))
))  # fmt: skip
def test_mean_and_interval_do_not_depend_on_the_order_of_seeds(both):
    values, shuffled = both
    assert mean_and_interval(shuffled) == pytest.approx(mean_and_interval(values), nan_ok=True)
    known = [value for value in values if not math.isnan(value)]
    mean, half = mean_and_interval(values)
    assert math.isnan(mean) == (not known)
    assert math.isnan(half) == (len(known) < 2)
    if known:
        assert min(known) - 1e-9 <= mean <= max(known) + 1e-9
