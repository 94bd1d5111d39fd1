"""Two strategies compared over the seeds that they share."""

import math

import numpy as np
import pytest
from scipy import stats
from written_runs import write_run

from clhyper.errors import UserError
from clhyper.figures.compare import describe, sentence
from clhyper.runs import load
from clhyper.runs.compare import compare

ONE = [0.031, 0.012, 0.040, 0.022, 0.018]
OTHER = [0.125, 0.118, 0.109, 0.130, 0.101]


@pytest.fixture
def five(tmp_path):
    for seed, (one, other) in enumerate(zip(ONE, OTHER, strict=True)):
        write_run(tmp_path, "partial-hypernetwork", seed, forgetting=one, train_seconds=100.0 + seed)
        write_run(tmp_path, "latent-replay", seed, forgetting=other, train_seconds=60.0)
    return tmp_path


def test_the_numbers_are_those_of_the_paired_tests(five):
    found = compare(load(five), "partial-hypernetwork@2", "latent-replay@2", "forgetting")
    d = np.array(ONE) - np.array(OTHER)
    half = stats.t.ppf(0.975, 4) * d.std(ddof=1) / math.sqrt(5)
    assert (found.a, found.b, found.pairs) == (
        "partial-hypernetwork k=2", "latent-replay k=2", [f"seed {seed}" for seed in range(5)],
    )  # fmt: skip
    assert found.difference == pytest.approx(d.mean())
    assert (found.t.low, found.t.high) == pytest.approx((d.mean() - half, d.mean() + half))
    assert found.t_p == pytest.approx(stats.ttest_rel(ONE, OTHER).pvalue)
    assert found.wilcoxon_p == pytest.approx(2 / 2**5) == pytest.approx(found.smallest_p)
    assert (found.higher, found.lower, found.equal) == (0, 5, 0)
    assert d.min() <= found.bootstrap.low < d.mean() < found.bootstrap.high <= d.max()
    assert found.bootstrap.high - found.bootstrap.low < 2 * half
    assert found.differ == [("norm", "instance", "batch")]


def test_the_sentence_says_who_does_better_by_how_much_and_on_how_many_seeds(five):
    found = compare(load(five), "partial-hypernetwork@2", "latent-replay@2", "forgetting")
    said = (
        "partial-hypernetwork k=2 forgets 9.2 points less than latent-replay k=2 (95 % interval 7.2 to 11.2, 5 seeds)."
    )
    assert sentence(found) == said
    turned = compare(load(five), "latent-replay@2", "partial-hypernetwork@2", "forgetting")
    assert sentence(turned) == (
        "latent-replay k=2 forgets 9.2 points more than partial-hypernetwork k=2 (95 % interval 7.2 to 11.2, 5 seeds)."
    )
    assert turned.difference == -found.difference
    assert (turned.t_p, turned.wilcoxon_p) == (found.t_p, found.wilcoxon_p)
    slower = sentence(compare(load(five), "partial-hypernetwork", "latent-replay", "train_seconds"))
    assert slower == (
        "partial-hypernetwork k=2 takes 42.0 s more training time than latent-replay k=2"
        " (95 % interval 40.0 s to 44.0 s, 5 seeds)."
    )
    assert "it can't be below 0.0625" in "\n".join(describe(found))


def test_a_comparison_is_the_same_every_time(five):
    first, second = (compare(load(five), "partial-hypernetwork", "latent-replay", "forgetting") for _ in range(2))
    assert first == second


def test_an_interval_around_zero_shows_no_difference(tmp_path):
    for seed, (one, other) in enumerate([(0.80, 0.82), (0.83, 0.80), (0.81, 0.81)]):
        write_run(tmp_path, "naive", seed, acc=one)
        write_run(tmp_path, "separate", seed, acc=other)
    found = compare(load(tmp_path), "naive@0", "separate")
    assert (found.higher, found.lower, found.equal) == (1, 1, 1)
    assert sentence(found).startswith("No difference in final accuracy between naive k=0 and separate k=2 is shown")
    assert found.smallest_p == 0.5


def test_one_pair_gives_a_difference_and_nothing_else(tmp_path):
    write_run(tmp_path, "naive", 3, acc=0.5)
    write_run(tmp_path, "separate", 3, acc=0.9)
    found = compare(load(tmp_path), "naive", "separate")
    assert found.difference == pytest.approx(-0.4)
    assert (found.t, found.bootstrap, found.t_p, found.wilcoxon_p, found.smallest_p) == (None,) * 5
    assert "1 pair: no interval" in sentence(found)
    assert "Wilcoxon signed-rank test: needs 2 pairs" in describe(found)


def test_differences_that_rounding_alone_makes_are_none(tmp_path):
    for seed, (one, other) in enumerate([(0.9, 0.8), (0.8, 0.7), (0.4, 0.3)]):
        write_run(tmp_path, "naive", seed, acc=one, train_macs=5.0)
        write_run(tmp_path, "separate", seed, acc=other, train_macs=5.0)
    found = compare(load(tmp_path), "naive", "separate")
    assert (found.t.low, found.t.high, found.t_p) == (found.difference, found.difference, None)
    assert "all pairs differ by the same amount" in "\n".join(describe(found))
    same = compare(load(tmp_path), "naive", "separate", "train_macs")
    assert (same.equal, same.wilcoxon_p, same.smallest_p) == (3, None, None)
    assert "Wilcoxon signed-rank test: all pairs are equal" in describe(same)


def test_seeds_that_one_alone_has_are_left_out_and_named(five):
    write_run(five, "latent-replay", 7, forgetting=0.9)
    write_run(five, "partial-hypernetwork", 8, finished=False)
    found = compare(load(five), "partial-hypernetwork", "latent-replay", "forgetting")
    assert (len(found.pairs), found.only_a, found.only_b) == (5, [], ["seed 7"])
    assert "only latent-replay k=2 has: seed 7" in describe(found)


def test_pairs_share_the_order_of_classes_as_well_as_the_seed(tmp_path):
    for order in (1, 2, 3):
        write_run(tmp_path, "naive", 0, {"order_seed": order}, acc=0.5 + order / 100)
        if order < 3:
            write_run(tmp_path, "separate", 0, {"order_seed": order}, acc=0.8 + order / 50)
    found = compare(load(tmp_path), "naive", "separate")
    assert found.pairs == ["seed 0 order_seed=1", "seed 0 order_seed=2"]
    assert found.only_a == ["seed 0 order_seed=3"]
    assert found.difference == pytest.approx(np.mean([0.51 - 0.82, 0.52 - 0.84]))
    assert "2 pairs of seed and class order" in sentence(found)


@pytest.mark.parametrize("shared", [{"task_labels": False}, {"experiences": 2}, {"validation": 0.1}])
def test_other_streams_are_never_paired(tmp_path, shared):
    write_run(tmp_path, "naive", 0)
    write_run(tmp_path, "joint", 0, shared)
    with pytest.raises(UserError, match="naive and joint have no stream in common"):
        compare(load(tmp_path), "naive", "joint")


def test_the_same_name_over_other_data_is_not_compared(tmp_path):
    write_run(tmp_path, "naive", 0)
    write_run(tmp_path, "joint", 0, data="d2")
    with pytest.raises(UserError, match="different data under one name"):
        compare(load(tmp_path), "naive", "joint")


def test_ambiguity_is_refused_with_the_choices_and_each_of_them_is_understood(tmp_path):
    for seed in range(2):
        for options in ({"beta": 0.01}, {"beta": 0.1}, {"beta": 0.1, "norm": "group"}, {"freeze_depth": 1}):
            write_run(tmp_path, "partial-hypernetwork", seed, options=options)
        write_run(tmp_path, "naive", seed)
        write_run(tmp_path, "naive", seed, {"experiences": 2})
    runs = load(tmp_path)
    with pytest.raises(UserError, match="not one configuration but 4; name one: ") as refused:
        compare(runs, "partial-hypernetwork", "naive")
    choices = str(refused.value).split("name one: ")[1].split("; ")
    assert len(choices) == 4
    for choice in choices:
        assert len(compare(runs, choice, "naive@0,experiences=5").pairs) == 2
    with pytest.raises(UserError, match="not one configuration but 3"):
        compare(runs, "partial-hypernetwork@2", "naive,experiences=5")
    assert len(compare(runs, "partial-hypernetwork@2,norm=group", "partial-hypernetwork@1").pairs) == 2
    with pytest.raises(UserError, match=r"has beta=7; there are .*beta=0\.01"):
        compare(runs, "partial-hypernetwork@2,beta=7", "naive")


@pytest.mark.parametrize(
    ("a", "b", "metric", "why"),
    [
        ("naiv", "joint", "acc", "did you mean 'naive'"),
        ("naive@7", "joint", "acc", "no run of naive@7 in these results; there are naive@0"),
        ("naive@x", "joint", "acc", "after @ comes a freeze depth"),
        ("naive@²", "joint", "acc", "after @ comes a freeze depth"),
        ("naive", "naive@0", "acc", "the same runs"),
        ("naive", "joint", "accuracy", "unknown metric 'accuracy'"),
        ("naive", "joint", "generation_ms", "generation_ms: no complete run of naive has it"),
        ("naive", "separate", "acc", "share no seed: naive has seed 0, separate has seed 5"),
        ("naive", "replay", "acc", "replay has no complete run yet"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(a, b, metric, why, tmp_path):
    write_run(tmp_path, "naive", 0)
    write_run(tmp_path, "joint", 0)
    write_run(tmp_path, "separate", 5)
    write_run(tmp_path, "replay", 0, finished=False)
    with pytest.raises(UserError, match=why):
        compare(load(tmp_path), a, b, metric)


def test_depth_zero_is_found_under_either_name(tmp_path):
    write_run(tmp_path, "full-hypernetwork", 0, acc=0.7)
    write_run(tmp_path, "naive", 0, acc=0.5)
    found = [compare(load(tmp_path), name, "naive") for name in ("full-hypernetwork", "partial-hypernetwork@0")]
    assert found[0] == found[1]


def test_times_of_a_shared_machine_or_of_different_ones_are_marked(tmp_path):
    write_run(tmp_path, "naive", 0, runs_at_once=6)
    write_run(tmp_path, "joint", 0, device="cuda:1", machine="A GPU", engine="captured")
    caveats = " ".join(compare(load(tmp_path), "naive", "joint", "train_seconds").caveats)
    for words in ("6 runs at once", "devices (cpu, cuda)", "engines (captured, eager)", "machines (A GPU, x86_64)"):
        assert words in caveats
    assert compare(load(tmp_path), "naive", "joint", "acc").caveats == []


def test_a_gpu_s_number_makes_no_other_configuration(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "naive", seed, device=f"cuda:{seed}")
        write_run(tmp_path, "joint", seed, device="cuda:0")
    assert len(compare(load(tmp_path), "naive", "joint").pairs) == 2
