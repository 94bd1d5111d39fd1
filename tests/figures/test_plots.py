import math
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from frames import COST, frame, matrix_of, run, study
from matplotlib.figure import Figure
from PIL import Image

from clhyper.errors import UserError
from clhyper.figures.curves import curve
from clhyper.figures.matrices import mean_matrices
from clhyper.figures.placement import place_labels, spread_out
from clhyper.figures.plots import (
    accuracy_against_cost,
    accuracy_and_forgetting_against_depth,
    accuracy_matrices,
    accuracy_over_stream,
    forgetting_against_cost,
    pareto,
    plot_all,
)
from clhyper.figures.stream import accuracy_so_far
from clhyper.figures.style import new_figure, series_of, styles_of
from clhyper.figures.summary import settings, sharing, summarise
from clhyper.figures.units import COSTS, axis_scale


def words(figure: Figure) -> str:
    texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]  # type: ignore[attr-defined]
    return " ".join(" ".join(texts).split())


def test_the_pareto_front_is_what_no_point_beats() -> None:
    points = [(3.0, 1.0), (1.0, 5.0), (2.0, 5.0), (2.0, 2.0), (4.0, 1.0), (math.nan, 0.0), (0.5, math.nan)]
    assert pareto(points) == [1, 3, 0]
    assert pareto([(1.0, 1.0), (1.0, 1.0), (1.0, 2.0)]) == [0, 1]
    assert pareto([]) == []


def test_the_pareto_front_agrees_with_its_definition_on_random_points() -> None:
    points = [tuple(point) for point in np.random.default_rng(0).integers(0, 12, (60, 2)).astype(float)]
    beaten = [any(a <= x and b <= y and (a < x or b < y) for a, b in points) for x, y in points]
    assert sorted(pareto(points)) == [index for index, lost in enumerate(beaten) if not lost]


def test_every_figure_is_written_as_a_picture_that_is_not_blank(tmp_path: Path) -> None:
    files = plot_all(study(), matrix_of(study()), tmp_path / "new")
    names = {
        *("forgetting-against-train-macs", "accuracy-against-train-macs", "accuracy-matrix"),
        *("accuracy-and-forgetting-against-depth", "accuracy-over-stream"),
    }
    assert {file.name for file in files} == {f"{name}.{kind}" for name in names for kind in ("png", "svg")}
    for file in files:
        if file.suffix == ".png":
            with Image.open(file) as picture:
                assert round(picture.info["dpi"][0]) == 200
                assert np.asarray(picture.convert("L")).std() > 10
        else:
            assert "</svg>" in file.read_text(encoding="utf-8")


def test_files_are_named_after_what_differs_between_sets_of_figures() -> None:
    one, other = run("naive", 1, 0), run("naive", 1, 0, benchmark="core50/mini")
    validation = run("naive", 1, 0, evaluated_on="validation")
    assert [part.prefix for part in settings(frame(one))] == [""]
    assert {part.prefix for part in settings(frame(one, other))} == {"split-digits-", "core50-mini-"}
    assert {part.prefix for part in settings(frame(one, validation))} == {"test-", "validation-"}


def test_nothing_complete_is_refused_in_one_sentence(tmp_path: Path) -> None:
    runs = frame(run("naive", 1, 0, status="failed", reason="no luck"))
    with pytest.raises(UserError, match="no complete run"):
        plot_all(runs, matrix_of(study()), tmp_path)
    with pytest.raises(UserError, match="no complete run"):
        forgetting_against_cost(runs)


@pytest.mark.parametrize("name", ["engine", "device"])
def test_what_was_measured_on_several_engines_or_devices_is_refused_and_other_costs_are_not(name: str) -> None:
    runs = frame(run("naive", 0, 0), run("naive", 1, 0, **{name: "other"}))
    for cost in COSTS:
        if cost.endswith(("_seconds", "_ms", "_joules")) or cost.startswith("peak_"):
            with pytest.raises(UserError, match=f"different {name}s"):
                forgetting_against_cost(runs, cost)
    forgetting_against_cost(runs, "bytes_kept")


def test_a_figure_of_seconds_names_the_engine_that_they_were_measured_on() -> None:
    runs = frame(run("naive", 0, 0, engine="captured"), run("naive", 1, 0, engine="captured"))
    assert "Measured on cpu, engine captured." in words(forgetting_against_cost(runs, "train_seconds"))
    assert "engine" not in words(forgetting_against_cost(runs, "train_macs"))


def test_a_figure_of_what_several_runs_at_once_lengthen_says_so() -> None:
    runs = frame(run("naive", 0, 0, runs_at_once=4), run("naive", 1, 0, runs_at_once=1))
    for cost, lengthened in (("train_seconds", True), ("batch_ms", True), ("peak_host_bytes", False)):
        found = words(forgetting_against_cost(runs, cost))
        assert ("1 to 4 runs at once on the machine, so that they don't compare" in found) == lengthened


def test_the_least_and_the_most_at_once_are_those_of_all_runs_and_not_of_rows() -> None:
    rows = [run("naive", depth, seed, runs_at_once=12 if seed else 5) for depth in (0, 1) for seed in (0, 1)]
    summary = summarise(frame(*rows, run("naive", 1, 2, status="failed", runs_at_once=1)))
    assert sharing(summary) == "seconds with 5 to 12 runs at once on the machine"
    assert sharing(summarise(frame(*rows[1::2]))) == "seconds with 12 runs at once on the machine"
    assert sharing(summarise(frame(run("naive", 0, 0, runs_at_once=1)))) is None


def test_a_curve_over_seconds_that_were_shared_says_so() -> None:
    runs = frame(*(run("naive", depth, 0, runs_at_once=3, train_seconds=9.0 + depth) for depth in (0, 1)))
    assert "Seconds with 3 runs at once" in words(curve(runs, "freeze_depth", "acc", "train_seconds"))
    assert "at once" not in words(curve(runs, "freeze_depth", "acc", "train_macs"))


@pytest.mark.parametrize(("at_once", "cost", "bars"), [
    (1, "train_seconds", True), (5, "train_seconds", False), (5, "peak_host_bytes", True),
])  # fmt: skip
def test_seconds_that_were_shared_have_no_bars(at_once: int, cost: str, bars: bool) -> None:
    rows = [
        run("naive", depth, seed, acc=0.8 + 0.01 * seed, runs_at_once=at_once, **{cost: 5.0 + seed + depth})
        for depth in (0, 1)
        for seed in (0, 1)
    ]
    figure = accuracy_against_cost(frame(*rows), cost)
    drawn = [path.vertices for part in figure.axes[0].collections for path in part.get_paths()]
    level = [np.ptp(ends[:, 0]) > 0 and np.isfinite(ends).all() for ends in np.asarray(drawn, dtype=float)]
    upright = [np.ptp(ends[:, 1]) > 0 and np.isfinite(ends).all() for ends in np.asarray(drawn, dtype=float)]
    assert (any(level), any(upright)) == (bars, True)
    assert ("Only accuracy has bars." in words(figure)) == (not bars)


def test_a_cost_that_is_unknown_or_was_never_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'train_macs'"):
        plot_all(study(), matrix_of(study()), tmp_path, cost="train_mac")
    with pytest.raises(UserError, match="no complete run measured it"):
        plot_all(study().assign(bytes_kept=math.nan), matrix_of(study()), tmp_path, cost="bytes_kept")
    assert list(tmp_path.iterdir()) == []


def test_test_and_validation_images_never_share_a_figure() -> None:
    runs = frame(run("naive", 0, 0), run("naive", 1, 0, evaluated_on="validation"))
    with pytest.raises(UserError, match="evaluated_on"):
        accuracy_against_cost(runs)


def test_what_has_no_forgetting_is_named_rather_than_drawn() -> None:
    figure = forgetting_against_cost(study())
    assert "Not shown, no forgetting defined: joint." in words(figure)
    assert "joint" not in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "joint" in [text.get_text() for text in accuracy_against_cost(study()).legends[0].get_texts()]


def test_points_are_labelled_by_depth_and_show_the_means_in_percent() -> None:
    axes = forgetting_against_cost(study()).axes[0]
    labels = [text.get_text() for text in axes.texts if text.get_text()]
    assert sorted(labels) == ["k=0", "k=0", "k=1", "k=1"]
    drawn = {tuple(np.round(point, 6)) for line in axes.lines for point in np.column_stack(line.get_data())}
    assert {(9.0, 0.8), (5.0, 0.7), (4.0, 45.2), (2.0, 30.2), (3.0, 20.2)} <= drawn


def test_the_cost_axis_is_logarithmic_only_where_costs_differ_much() -> None:
    near = frame(run("naive", 0, 0, train_macs=1e9), run("naive", 1, 0, train_macs=4e9))
    far = frame(run("naive", 0, 0, train_macs=1e9), run("naive", 1, 0, train_macs=6e9))
    assert forgetting_against_cost(near).axes[0].get_xscale() == "linear"
    assert forgetting_against_cost(far).axes[0].get_xscale() == "log"
    assert "(GMAC)" in forgetting_against_cost(far).axes[0].get_xlabel()


def test_every_cost_column_has_a_label_and_a_unit_for_its_axis() -> None:
    assert set(COSTS) == set(COST)
    assert axis_scale(COSTS["bytes_kept"], [8e6, 2e7, math.nan]) == (1e6, "memory kept between experiences (MB)")
    assert axis_scale(COSTS["train_seconds"], [8e6]) == (1, "training time (s)")
    assert axis_scale(COSTS["trainable_parameters"], [12.0]) == (1, "trainable parameters")


@pytest.mark.parametrize("cost", ["generated_parameters", "batch_ms"])
def test_a_cost_of_zero_can_be_on_the_axis(cost: str) -> None:
    figure = forgetting_against_cost(frame(run("naive", 0, 0), run("naive", 1, 0, **{cost: 0.0})), cost)
    assert COSTS[cost].label in figure.axes[0].get_xlabel()


def test_a_strategy_of_a_third_party_is_drawn_like_any_other() -> None:
    runs = study()
    for figure in (
        forgetting_against_cost(runs),
        accuracy_and_forgetting_against_depth(runs),
        *accuracy_matrices(runs, matrix_of(runs)),
        accuracy_over_stream(runs, matrix_of(runs)),
    ):
        assert "somebodys-method" in words(figure)


def test_a_series_looks_the_same_in_every_figure_and_no_two_look_alike() -> None:
    summary = summarise(study())
    styles = styles_of(summary)
    assert len({(look.colour, look.marker) for look in styles.looks.values()}) == 4
    alone = series_of(summary[summary["family"] == "naive"], styles)
    assert [one.style for one in alone] == [styles.looks[("naive",)]]


def test_variants_of_a_strategy_are_series_of_their_own() -> None:
    rows = [run("naive", depth, 0, variant=variant) for depth in (1, 2) for variant in ("beta=1", "beta=2")]
    series = series_of(summarise(frame(*rows)))
    assert [one.label for one in series] == ["naive, beta=1", "naive, beta=2"]
    assert [one.rows["freeze_depth"].tolist() for one in series] == [[1, 2], [1, 2]]


def test_strategies_without_a_depth_are_named_level_lines() -> None:
    figure = accuracy_and_forgetting_against_depth(study())
    left, right = figure.axes
    assert {text.get_text() for text in left.texts} == {"somebodys-method\n70.5 ± 6.4", "joint\n93.0"}
    assert [text.get_text().split("\n")[0] for text in right.texts] == ["somebodys-method"]


def test_matrices_are_means_over_seeds_and_cells_without_accuracy_stay_empty() -> None:
    runs = frame(run("naive", 1, 0), run("naive", 1, 1), run("naive", 1, 2, status="failed", reason="no luck"))
    matrix = matrix_of(runs)
    matrix.loc[matrix["folder"] == runs["folder"][1], "accuracy"] -= 0.2
    (mean,) = mean_matrices(runs, matrix).values()
    assert mean.to_numpy() == pytest.approx(
        np.array([[0.8, np.nan, np.nan], [0.7, 0.8, np.nan], [0.6, 0.7, 0.8]]), nan_ok=True
    )
    (figure,) = accuracy_matrices(runs, matrix)
    numbers = [text.get_text() for text in figure.axes[0].texts]
    assert numbers == ["80", "70", "80", "60", "70", "80"]


def test_many_configurations_go_on_several_pages_of_at_most_twelve_panels() -> None:
    runs = frame(*(run(f"method-{name}", depth, 0) for name in "abc" for depth in range(5)))
    pages = accuracy_matrices(runs, matrix_of(runs))
    assert [len(page.axes) - 1 for page in pages] == [10, 5]  # one is the colour bar


def test_accuracy_so_far_is_over_experiences_seen_and_training_at_once_has_seen_all() -> None:
    runs = frame(run("naive", 1, 0), run("naive", 1, 1), run("joint", None, 0, forgetting=math.nan))
    course = accuracy_so_far(runs, matrix_of(runs))
    assert course["mean"].tolist() == pytest.approx([0.9, 0.85, 0.8, 0.8])
    assert course["interval"].tolist()[:3] == pytest.approx([0, 0, 0], abs=1e-12)


def test_captions_tell_seeds_images_and_norms() -> None:
    runs = frame(run("naive", 0, 0), run("naive", 0, 1), run("mine", 0, 0, norm="group"))
    text = words(accuracy_against_cost(runs))
    assert "test images. Mean over 1 to 2 seeds; bars: 95 % confidence interval" in text
    assert "Norms: batch in naive; group in mine." in text


def test_captions_name_the_stream_and_the_class_orders_where_they_are_not_the_usual_ones() -> None:
    of_order = {"stream": "task_labels=False", "order": "order_seed=1"}
    text = words(accuracy_against_cost(frame(run("naive", 0, 0, **of_order))))
    assert "test images, task_labels=False. Class order order_seed=1. Mean over 1 seed, so no interval." in text
    several = frame(*(run("naive", 0, 0, order=f"order_seed={seed}", acc=0.1 * seed) for seed in (1, 2)))
    assert "Mean over 2 pairs of seed and class order; bars:" in words(accuracy_against_cost(several))


def test_labels_of_a_crowd_do_not_overlap() -> None:
    figure = new_figure(6, 4, "crowd")
    axes = figure.subplots()
    points = [(0.5 + 0.03 * (index % 4), 0.5 + 0.03 * (index // 4)) for index in range(8)]
    axes.set(xlim=(0, 1), ylim=(0, 1))
    place_labels(axes, points, [f"k={index}" for index in range(8)], ["black"] * 8)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts if re.match("k=", text.get_text())]
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])


def test_spread_out_heights_keep_their_order_and_the_gap() -> None:
    assert spread_out([5.0, 1.0, 5.5], gap=1.0) == pytest.approx([4.75, 1.0, 5.75])
    assert spread_out([2.0, 2.0, 2.0], gap=1.0) == pytest.approx([1.0, 2.0, 3.0])
    assert spread_out([], gap=1.0) == []


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    forgetting_against_cost(study())
    assert dict(matplotlib.rcParams) == before


def test_figures_load_neither_torch_nor_avalanche_nor_pyplot() -> None:
    code = (
        "import sys, clhyper.figures.plots, clhyper.figures.table;"
        "print([name for name in ('torch', 'avalanche', 'matplotlib.pyplot') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
