"""Correlations and crossings of numbers whose answers are known."""

import numpy as np
import pandas as pd
import pytest
from frames import frame, run

from clhyper.figures.curves import loss_against
from clhyper.figures.relations import correlations, crossing, overtakings, widenings
from clhyper.figures.study_figures import Part
from clhyper.figures.study_tables import correlation


def streams(lost, seeds=2):
    """Runs on streams with similarity 0.1, 0.2, ...; depth 2 loses `lost[i]` against depth 1 on stream i."""
    rows = []
    for number, loss in enumerate(lost):
        for seed in range(seeds):
            shared = {"stream": f"alike={number}", "similarity": 0.1 * (number + 1)}
            rows.append(run("naive", 1, seed, acc=0.9 - 0.01 * seed, **shared))
            rows.append(run("naive", 2, seed, acc=0.9 - 0.01 * seed - loss, **shared))
    return frame(*rows)


def test_a_loss_that_falls_with_similarity_correlates_as_numpy_says():
    lost = [0.08, 0.05, 0.06, 0.02, 0.01]
    (found,) = correlations(streams(lost), "similarity", "acc", 1)
    assert (found.label, found.depth) == ("naive", 2)
    assert found.points["lost"].tolist() == pytest.approx(lost)
    assert found.points["seeds"].tolist() == [2] * 5
    assert found.r == pytest.approx(np.corrcoef(range(5), lost)[0, 1])
    z, width = np.arctanh(found.r), 1.959964 / np.sqrt(5 - 3)
    assert (found.low, found.high) == pytest.approx((np.tanh(z - width), np.tanh(z + width)), abs=1e-6)
    assert found.rho == pytest.approx(-0.9)


@pytest.mark.parametrize(("lost", "known"), [([0.1, 0.2], ()), ([0.1, 0.2, 0.1], ("r", "rho")), ([0.1] * 5, ())])
def test_too_few_streams_or_equal_losses_have_no_interval(lost, known):
    lost = [round(loss, 12) for loss in lost]
    runs = streams(lost, seeds=1)
    runs["acc"] = runs["acc"].round(12)
    (found,) = correlations(runs, "similarity", "acc", 1)
    given = {name for name in ("r", "low", "high", "p", "rho") if getattr(found, name) is not None}
    assert given == set(known)


def test_seeds_that_only_one_depth_has_are_left_out():
    runs = streams([0.1, 0.2, 0.3])
    runs = runs[~((runs["freeze_depth"] == 2) & (runs["seed"] == 1) & (runs["stream"] == "alike=0"))]
    (found,) = correlations(runs, "similarity", "acc", 1)
    assert found.points["seeds"].tolist() == [1, 2, 2]


def test_of_forgetting_what_grows_is_what_freezing_loses():
    runs = streams([0.08, 0.05, 0.02])
    runs["forgetting"] = 1 - runs["acc"]
    (by_acc,) = correlations(runs, "similarity", "acc", 1)
    (by_forgetting,) = correlations(runs, "similarity", "forgetting", 1)
    assert by_forgetting.points["lost"].tolist() == pytest.approx(by_acc.points["lost"].tolist())
    assert by_forgetting.r == pytest.approx(by_acc.r)


def test_configurations_of_one_strategy_correlate_each_for_itself():
    less, more = streams([0.01, 0.02, 0.04]), streams([0.3, 0.2, 0.1])
    less["variant"], more["variant"] = "generator=static", "generator=factored"
    found = {one.label: one for one in correlations(pd.concat([less, more]), "similarity", "acc", 1)}
    assert list(found) == ["naive, generator=factored", "naive, generator=static"]
    assert found["naive, generator=static"].points["lost"].tolist() == pytest.approx([0.01, 0.02, 0.04])
    assert found["naive, generator=factored"].r == pytest.approx(-1)


def test_r_within_each_data_set_stands_beside_that_over_all():
    glyphs, photos = streams([0.01, 0.02, 0.03]), streams([0.2, 0.25, 0.3])
    glyphs[["benchmark", "data"]], photos[["benchmark", "data"]] = ["npz", "d1"], ["parquet", "d2"]
    glyphs["similarity"] += 0.5
    runs = pd.concat([glyphs, photos], ignore_index=True)
    runs["study_stream"] = runs["data"].map({"d1": "glyphs", "d2": "photos"})
    (found,) = correlations(runs, "similarity", "acc", 1)
    assert found.r < -0.7
    assert found.within == {"glyphs": (pytest.approx(1), 3), "photos": (pytest.approx(1), 3)}


def of_two_data_sets(first, second):
    parts = [streams(first), streams(second)]
    for part, name in zip(parts, ("cifar10", "digits"), strict=True):
        part[["benchmark", "data", "study_stream"]] = [f"split-{name}", name, name]
    parts[1]["similarity"] += 0.5
    return pd.concat(parts, ignore_index=True)


def test_in_the_figure_each_data_set_has_its_marker_and_a_line_where_it_has_three_points():
    runs = of_two_data_sets([0.03, 0.02, 0.01], [0.02, 0.25])
    (found,) = correlations(runs, "similarity", "acc", 1)
    figure = loss_against([found], "similarity", "acc", 1)
    (axes,) = figure.axes
    points = {line.get_marker(): np.column_stack(line.get_data()) for line in axes.lines if line.get_marker() in "os"}
    assert points["o"].tolist() == pytest.approx(np.array([(0.1, 3), (0.2, 2), (0.3, 1)]))
    assert points["s"].tolist() == pytest.approx(np.array([(0.6, 2), (0.7, 25)]))
    (fitted,) = [line for line in axes.lines if line.get_marker() == "None" and np.ptp(line.get_xdata()) != 1]
    assert np.column_stack(fitted.get_data()).tolist() == pytest.approx(np.array([(0.1, 3), (0.3, 1)]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["k=2", "cifar10", "digits"]


def test_a_study_s_page_has_each_stream_s_similarity_and_losses_in_numbers(tmp_path):
    show = {"kind": "correlation", "x": "similarity", "measure": "acc", "depth": 1}
    runs = of_two_data_sets([0.03, 0.02, 0.01], [0.02, 0.25, 0.3])
    lines, _ = correlation(Part(show, "correlation", runs, pd.DataFrame(), tmp_path, "clhyper study similarity"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith(("| cif", "| dig"))]
    assert [(row[0], row[2]) for row in rows] == [
        *(("cifar10", value) for value in ("0.10", "0.20", "0.30")),
        *(("digits", value) for value in ("0.60", "0.70", "0.80")),
    ]
    assert [row[3].partition(" ")[0] for row in rows] == ["+3.0", "+2.0", "+1.0", "+2.0", "+25.0", "+30.0"]
    assert [("split-cifar10" in row[1], "alike=" in row[1]) for row in rows] == [(True, True)] * 3 + [(False, True)] * 3


@pytest.mark.parametrize(("level", "at"), [(0.5, 1.0), (0.55, 1.5), (0.7, 3.0), (0.95, None), (0.8, 4.0)])
def test_a_crossing_lies_on_the_line_between_two_points(level, at):
    found = crossing(np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.6, 0.8]), level)
    assert found == (None if at is None else pytest.approx(at))


def replay(seed, *points):
    return [
        run("latent-replay", 2, seed, variant=f"buffer_size={size}", bytes_kept=size, acc=acc) for size, acc in points
    ]


def test_where_replay_overtakes_is_found_for_each_seed():
    rows = [*replay(0, (100, 0.5), (300, 0.7)), *replay(1, (100, 0.5), (300, 0.9))]
    rows += [run("partial-hypernetwork", 2, seed, bytes_kept=200, acc=0.65) for seed in (0, 1, 2)]
    rows += [run("naive", 2, seed, bytes_kept=50, acc=0.8) for seed in (0, 1)]
    found = {one.row["strategy"]: one for one in overtakings(frame(*rows), "latent-replay", 2, "bytes_kept", "acc")}
    hypernetwork, naive = found["partial-hypernetwork"], found["naive"]
    # At 200 bytes replay has 0.6 and 0.7; it reaches 0.65 at 250 and at 175 bytes.
    assert hypernetwork.difference[0] == pytest.approx(0.0)
    assert hypernetwork.at[0] == pytest.approx((250 + 175) / 2)
    assert (hypernetwork.crossings, hypernetwork.pairs, hypernetwork.outside) == (2, 2, "")
    # Below all that replay keeps, its least counts, and one seed's replay never gets there.
    assert naive.difference[0] == pytest.approx(-0.3)
    assert (naive.crossings, naive.pairs, naive.outside) == (1, 2, "less")
    assert naive.at[0] == pytest.approx(250)


def test_a_curve_overtakes_in_forgetting_where_it_forgets_less():
    rows = [run("latent-replay", 2, 0, variant=f"b={size}", bytes_kept=size, forgetting=f) for size, f in
            ((100, 0.5), (200, 0.3), (300, 0.1))]  # fmt: skip
    rows.append(run("partial-hypernetwork", 2, 0, bytes_kept=150, forgetting=0.2))
    (found,) = overtakings(frame(*rows), "latent-replay", 2, "bytes_kept", "forgetting")
    assert found.at[0] == pytest.approx(250)
    assert found.difference[0] == pytest.approx(0.2)


def noisy_and_clean(gaps_noisy, gaps_clean, streams=(("corrupt=paper", ["paper"]), ("", []))):
    """Forgetting of latent replay and, by so much less, of a partial hypernetwork; a number a seed."""
    rows, corrupt = [], []
    for (stream, value), gaps in zip(streams, (gaps_noisy, gaps_clean), strict=True):
        for seed, gap in enumerate(gaps):
            base = 0.1 + 0.01 * seed + (0.05 if value == ["paper"] else 0.0)
            rows.append(run("latent-replay", 2, seed, stream=stream, forgetting=base))
            rows.append(run("partial-hypernetwork", 2, seed, stream=stream, forgetting=base - gap))
            corrupt += [value, value]
    return frame(*rows).assign(corrupt=corrupt)


@pytest.mark.parametrize(
    "streams",
    [
        (("corrupt=paper", ["paper"]), ("", [])),
        (("corrupt=paper", ["paper"]), ("corrupt=none", ["none"])),  # as the noise study names both
        (("", ["paper"]), ("corrupt=none", ["none"])),  # as noisy-cifar100, which is corrupted by default
    ],
)
def test_what_an_option_widens_is_a_difference_of_differences_pair_by_pair(streams):
    runs = noisy_and_clean([0.06, 0.08, 0.07], [0.02, 0.03, 0.04], streams)
    (found,) = widenings(runs, "latent-replay", "corrupt", "forgetting")
    assert (found.with_option, found.without) == pytest.approx((-0.07, -0.03))
    each = [-0.04, -0.05, -0.03]
    assert found.widened == pytest.approx((np.mean(each), 4.302653 * np.std(each, ddof=1) / np.sqrt(3)), abs=1e-6)
    assert found.pairs == 3


def test_without_the_same_seed_on_both_kinds_of_stream_nothing_is_said_to_widen():
    runs = noisy_and_clean([0.06], [0.02])
    assert not widenings(runs[(runs["stream"] == "") | (runs["seed"] == 1)], "latent-replay", "corrupt", "forgetting")
    assert not widenings(runs[runs["family"] != "latent-replay"], "latent-replay", "corrupt", "forgetting")
