"""Depth 0 has no front: it begins the line of each front, and no line mixes two fronts."""

import numpy as np
import pytest
from frames import frame, matrix_of, run

from clhyper.figures.curves import curve
from clhyper.figures.plots import (
    accuracy_against_cost,
    accuracy_and_forgetting_against_depth,
    accuracy_over_stream,
)
from clhyper.figures.relations import correlations
from clhyper.figures.summary import with_depth_zero

FIRST, OTHER = "first experience", "pretrained on letters"
ACC = {FIRST: [0.9, 0.6, 0.5], OTHER: [0.9, 0.8, 0.7]}
BOTH = {(90, 60, 50), (90, 80, 70)}


def rows(strategy="naive", **changes):
    """Depths 0 to 2; the first has neither front nor norm of one."""
    found = [run(strategy, 0, 0, acc=0.9, front=None, front_norm=None, train_macs=9e12, **changes)]
    for front, accuracies in ACC.items():
        for depth in (1, 2):
            numbers = {"acc": accuracies[depth], "train_macs": (9 - depth) * 1e12, "folder": f"{front}-{depth}"}
            found.append(run(strategy, depth, 0, front=front, **(numbers | changes)))
    return found


def lines(axes):
    """The y, in percent, of what is drawn through three points; ends of error bars that have no interval are NaN."""
    drawn = {tuple(np.round(line.get_ydata(), 6).tolist()) for line in axes.get_lines()}
    return {line for line in drawn if len(line) == 3 and not np.isnan(line).any()}


def test_a_curve_along_the_depth_has_a_line_for_each_front_from_depth_zero_on():
    axes = curve(frame(*rows()), "freeze_depth", "acc").axes[0]
    assert lines(axes) == BOTH
    labels = {" ".join(label.split()) for label in axes.get_legend_handles_labels()[1]}
    assert labels == {f"naive front {front}" for front in (FIRST, OTHER)}


def test_against_the_depth_each_front_begins_at_depth_zero():
    assert lines(accuracy_and_forgetting_against_depth(frame(*rows())).axes[0]) == BOTH


def test_against_a_cost_the_lines_of_two_fronts_begin_at_one_labelled_point():
    axes = accuracy_against_cost(frame(*rows())).axes[0]
    assert lines(axes) == BOTH
    assert [text.get_text() for text in axes.texts].count("k=0") == 1


def test_over_the_stream_depth_zero_has_its_panel_and_its_line():
    runs = frame(*rows())
    figure = accuracy_over_stream(runs, matrix_of(runs))
    panel = next(axes for axes in figure.axes if axes.get_title() == "freeze depth k=0")
    assert len(panel.get_lines()) == 1


def test_what_freezing_loses_is_each_fronts_own():
    streams = [rows(stream=f"alike={number}", similarity=0.1 * number) for number in (1, 2, 3)]
    found = correlations(frame(*(row for stream in streams for row in stream)), "similarity", "acc", 0)
    lost = {(one.label, one.depth): one.points["lost"].tolist() for one in found}
    assert lost == {
        (f"naive, front {front}", depth): pytest.approx([0.9 - ACC[front][depth]] * 3)
        for front in (FIRST, OTHER)
        for depth in (1, 2)
    }


def test_depth_zero_begins_only_lines_of_its_own_kind():
    runs = frame(*rows(), run("naive", 0, 0, acc=0.1, front=None, variant="beta=1"), run("joint", None, 0, front=None))
    begun = with_depth_zero(runs)
    zero = begun[begun["freeze_depth"] == 0]
    assert sorted(zip(zero["variant"], zero["front"].fillna("none"), zero["acc"], strict=True)) == [
        ("", FIRST, 0.9),
        ("", OTHER, 0.9),
        ("beta=1", "none", 0.1),
    ]
    assert len(begun) == len(runs) + 1


def test_a_variant_that_names_the_front_keeps_depth_zero_from_no_line():
    named = [run("naive", 1, 0, front=f"{name}.pt", variant=f"beta=1 front=a dir/{name}.pt") for name in "xy"]
    begun = with_depth_zero(frame(run("naive", 0, 0, front=None, variant="beta=1"), *named))
    zero = begun[begun["freeze_depth"] == 0]
    assert list(zero["variant"]) == ["beta=1 front=a dir/x.pt", "beta=1 front=a dir/y.pt"]
