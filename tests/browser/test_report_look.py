"""The page as it looks: light and dark, on a narrow screen, on paper; and names from results, which do no harm."""

import pytest
from playwright.sync_api import expect
from report_runs import write_run

from clhyper.cli.main import main

pytestmark = pytest.mark.browser
SHARP = [
    "<script>document.title='harmed'</script>",
    "<img src=x onerror=\"document.title='harmed'\">",
    "</script><!--",
    "<b>bold</b><a href='https://example.org'>link</a>",
    "%{x} ${1+1} {{ 7*7 }} &lt;",
]


def background(page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def ink_of_axis(visit) -> str:
    return visit.chart("trade-off").evaluate("e => e.layout.font.color")


def test_the_switch_changes_the_colours_and_is_remembered(visit, address):
    page = visit.open(address)
    light, ink = background(page), ink_of_axis(visit)
    page.locator("#theme").click()
    dark = background(page)
    assert dark != light
    assert ink_of_axis(visit) != ink
    page.reload()
    assert background(page) == dark
    page.locator("#theme").click()
    assert background(page) == light


def test_the_page_is_dark_where_the_system_is(chromium, visit, address):
    page = visit.open(address)
    light = background(page)
    page.emulate_media(color_scheme="dark")
    assert background(page) != light
    expect(page.locator("#theme")).to_have_text("Light")


def test_without_storage_the_switch_still_works(visit, address):
    refuse = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })"
    )
    visit.page.add_init_script(refuse)
    page = visit.open(address)
    light = background(page)
    page.locator("#theme").click()
    assert background(page) != light


def test_a_narrow_screen_scrolls_in_its_tables_only(visit, address):
    visit.page.set_viewport_size({"width": 360, "height": 740})
    page = visit.open(address)
    for section in ("trade-off", "depth", "curves", "matrices", "cost"):
        visit.chart(section)
    page.locator("#board .name").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator(".scroll").first.evaluate("e => e.scrollWidth > e.clientWidth")
    page.locator("tr.runs button.link").first.click()
    assert page.locator("dialog").evaluate(
        "e => e.getBoundingClientRect().right <= 360 && e.scrollWidth <= e.clientWidth"
    )


def test_paper_is_light_has_every_chart_and_no_controls(visit, address):
    page = visit.open(address)
    page.locator("#theme").click()
    visit.chart("trade-off")
    page.emulate_media(media="print")
    for section in ("trade-off", "depth", "curves", "matrices", "cost"):
        expect(page.locator(f"#{section} .main-svg").first).to_be_visible()
    for control in ("#filters", "#theme", "#axis-x", "#more"):
        expect(page.locator(control)).to_be_hidden()
    assert background(page) == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF")


def test_names_from_results_do_no_harm(visit, tmp_path):
    results = tmp_path / "<img src=x onerror=alert(1)>"
    for place, text in enumerate(SHARP):
        write_run(results, "naive", place, {"freeze_depth": 1}, learned=1, reason=text)
        write_run(results, "naive", place, {"freeze_depth": 2}, acc=0.5 + 0.01 * place)
    rename(results)
    output = tmp_path / "report.html"
    assert main(["report", str(results), "--output", str(output)]) == 0
    page = visit.open(output.as_uri())
    for section in ("trade-off", "curves", "matrices", "cost"):
        visit.chart(section)
    page.locator("#board .name").first.click()
    page.locator("tr.runs button.link").first.click()
    expect(page.locator("#run-title")).to_contain_text("<img src=x")
    assert "harmed" not in page.title()
    assert page.locator("body img, .chart b, .chart a[href^=http]").count() == 0
    assert visit.requests == [output.as_uri()]
    strategies = {trace["name"] for trace in visit.traces("trade-off")}
    assert any("&lt;script&gt;" in name for name in strategies)


def rename(results) -> None:
    """Gives runs, strategies and streams names that a page must not take for markup."""
    for place, folder in enumerate(sorted(results.iterdir())):
        config = folder / "config.toml"
        text = config.read_text()
        sharp = SHARP[place % len(SHARP)].replace('"', "'")
        text = text.replace('strategy = "naive"', f'strategy = "{sharp}"')
        text = text.replace('optimizer = "adam"', f'optimizer = "{sharp}"')
        config.write_text(text)
        folder.rename(results / f"{place} <img src=x onerror=alert({place})>")
