"""Pages in a real browser, which must neither complain nor ask any network for anything."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "figures"))
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60_000  # milliseconds: a loaded machine takes many seconds to read Plotly


@pytest.fixture(scope="session")
def chromium():
    """A browser; without one the tests are skipped, but not where CI runs them."""
    from playwright.sync_api import expect, sync_playwright

    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        assert not os.environ.get("CI"), f"no browser: {' or '.join(NAMES)} must be installed"
        pytest.skip("no Chromium on this machine")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Visit:
    """A page that is open: `page` is Playwright's, `complaints` what the console said, `requests` what was asked."""

    def __init__(self, browser, **options) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type != "log" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, address: str):
        self.page.goto(address)
        return self.page

    def chart(self, section: str):
        """The first chart of a section, drawn."""
        self.page.locator(f"#{section}").evaluate("section => section.scrollIntoView()")
        self.page.locator(f'#{section}[aria-busy="false"] .main-svg').first.wait_for()
        return self.page.locator(f"#{section} .chart").first

    def traces(self, section: str) -> list[dict]:
        """What the first chart of a section draws."""
        read = """element => element.data.map((one) => ({
            name: one.name?.replaceAll('<br>', ' '), type: one.type,
            x: [...(one.x ?? [])], y: [...(one.y ?? [])], z: one.z,
            hovertext: one.hovertext, bars: one.error_y?.visible, colour: one.line?.color,
        }))"""
        return self.chart(section).evaluate(read)

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def visit(chromium) -> Iterator[Visit]:
    """A fresh page; at the end there must be no complaint."""
    one = Visit(chromium)
    yield one
    one.close()
    assert one.complaints == []


@pytest.fixture(scope="module")
def opened_once(chromium, address) -> Iterator[Visit]:
    one = Visit(chromium)
    one.open(address)
    yield one
    one.close()


@pytest.fixture
def report(opened_once) -> Iterator[Visit]:
    """The report of the study with every choice as it is at first; at the end there must be no complaint."""
    opened_once.page.keyboard.press("Escape")
    opened_once.page.locator("#reset").click()
    opened_once.page.evaluate("scrollTo(0, 0)")
    yield opened_once
    assert opened_once.complaints == []


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    from report_runs import write_study

    folder = tmp_path_factory.mktemp("study") / "runs"
    write_study(folder)
    return folder


@pytest.fixture(scope="session")
def address(study) -> str:
    """The report of the study as a file's address."""
    from clhyper.cli.main import main

    output = study.parent / "report.html"
    assert main(["report", str(study), "-o", str(output)]) == 0
    return output.as_uri()
