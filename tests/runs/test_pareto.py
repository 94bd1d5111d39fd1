"""The Pareto front, and how surely each configuration is on it."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from written_runs import write_run

from clhyper.errors import UserError
from clhyper.figures.against_cost import pareto as front_of_points
from clhyper.figures.summary import CONFIGURATION, summarise
from clhyper.runs import load
from clhyper.runs.pareto import non_dominated, pareto

NUMBERS = some.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, math.nan]) | some.floats(-2, 2)


def beaten(point, other) -> bool:
    return all(b <= a for a, b in zip(point, other, strict=True)) and other != point


@settings(deadline=None, derandomize=True, database=None)
@given(some.lists(some.lists(some.tuples(NUMBERS, NUMBERS), min_size=5, max_size=5), min_size=1, max_size=4))
def test_a_point_stays_if_and_only_if_no_other_beats_it(rows):
    costs, losses = np.moveaxis(np.array(rows), -1, 0)
    found = non_dominated(costs, losses)
    for points, stays in zip(rows, found, strict=True):
        known = [point for point in points if not any(map(math.isnan, point))]
        expected = [point in known and not any(beaten(point, other) for other in known) for point in points]
        assert stays.tolist() == expected
        assert sorted(front_of_points(points)) == [index for index, stay in enumerate(expected) if stay]


def write(results, strategy, losses, macs, seeds=None, **numbers):
    for seed, loss in zip(seeds or range(len(losses)), losses, strict=True):
        write_run(results, strategy, seed, forgetting=loss, train_macs=macs, **numbers)


def found_by_strategy(results, *arguments, **keywords) -> pd.DataFrame:
    return pareto(load(results), *arguments, **keywords).set_index("strategy")


def test_what_is_always_better_for_less_is_surely_on_the_front_and_what_it_beats_surely_not(tmp_path):
    write(tmp_path, "naive", [0.1, 0.12, 0.11], 1e9)
    write(tmp_path, "ewc", [0.3, 0.33, 0.35], 2e9)
    write(tmp_path, "lwf", [0.01, 0.02, 0.03], 3e9)
    found = found_by_strategy(tmp_path)
    assert found["on_front"].to_dict() == {"ewc": False, "lwf": True, "naive": True}
    assert found["probability"].to_dict() == {"ewc": 0.0, "lwf": 1.0, "naive": 1.0}
    assert found.attrs["caveats"] == []


def test_two_of_equal_cost_share_the_probability_unless_a_shared_seed_always_favours_one(tmp_path):
    noise = [0.0, 0.1, -0.05, 0.02, -0.07]
    for strategy, gain in (("naive", 0.0), ("ewc", 0.001)):
        write(tmp_path / "paired", strategy, [0.3 + n - gain for n in noise], 1e9)
        seeds = range(5) if strategy == "naive" else range(5, 10)
        write(tmp_path / "apart", strategy, [0.3 + n - gain for n in noise], 1e9, seeds)
    assert found_by_strategy(tmp_path / "paired")["probability"].to_dict() == {"ewc": 1.0, "naive": 0.0}
    apart = found_by_strategy(tmp_path / "apart")["probability"]
    assert apart.sum() == pytest.approx(1.0)
    assert 0.4 < apart["ewc"] < 0.65


def test_the_probability_is_that_of_a_normal_difference_of_means(tmp_path):
    from scipy.stats import norm

    random = np.random.default_rng(1)
    one, other = random.normal(0.30, 0.03, 30), random.normal(0.31, 0.03, 30)
    write(tmp_path, "naive", one, 1e9)
    write(tmp_path, "ewc", other, 1e9)
    differences = other - one
    expected = norm.cdf(differences.mean() / (differences.std(ddof=1) / math.sqrt(30)))
    assert found_by_strategy(tmp_path)["probability"]["naive"] == pytest.approx(expected, abs=0.03)


def test_configurations_that_are_equal_in_all_are_on_the_front_together(tmp_path):
    for strategy in ("naive", "ewc"):
        write(tmp_path, strategy, [0.1, 0.2, 0.3], 1e9 / 3)
    assert found_by_strategy(tmp_path)["probability"].tolist() == [1.0, 1.0]


def test_one_repetition_has_no_probability_and_keeps_others_from_the_front(tmp_path):
    write(tmp_path, "naive", [0.1], 1e9)
    write(tmp_path, "ewc", [0.2, 0.3], 1e9)
    found = found_by_strategy(tmp_path)
    assert math.isnan(found["probability"]["naive"])
    assert math.isnan(found["metric_low"]["naive"])
    assert found["note"].to_dict() == {"ewc": "", "naive": "one repetition: can't be resampled"}
    assert (found["on_front"]["naive"], found["probability"]["ewc"]) == (True, 0.0)


def test_what_learns_all_experiences_at_once_is_shown_and_never_on_the_front(tmp_path):
    write(tmp_path, "naive", [0.1, 0.2], 1e9, acc=0.5)
    write(tmp_path, "joint", [None, None], 1e8, acc=0.9)
    found = found_by_strategy(tmp_path, "acc")
    assert found["on_front"].to_dict() == {"joint": False, "naive": True}
    assert math.isnan(found["probability"]["joint"])
    assert found["note"]["joint"].startswith("no forgetting")


def test_more_accuracy_and_less_forgetting_are_better(tmp_path):
    write(tmp_path, "naive", [0.1, 0.1], 1e9, acc=0.5)
    write(tmp_path, "ewc", [0.2, 0.2], 1e9, acc=0.6)
    assert found_by_strategy(tmp_path, "acc")["on_front"].to_dict() == {"ewc": True, "naive": False}
    assert found_by_strategy(tmp_path, "forgetting")["on_front"].to_dict() == {"ewc": False, "naive": True}


def test_streams_have_fronts_of_their_own_and_rows_are_those_of_the_table(tmp_path):
    write(tmp_path, "naive", [0.1, 0.2], 1e9)
    write(tmp_path, "ewc", [0.3, 0.4], 1e9, stream={"experiences": 2})
    write(tmp_path, "ewc", [0.2, 0.3], 1e9, options={"learning_rate": 0.1})
    runs = load(tmp_path)
    found, summary = pareto(runs), summarise(runs)
    assert len(found) == len(summary) == 3
    both = summary.merge(found, on=[name for name in CONFIGURATION if name != "front"])
    assert both["forgetting"].tolist() == pytest.approx(both["metric"].tolist())
    assert both["forgetting_interval"].tolist() == pytest.approx((both["metric_high"] - both["metric"]).tolist())
    assert both["train_macs"].tolist() == both["cost"].tolist() == both["cost_high"].tolist()
    assert found.set_index(["strategy", "experiences"])["on_front"].to_dict() == {
        ("ewc", 2): True, ("ewc", 5): False, ("naive", 5): True,
    }  # fmt: skip


def test_a_front_is_the_same_every_time_and_differs_little_with_another_seed(tmp_path):
    write(tmp_path, "naive", [0.1, 0.3, 0.2], 1e9)
    write(tmp_path, "ewc", [0.2, 0.1, 0.28], 1e9)
    first, second, other = (found_by_strategy(tmp_path, seed=seed)["probability"] for seed in (0, 0, 1))
    assert first.equals(second)
    assert not first.equals(other)
    assert first.tolist() == pytest.approx(other.tolist(), abs=0.05)


def test_measured_costs_of_several_engines_or_machines_are_refused_and_runs_at_once_are_remarked(tmp_path):
    write(tmp_path / "engines", "naive", [0.1, 0.2], 1e9, engine="eager")
    write(tmp_path / "engines", "ewc", [0.1, 0.2], 1e9, engine="compiled")
    write(tmp_path / "machines", "naive", [0.1, 0.2], 1e9, machine="one")
    write(tmp_path / "machines", "ewc", [0.1, 0.2], 1e9, machine="other")
    write(tmp_path / "shared", "naive", [0.1, 0.2], 1e9, runs_at_once=3)
    with pytest.raises(UserError, match=r"different engines \(compiled, eager\).*the runs of one engine"):
        pareto(load(tmp_path / "engines"), cost="train_seconds")
    with pytest.raises(UserError, match=r"different machines \(one, other\)"):
        pareto(load(tmp_path / "machines"), cost="train_seconds")
    assert len(pareto(load(tmp_path / "engines"), cost="train_macs")) == 2
    (caveat,) = pareto(load(tmp_path / "shared"), cost="train_seconds").attrs["caveats"]
    assert "up to 3 runs at once" in caveat


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"metric": "forgeting"}, "unknown metric 'forgeting': did you mean 'forgetting'"),
        ({"cost": "macs"}, "unknown cost 'macs'"),
        ({"resamples": 10}, "resamples 10: at least 2000"),
        ({"metric": "fwt"}, "fwt: no complete run has it"),
        ({"cost": "generation_ms"}, "generation_ms: no complete run has it"),
    ],
)
def test_what_can_have_no_front_is_said_in_a_sentence(keywords, message, tmp_path):
    write(tmp_path, "naive", [0.1, 0.2], 1e9)
    with pytest.raises(UserError, match=message):
        pareto(load(tmp_path), **keywords)
