"""Two strategies compared over the seeds that they share."""

import math

import numpy as np
import pytest
from scipy import stats
from written_runs import write_run

from clhyper.errors import UserError
from clhyper.figures.compare import describe, sentence
from clhyper.figures.summary import summarise
from clhyper.runs import load
from clhyper.runs.compare import compare
from clhyper.runs.files import write_json

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
        write_run(tmp_path, "naive", seed, acc=one)
        write_run(tmp_path, "separate", seed, acc=other)
    found = compare(load(tmp_path), "naive", "separate")
    assert found.difference == pytest.approx(0.1)
    assert (found.t, found.bootstrap, found.t_p) == (None, None, None)


def test_accuracies_that_all_differ_by_the_same_amount_have_no_interval_and_counted_costs_are_exact(tmp_path):
    for seed in range(3):
        write_run(tmp_path, "naive", seed, acc=0.5, train_macs=5e9)
        write_run(tmp_path, "separate", seed, acc=0.75, train_macs=3e9)
    found = compare(load(tmp_path), "naive", "separate")
    assert sentence(found) == (
        "naive k=0 is 25.0 points less accurate than separate k=2 (the same in all 3 seeds, which gives no interval)."
    )
    assert "95 % interval: none, as all pairs differ by the same amount" in "\n".join(describe(found))
    cost = compare(load(tmp_path), "naive", "separate", "train_macs")
    assert (cost.t.low, cost.t.high, cost.bootstrap.low, cost.t_p) == (2e9, 2e9, 2e9, None)
    assert sentence(cost) == (
        "naive k=0 takes 2.00 GMAC more training compute than separate k=2 (exactly that in each of 3 seeds)."
    )
    assert "too narrow" not in "\n".join(describe(cost))
    same = compare(load(tmp_path), "naive", "separate", "forgetting")
    assert (same.equal, same.wilcoxon_p, same.smallest_p) == (3, None, None)
    assert "Wilcoxon signed-rank test: all pairs are equal" in describe(same)
    assert sentence(same).startswith("No difference in forgetting")


@pytest.mark.parametrize("seeds", [2, 4])
def test_one_pair_alone_that_differs_has_a_wilcoxon_p_of_one(seeds, tmp_path):
    for seed in range(seeds):
        write_run(tmp_path, "naive", seed, acc=0.5)
        write_run(tmp_path, "separate", seed, acc=0.5 + 0.1 * (seed == 1))
    found = compare(load(tmp_path), "naive", "separate")
    assert (found.wilcoxon_p, found.smallest_p) == (1.0, 1.0)
    assert (found.lower, found.equal) == (1, seeds - 1)


@pytest.mark.parametrize("streams", [({"augmentation": "flip"}, {}), ({"validation": 0.1}, {"validation": 0.2})])
def test_runs_of_another_augmentation_or_validation_share_are_never_averaged(streams, tmp_path):
    for seed in range(2):
        for acc, stream in zip((0.2, 0.8), streams, strict=True):
            write_run(tmp_path, "naive", seed, stream, acc=acc)
        write_run(tmp_path, "joint", seed, streams[0])
        write_run(tmp_path, "separate", seed, streams[1])
    runs = load(tmp_path)
    if "augmentation" in streams[0]:
        with pytest.raises(UserError, match="augmentation=flip; naive@0,augmentation=none"):
            compare(runs, "naive", "joint")
        found = compare(runs, "naive,augmentation=flip", "separate")
        assert ("augmentation", "flip", "none") in found.differ
        found = compare(runs, "naive,augmentation=flip", "joint")
    else:
        found = compare(runs, "naive", "joint")
        assert found.setting["stream"] == "validation=0.1"
    assert found.values_a == [0.2, 0.2]


def test_two_sides_that_differ_in_options_alone_are_named_by_them(tmp_path):
    for seed in range(2):
        for beta in (0.1, 1.0):
            write_run(tmp_path, "partial-hypernetwork", seed, options={"beta": beta, "epochs": 3}, acc=0.5 + beta / 9)
    found = compare(load(tmp_path), "partial-hypernetwork,beta=0.1", "partial-hypernetwork,beta=1.0")
    assert (found.a, found.b) == ("partial-hypernetwork k=2 (beta=0.1)", "partial-hypernetwork k=2 (beta=1.0)")
    assert found.a in sentence(found)


def test_every_option_of_training_in_which_the_sides_differ_is_said(tmp_path):
    one = {"epochs": 3, "batch_size": 16, "learning_rate": 0.1, "optimizer": "sgd", "norm": "group"}
    write_run(tmp_path, "naive", 0, {"augmentation": "flip"}, one)
    write_run(tmp_path, "separate", 0)
    differ = compare(load(tmp_path), "naive", "separate").differ
    assert {name: value for name, value, _ in differ} == {k: str(v) for k, v in one.items()} | {"augmentation": "flip"}
    assert "learning rate: 0.1 and 0.001" in describe(compare(load(tmp_path), "naive", "separate"))


def test_the_stream_is_named_by_what_is_not_its_default(tmp_path):
    write_run(tmp_path, "naive", 0, {"task_labels": False, "variant": "permuted"})
    write_run(tmp_path, "joint", 0, {"task_labels": False, "variant": "permuted"})
    lines = describe(compare(load(tmp_path), "naive", "joint"))
    assert (
        "acc, naive k=0 minus joint; split-digits, 5 experiences, small-convnet, test images,"
        " task_labels=False variant=permuted"
    ) in lines


@pytest.mark.parametrize("metrics", [{"acc": "x"}, {}])
def test_a_result_that_says_too_little_is_no_configuration_of_its_own(metrics, tmp_path):
    for seed in range(2):
        write_run(tmp_path, "joint", seed)
        config = write_run(tmp_path, "naive", seed)
    write_json(tmp_path / config.name / "result.json", {"status": "complete", "metrics": metrics})
    runs = load(tmp_path)
    assert runs.attrs["unread"] == {config.name: "result.json damaged"}
    assert compare(runs, "naive", "joint").pairs == ["seed 0"]
    assert len(summarise(runs)) == 2


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
    write_run(tmp_path, "joint", 0, device="cuda:1", machine="A GPU")
    caveats = " ".join(compare(load(tmp_path), "naive", "joint", "train_seconds").caveats)
    for words in ("6 runs at once", "devices (cpu, cuda)", "machines (A GPU, x86_64)"):
        assert words in caveats
    assert compare(load(tmp_path), "naive", "joint", "acc").caveats == []


def test_what_was_measured_compares_within_one_engine_only_and_all_else_across(tmp_path):
    write_run(tmp_path, "naive", 0)
    write_run(tmp_path, "joint", 0, engine="captured")
    write_run(tmp_path, "joint", 0, options={"epochs": 3})
    runs = load(tmp_path)
    for metric in ("train_seconds", "compilation_seconds", "train_joules", "batch_ms", "peak_host_bytes"):
        with pytest.raises(UserError, match="naive ran on engine eager and joint,engine=captured on captured"):
            compare(runs, "naive", "joint,engine=captured", metric)
        assert compare(runs, "naive", "joint,engine=eager", metric).difference == 0
    for metric in ("acc", "train_macs", "bytes_kept"):
        assert compare(runs, "naive", "joint,engine=captured", metric).differ == [("engine", "eager", "captured")]


def test_a_gpu_s_number_makes_no_other_configuration(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "naive", seed, device=f"cuda:{seed}")
        write_run(tmp_path, "joint", seed, device="cuda:0")
    assert len(compare(load(tmp_path), "naive", "joint").pairs) == 2
