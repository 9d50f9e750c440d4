"""Debian's Chromium, and a live Airflow for it to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from airflow_provider_apns.emulator import Emulator
from tests.support.airflow_live import AirflowDeployment

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"

# Without the network flags, Chromium looks for its maker's servers at every start.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", type=Path, help="where to keep the pictures; docs/images brings the docs up to date"
    )


class Camera:
    """Takes the pictures that the documentation shows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, name: str, what: Page | Locator) -> None:
        """Write a picture; waits for fonts and animations to settle."""
        (what if isinstance(what, Page) else what.page).wait_for_timeout(600)
        what.screenshot(path=self._folder / f"{name}.png", animations="disabled")

    def keep(self, picture: Path) -> None:
        """Keep a picture that a DAG has drawn."""
        shutil.copy(picture, self._folder)


@pytest.fixture(scope="session")
def camera(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Camera:
    return Camera(request.config.getoption("--screenshots") or tmp_path_factory.mktemp("screenshots"))


@pytest.fixture(scope="session")
def apple() -> Iterator[Emulator]:
    # The sensor looks in vain twice, so that its log has something to show.
    with Emulator(processing_polls=2, jwt=True) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowDeployment]:
    home = tmp_path_factory.mktemp("airflow")
    env = {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled", "APNS_EXAMPLE_LAKE": f"file://{home / 'lake'}"}
    with AirflowDeployment(home, dags_folder=ROOT / "example_dags", env=env) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, airflow: AirflowDeployment) -> Iterator[Page]:
    page = browser.new_page(base_url=airflow.url, viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.set_default_timeout(30_000)
    yield page
    page.close()
