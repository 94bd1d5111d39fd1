"""The charts in a browser: they show the numbers of the result files, and their controls work."""

import numpy as np
import pytest
from playwright.sync_api import expect
from report_runs import write_run

from clhyper.cli.main import main
from clhyper.figures.summary import summarise
from clhyper.runs.compare import compare
from clhyper.runs.pareto import pareto
from clhyper.runs.results import load

pytestmark = pytest.mark.browser


def test_the_trade_off_draws_each_configuration_at_its_means(report, study):
    traces = {trace["name"]: trace for trace in report.traces("trade-off")}
    summary = summarise(load(study)).dropna(subset="acc")
    for family in ("latent-replay", "partial-hypernetwork", "naive"):
        rows = summary[summary["family"] == family].sort_values("freeze_depth")
        np.testing.assert_allclose(traces[family]["x"], rows["train_macs"])
        np.testing.assert_allclose(traces[family]["y"], 100 * rows["forgetting"])
    front = traces["Pareto front"]
    best = summary.sort_values("train_macs")
    assert (front["x"][0], front["x"][-1]) == (best["train_macs"].iloc[0], best["train_macs"].iloc[-1])
    assert front["y"][-1] == pytest.approx(100 * summary["forgetting"].min())


def test_both_axes_and_their_scales_are_the_readers_choice(report, study):
    page = report.page
    report.chart("trade-off")
    page.locator("#axis-x").select_option("bytes_kept")
    page.locator("#axis-y").select_option("acc")
    page.locator("#scale-x").select_option("log")
    page.locator("#show-bars").uncheck()
    page.locator("#show-front").uncheck()
    layout = report.chart("trade-off").evaluate(
        "e => [e.layout.xaxis.type, e.layout.xaxis.title.text, e.layout.yaxis.title.text]"
    )
    assert layout == ["log", "Memory kept between experiences (B)", "ACC (%)"]
    traces = report.traces("trade-off")
    assert not any(trace["bars"] for trace in traces)
    assert "Pareto front" not in [trace["name"] for trace in traces]
    summary = summarise(load(study)).dropna(subset="acc")
    shown = sorted(value for trace in traces for value in trace["y"])
    np.testing.assert_allclose(shown, sorted(100 * summary["acc"]))
    expect(page.locator("#trade-off-title")).to_have_text("ACC against bytes kept")


def test_all_streams_stand_side_by_side(visit, tmp_path):
    for seed in range(2):
        for experiences in (2, 3):
            stream = {"experiences": experiences}
            write_run(tmp_path / "runs", "naive", seed, {"freeze_depth": 1}, stream, train_macs=1e9 * experiences)
            write_run(tmp_path / "runs", "naive", seed, {"freeze_depth": 2}, stream, train_macs=9e8 * experiences)
    output = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "runs"), "-o", str(output)]) == 0
    page = visit.open(output.as_uri())
    visit.chart("trade-off")
    expect(page.locator("#trade-off .chart")).to_have_count(1)
    page.locator("#filter-setting").select_option("")
    expect(page.locator("#trade-off .chart")).to_have_count(2)
    expect(page.locator("#board tbody tr")).to_have_count(4)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    boxes = [chart.bounding_box() for chart in page.locator("#trade-off .main-svg:first-child").all()]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    xs = [
        chart.evaluate("e => e.data.find((one) => one.name === 'naive').x")
        for chart in page.locator("#trade-off .chart").all()
    ]
    assert xs == [[2e9, 1.8e9], [3e9, 2.7e9]]


def test_filters_concern_charts_too(report):
    page = report.page
    report.chart("trade-off")
    page.locator("#filter-family").select_option(label="naive")
    assert {trace["name"] for trace in report.traces("trade-off")} == {"naive"}


def test_depth_curves_draw_the_chosen_measure(report, study):
    page = report.page
    report.chart("depth")
    page.locator("#depth-measure").select_option("forgetting")
    traces = {trace["name"]: trace for trace in report.traces("depth")}
    rows = summarise(load(study)).query("family == 'partial-hypernetwork'").sort_values("freeze_depth")
    np.testing.assert_allclose(traces["partial-hypernetwork"]["y"], 100 * rows["forgetting"])
    np.testing.assert_allclose(np.round(traces["partial-hypernetwork"]["x"]), [0, 1, 2])


def test_selected_configurations_are_those_of_matrices_curves_and_costs(report):
    page = report.page
    report.chart("matrices")
    page.locator("#board tbody tr", has_text="naive").locator("input").check()
    report.chart("matrices")
    expect(page.locator("#matrices-panels h3")).to_have_text(["naive k=1"])
    [trace] = report.traces("matrices")
    assert trace["z"][0] == [pytest.approx(90), None, None]
    assert trace["z"][2] == [pytest.approx(90 - 2.46, abs=0.01), pytest.approx(90 - 1.23, abs=0.01), pytest.approx(90)]
    names = [trace["name"] for trace in report.traces("curves")]
    assert names == ["naive k=1", "naive k=1, seed 3: failed"]
    page.locator("#reset").click()
    report.chart("matrices")
    expect(page.locator("#matrices-panels h3")).to_have_count(4)


def test_curves_are_means_over_what_was_learned(report):
    traces = {trace["name"]: trace for trace in report.traces("curves")}
    expected = [90, 90 - 1.23 / 2, 90 - 1.23]
    np.testing.assert_allclose(traces["partial-hypernetwork k=1"]["y"], expected, atol=1e-4)
    assert len(traces["latent-replay k=1, seed 3: interrupted"]["y"]) == 2


def test_costs_are_shown_by_part(report):
    page = report.page
    traces = report.traces("cost")
    if page.locator("#cost-kind").count():
        page.locator("#cost-kind").select_option("seconds")
        traces = report.traces("cost")
    training = next(trace for trace in traces if trace["name"] == "training time")
    np.testing.assert_allclose(training["x"], 61.7)


def test_a_comparison_is_that_of_the_command(report, study):
    page = report.page
    page.locator("#comparison").evaluate("section => section.scrollIntoView()")
    page.locator("#compare-a").select_option(label="partial-hypernetwork k=1")
    page.locator("#compare-b").select_option(label="latent-replay k=1")
    page.locator("#compare-measure").select_option("forgetting")
    verdict = page.locator(".verdict")
    expect(verdict).to_contain_text(
        "Forgetting of partial-hypernetwork k=1 minus that of latent-replay k=1: -7.9 points"
    )
    expected = compare(load(study), "partial-hypernetwork@1", "latent-replay@1", "forgetting")
    assert float(verdict.get_attribute("data-difference")) == pytest.approx(expected.difference, rel=1e-12)
    page.locator("#compare-measure").select_option("acc")
    page.locator("#compare-b").select_option(label="partial-hypernetwork k=1")
    expect(page.locator("#comparison-result")).to_contain_text("the same configuration")


def test_hovering_tells_the_value_in_full(report, study):
    trace = next(trace for trace in report.traces("trade-off") if trace["name"] == "naive")
    [row] = summarise(load(study)).query("family == 'naive'").to_dict("records")
    assert str(row["forgetting"])[:20] in trace["hovertext"][0]
    assert "3 repetitions" in trace["hovertext"][0]


def test_how_surely_a_point_is_on_the_front_is_what_the_command_says(report, study):
    [naive] = pareto(load(study), "forgetting", "train_macs").query("family == 'naive'").to_dict("records")
    trace = next(trace for trace in report.traces("trade-off") if trace["name"] == "naive")
    assert f"on the Pareto front with probability {naive['probability']:.2f}" in trace["hovertext"][0]
    report.page.locator("#axis-x").select_option("train_seconds")
    expect(report.page.locator("#trade-off-note")).to_contain_text(
        "is known for ACC or forgetting against train MACs or bytes kept only"
    )
    trace = next(trace for trace in report.traces("trade-off") if trace["name"] == "naive")
    assert "probability" not in trace["hovertext"][0]


def test_an_entry_of_the_legend_hides_and_shows_its_line(report):
    report.chart("trade-off")
    entry = report.page.locator("#trade-off .legend button", has_text="naive")
    shown = "e => e.data.find((one) => one.name === 'naive').visible"
    entry.click()
    expect(entry).to_have_attribute("aria-pressed", "false")
    assert report.chart("trade-off").evaluate(shown) is False
    entry.click()
    assert report.chart("trade-off").evaluate(shown) is True
