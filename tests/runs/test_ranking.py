"""Strategies ranked over several streams."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from written_runs import write_run

from clhyper.errors import UserError
from clhyper.runs import load
from clhyper.runs.ranking import critical_difference, holm, rank

STREAMS = [{"experiences": 5}, {"experiences": 2}, {"validation": 0.1}, {"image_size": 16}]
VALUES = {
    "naive": (0.3, 0.4, 0.5, 0.35),
    "ewc": (0.5, 0.45, 0.55, 0.60),
    "lwf": (0.6, 0.65, 0.50, 0.70),
    "der": (0.9, 0.85, 0.95, 0.80),
}
"""ACC by strategy, on each stream; two tie on the third."""


def write(results, strategy, values, **keywords) -> None:
    for stream, value in zip(STREAMS, values, strict=True):
        if value is not None:
            for seed in range(2):
                write_run(results, strategy, seed, stream, acc=value + (seed - 0.5) / 50, forgetting=value, **keywords)


@pytest.fixture
def four(tmp_path):
    for strategy, values in VALUES.items():
        write(tmp_path, strategy, values)
    return tmp_path


def test_mean_ranks_and_friedman_s_test_are_those_of_the_means_over_seeds(four):
    found = rank(load(four))
    assert found.mean_ranks.to_dict() == {"der k=0": 1.0, "lwf k=0": 2.375, "ewc k=0": 2.75, "naive k=0": 3.875}
    expected = stats.friedmanchisquare(*VALUES.values())
    assert (found.friedman, found.friedman_p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.means.shape == found.ranks.shape == (4, 4)
    assert found.means.loc["ewc k=0"].tolist() == pytest.approx([VALUES["ewc"][i] for i in order_of(found.means)])
    assert found.left_out == []


def order_of(means: pd.DataFrame) -> list[int]:
    """Which of `STREAMS` each column is."""
    words = ("5 experiences, test images", "2 experiences", "validation", "image_size=16")
    return [next(i for i in (3, 2, 1, 0) if words[i] in name) for name in means]


def test_ranks_turn_round_where_less_is_better(four):
    assert rank(load(four), "forgetting").mean_ranks.to_dict() == {
        "naive k=0": 1.125,
        "ewc k=0": 2.25,
        "lwf k=0": 2.625,
        "der k=0": 4.0,
    }


@pytest.mark.parametrize(("ranked", "quantile"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_is_that_of_the_paper_s_table(ranked, quantile):
    """Demsar 2006, table 5a; and the example of its section 3.2.2: four classifiers on 14 data sets."""
    assert critical_difference(ranked, 6) == pytest.approx(quantile * np.sqrt(ranked * (ranked + 1) / 36), rel=3e-4)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)


def test_groups_that_the_critical_difference_joins_are_the_largest(tmp_path):
    random = np.random.default_rng(0)
    rows = [
        {"strategy": f"s{place}", "benchmark": f"b{stream}", "acc": 0.9 - place / 10 + random.normal(0, 0.01)}
        for place in range(4)
        for stream in range(14)
    ]
    shared = load_one(tmp_path)
    found = rank(pd.DataFrame([shared | row | {"seed": 0} for row in rows]))
    assert found.mean_ranks.tolist() == [1, 2, 3, 4]
    assert 1 < found.critical_difference < 2
    assert [tuple(name[:2] for name in ends) for ends in found.alike] == [("s0", "s1"), ("s1", "s2"), ("s2", "s3")]
    assert found.pairs.set_index(["a", "b"])["streams_better"].tolist() == [14] * 6
    assert found.pairs["p"].tolist() == pytest.approx([2 / 2**14] * 6, rel=0.5)
    assert found.pairs["holm"].max() < 0.01


def load_one(tmp_path) -> dict:
    write_run(tmp_path, "naive")
    return load(tmp_path).iloc[0].to_dict()


def test_holm_s_correction_is_that_of_the_definition():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_what_is_not_on_all_streams_is_left_out_and_named_with_what_it_lacks(four):
    write(four, "separate", (0.7, None, 0.7, 0.7))
    write(four, "latent-replay", (0.7, None, None, None))
    write_run(four, "joint", 0, STREAMS[0], acc=None)
    left = dict(rank(load(four)).left_out)
    assert set(left) == {"separate k=2", "latent-replay k=2", "joint"}
    assert left["joint"] == "has no acc"
    assert left["separate k=2"].startswith("not on split-digits, 2 experiences")
    assert left["latent-replay k=2"].startswith("only on split-digits, 5 experiences")
    assert len(rank(load(four)).means) == 4


def test_depths_and_variants_within_a_stream_are_apart_and_what_differs_between_streams_is_remarked(tmp_path):
    for depth in (1, 2):
        write(tmp_path, "naive", (0.3, 0.4, 0.5, 0.6), options={"freeze_depth": depth})
    for norm in ("batch", "group"):
        write(tmp_path, "ewc", (0.3, 0.4, 0.5, 0.6), options={"norm": norm})
    for place, stream in enumerate(STREAMS):
        write_run(tmp_path, "lwf", 0, stream, {"epochs": 5 + place % 2})
    found = rank(load(tmp_path))
    names = set(found.means.index)
    assert {"naive k=1", "naive k=2"} < names
    assert len([name for name in names if name.startswith("ewc k=0 (")]) == 2
    assert len(names) == 5
    assert [caveat for caveat in found.caveats if caveat.startswith("epochs differs between streams: lwf")]


def test_equal_configurations_share_ranks_and_have_no_test(tmp_path):
    for strategy in ("naive", "ewc", "lwf"):
        write(tmp_path, strategy, (0.3, 0.4, 0.5, 0.6))
    found = rank(load(tmp_path))
    assert found.mean_ranks.tolist() == [2.0] * 3
    assert (found.friedman, found.friedman_p) == (None, None)
    assert found.pairs["p"].tolist() == [1.0] * 3
    assert found.alike == [(found.means.index[0], found.means.index[-1])]


def test_few_streams_are_said_to_be_few(four):
    first, *_, last = rank(load(four)).caveats
    assert first.startswith(
        "4 streams and 4 configurations: Friedman's p and the critical difference are right for more"
    )
    assert last == (
        "with 4 streams Wilcoxon's p can't be below 0.125, nor 0.75 once corrected for 6 pairs, so it can't tell any"
        " two apart"
    )


def test_one_stream_two_configurations_or_an_unknown_metric_are_refused_in_a_sentence(four, tmp_path):
    runs = load(four)
    alone = runs[(runs["experiences"] == 2)]
    with pytest.raises(UserError, match=r"there is one \(split-digits\): give results of at least 2 streams"):
        rank(alone)
    with pytest.raises(UserError, match="at least 3 configurations that occur in all 4 streams, and there are 2"):
        rank(runs[runs["strategy"].isin(["ewc", "lwf"])])
    with pytest.raises(UserError, match="unknown metric 'accuracy'"):
        rank(runs, "accuracy")
    with pytest.raises(UserError, match="fwt: no complete run has it"):
        rank(runs, "fwt")


def test_data_of_another_content_under_one_name_are_another_stream(tmp_path):
    for strategy in VALUES:
        for seed, data in enumerate(("d1", "d2")):
            write_run(tmp_path, strategy, seed, data=data)
    assert list(rank(load(tmp_path)).means) == ["split-digits, data d1", "split-digits, data d2"]
