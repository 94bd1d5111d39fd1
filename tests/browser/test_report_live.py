"""The page that is served: it takes in what is new, and leaves the reader's choices as they are."""

import threading

import pytest
from playwright.sync_api import expect
from report_runs import write_run, write_study

from clhyper.figures.report.server import open_server

pytestmark = pytest.mark.browser


@pytest.fixture
def served(tmp_path):
    """Serves a folder that is not there yet; yields it and the page's address."""
    results = tmp_path / "runs"
    with open_server(results, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield results, server.url
        server.shutdown()
        thread.join()


def test_runs_appear_as_they_are_written(visit, served):
    results, url = served
    page = visit.open(url)
    expect(page.locator("#waiting")).to_contain_text("Waiting for runs")
    write_run(results, "latent-replay", 0, {"freeze_depth": 1}, learned=1)
    expect(page.locator("#unfinished li")).to_contain_text("1 of 3, 90.0 % so far")
    expect(page.locator("#waiting")).to_be_hidden()
    write_run(results, "latent-replay", 1, {"freeze_depth": 1})
    expect(page.locator('#board td[data-measure="acc"]')).to_have_text("80.0")
    assert all(request.startswith(url) for request in visit.requests)


def test_new_results_leave_the_readers_choices(visit, served):
    results, url = served
    write_study(results)
    page = visit.open(url)
    visit.chart("trade-off")
    page.locator("#filter-family").select_option(label="latent-replay")
    page.locator("#search").fill("replay")
    page.locator("#axis-x").select_option("bytes_kept")
    page.locator("#board input[type=checkbox]").first.check()
    page.locator("#sort-forgetting").click()
    page.locator("#board .name").first.click()
    selected = page.locator("tr.selected td").all_inner_texts()
    write_run(results, "latent-replay", 7, {"freeze_depth": 3}, acc=0.99)
    expect(page.locator("#board tbody tr[data-configuration]")).to_have_count(3)
    expect(page.locator("#filter-family")).to_have_value("=latent-replay")
    expect(page.locator("#search")).to_have_value("replay")
    expect(page.locator("#axis-x")).to_have_value("bytes_kept")
    expect(page.locator("th:has(#sort-forgetting)")).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("tr.runs")).to_have_count(1)
    assert page.locator("tr.selected td").all_inner_texts() == selected


def test_the_page_says_when_the_server_is_gone(visit, tmp_path):
    results = tmp_path / "runs"
    write_run(results, "naive")
    server = open_server(results, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    page = visit.open(server.url)
    expect(page.locator("#pulse")).to_contain_text("Live")
    server.shutdown()
    server.server_close()
    thread.join()
    expect(page.locator("#pulse")).to_contain_text("Not live now")
    visit.complaints.clear()  # the browser itself notes that nobody answers
