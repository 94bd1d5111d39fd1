"""The leaderboard in a browser: what it shows is what the result files hold, and every control does what it says."""

import json
import math

import pytest
from playwright.sync_api import expect

from clhyper.figures.summary import summarise
from clhyper.figures.units import human_count, human_fraction, human_seconds
from clhyper.runs.results import load

pytestmark = pytest.mark.browser
NOTHING = "\N{EN DASH}"


def column(page, measure: str) -> list[str]:
    return page.locator(f'#board td[data-measure="{measure}"]').all_inner_texts()


def strategies(page) -> list[str]:
    return [text.replace("▶", "").strip() for text in page.locator("#board tbody .name").all_inner_texts()]


def test_the_page_loads_without_complaint_and_asks_for_nothing_else(report, address):
    page = report.page
    for section in ("trade-off", "depth", "curves", "matrices", "cost"):
        report.chart(section)
    expect(page.locator("#title")).to_have_text("runs")
    expect(page.locator("#summary")).to_contain_text("21 runs: 18 complete, 1 failed, 2 interrupted")
    expect(page.locator("#unread summary")).to_have_text("1 folder could not be read in full")
    assert [url for url in report.requests if not url.startswith(("data:", "blob:"))] == [address]


def test_the_leaderboard_has_the_numbers_of_the_table(report, study):
    page = report.page
    summary = summarise(load(study)).sort_values("acc", ascending=False, na_position="last")
    shown = [human_fraction(row["acc"], row["acc_interval"]) for _, row in summary.iterrows()]
    assert column(page, "acc") == shown
    assert column(page, "train_macs") == [human_count(value, "MAC") for value in summary["train_macs"]]
    assert column(page, "train_seconds") == [human_seconds(value) for value in summary["train_seconds"]]
    full = page.locator('#board td[data-measure="acc"]').first.get_attribute("title")
    assert [float(part) for part in full.split(" ± ")] == [summary["acc"].iloc[0], summary["acc_interval"].iloc[0]]


def test_numbers_are_written_as_python_writes_them(report):
    page = report.page
    values = [
        0.12345,
        0.125,
        0.88125,
        1.5,
        2.5,
        12.25,
        999.4,
        999.5,
        1000,
        1234.5,
        61.75,
        119.95,
        7199,
        7200,
        1e6,
        2.345e9,
    ]
    script = page.locator("body > script:not([type])").evaluate("element => element.textContent")
    functions = script[script.index("const PREFIXES") : script.index("function isKnown")]
    rest = script[script.index("/** A count with") : script.index("/** A value of a measure")]
    texts = "values.map((v) => [countText(v, 'B'), secondsText(v), percentText(v / 10)])"
    assert page.evaluate(f"values => {{ {functions} {rest} return {texts}; }}", values) == [
        [human_count(value, "B"), human_seconds(value), human_fraction(value / 10)] for value in values
    ]


def test_a_header_sorts_and_says_so(report):
    page = report.page
    header = page.locator("th:has(#sort-forgetting)")
    expect(page.locator("th:has(#sort-acc)")).to_have_attribute("aria-sort", "descending")
    page.locator("#sort-forgetting").click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    values = [float(text.split(" ")[0]) for text in column(page, "forgetting") if text[0] != NOTHING]
    assert values == sorted(values)
    page.locator("#sort-forgetting").click()
    expect(header).to_have_attribute("aria-sort", "descending")
    values = [float(text.split(" ")[0]) for text in column(page, "forgetting") if text[0] != NOTHING]
    assert values == sorted(values, reverse=True)
    page.locator("#sort-label").click()
    assert strategies(page) == sorted(strategies(page))


def test_filters_and_search_leave_what_fits(report):
    page = report.page
    page.locator("#filter-family").select_option(label="latent-replay")
    assert set(strategies(page)) == {"latent-replay k=1", "latent-replay k=2"}
    page.locator("#filter-freeze_depth").select_option(label="2")
    expect(page.locator("#shown")).to_have_text("1 configuration, 3 runs")
    page.locator("#reset").click()
    page.locator("#search").fill("naive memory")
    expect(page.locator("#shown")).to_have_text("1 configuration, 4 runs")
    assert strategies(page) == ["naive"]
    page.locator("#search").fill("no such thing")
    expect(page.locator("#board .empty")).to_be_visible()
    expect(page.locator("#announcement")).to_have_text("0 configurations shown")


def test_columns_are_the_readers_choice(report):
    page = report.page
    page.get_by_text("Columns", exact=True).click()
    page.locator("#column-batch_ms").check()
    assert column(page, "batch_ms")[0] == "1230 ms"
    page.locator("#column-acc").uncheck()
    assert column(page, "acc") == []


def test_a_row_opens_to_its_runs_and_a_run_to_all_that_is_known_of_it(report, study):
    page = report.page
    page.locator("#board .name", has_text="partial-hypernetwork").first.click()
    runs = page.locator("tr.runs button.link")
    expect(runs).to_have_count(3)
    name = runs.first.inner_text()
    runs.first.click()
    dialog = page.locator("dialog#run")
    expect(dialog.locator("#run-title")).to_have_text(name)
    result = json.loads((study / name / "result.json").read_text())
    details = dict(zip(dialog.locator("dt").all_inner_texts(), dialog.locator("dd").all_inner_texts(), strict=True))
    assert float(details["ACC: accuracy after the whole stream"]) == result["metrics"]["acc"]
    assert float(details["training compute"].removesuffix(" MAC")) == result["cost"]["train_macs"]
    assert details["processor"] == "a processor"
    assert details["freeze depth"] == "1"
    expect(dialog.locator("code")).to_contain_text("clhyper run split-digits partial-hypernetwork")
    expect(dialog.locator("code")).to_contain_text("--seed 0")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(runs.first).to_be_focused()


def test_the_command_is_copied(report):
    report.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = report.page
    page.locator("#board .name").first.click()
    page.locator("tr.runs button.link").first.click()
    page.locator("#copy").click()
    expect(page.locator("#copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("dialog code").inner_text()


def test_the_keyboard_alone_reaches_and_works_everything(report):
    page = report.page
    page.locator("#theme").focus()
    page.keyboard.press("Shift+Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#leaderboard")).to_be_focused()
    page.locator("#sort-train_macs").focus()
    page.keyboard.press("Enter")
    expect(page.locator("th:has(#sort-train_macs)")).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("#sort-train_macs")).to_be_focused()
    reached = set()
    page.locator("#theme").focus()
    for _ in range(200):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    first, second = (page.locator(f"#board tbody {part}").first.get_attribute("id") for part in ("input", ".name"))
    wanted = {"filter-family", "search", "reset", "sort-acc", first, second, "axis-x", "axis-y", "scale-x"}
    assert wanted | {"show-front", "depth-measure", "compare-a", "compare-measure"} <= reached
    page.locator("#board .name").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("tr.runs")).to_have_count(1)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('tr.runs *')")


def test_what_has_focus_is_seen(report):
    page = report.page
    page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("Tab")
        width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert math.isclose(float(width.removesuffix("px")), 2)
