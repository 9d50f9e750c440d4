"""The documentation in a browser: nothing is cut off, on a desktop or a phone, light or dark, and the search helps."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.conftest import ROOT

# What sticks out of the window or of its own box, unless it or what it is in can be scrolled.
CUT_OFF = """() => {
    const cut = [], edge = document.documentElement.clientWidth + 1;
    const scrolls = element => element && element !== document.body
        && (["auto", "scroll"].includes(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
    for (const element of document.querySelectorAll(".md-header__title, .md-content *, .md-footer *")) {
        const box = element.getBoundingClientRect();
        const hides = ["hidden", "clip"].includes(getComputedStyle(element).overflowX);
        const short = hides && element.scrollWidth > element.clientWidth + 1;
        if (element.checkVisibility() && box.width && (short || box.left < -1 || box.right > edge) && !scrolls(element))
            cut.push(`${element.tagName} ${element.className}: ${element.textContent.trim().slice(0, 60)}`);
    }
    return cut;
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    subprocess.run(["make", "docs"], cwd=ROOT, check=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=ROOT / "site")) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def reader(browser: Browser, site: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, colours = getattr(request, "param", (1280, "light"))
    page = browser.new_page(base_url=site, viewport={"width": width, "height": 900}, color_scheme=colours)
    yield page
    page.close()


@pytest.mark.parametrize(
    "reader", [(width, colours) for width in (1280, 390) for colours in ("light", "dark")], indirect=True, ids=str
)
def test_nothing_is_cut_off(reader: Page) -> None:
    pages = [path.relative_to(ROOT / "site") for path in Path(ROOT, "site").rglob("*.html") if path.name != "404.html"]
    assert len(pages) > 20
    cut = {}
    for page in pages:
        reader.goto(f"/{page}")
        cut[str(page)] = reader.evaluate(CUT_OFF)
        assert reader.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), page
    assert not {page: found for page, found in cut.items() if found}


def test_search_finds_the_runbook(reader: Page) -> None:
    reader.goto("/index.html")
    reader.get_by_role("textbox", name="Search").click()
    reader.keyboard.type("paused")
    first = reader.locator(".md-search-result__item").first
    expect(first.get_by_role("heading", name="Runbook")).to_be_visible()
    expect(first.get_by_role("heading", name="The DAG was paused")).to_be_visible()
