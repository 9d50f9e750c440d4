"""
What a person sees: the connection's form, its Test button, the graph, the sensor's log, a task's links.

The tests build on each other: the connection that the first one saves is used by all others.
"""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Locator, Page, expect

from airflow_provider_apns.emulator import Emulator
from tests.support.airflow_live import AirflowDeployment
from tests.support.metadata import Run
from tests.ui.conftest import Camera

ARTICLE = "https://developer.apple.com/documentation/pushkit/exporting-broadcast-push-notification-metrics"
DAG = "apns_daily_application_metrics"


def open_form(page: Page, conn_id: str) -> Locator:
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.locator("input[name=connection_id]").fill(conn_id)
    form.get_by_role("combobox").click()
    page.keyboard.type("apple push")
    page.keyboard.press("Enter")
    form.get_by_text("Standard Fields").wait_for()
    return form


def fill_form(form: Locator, apple: Emulator, token: str) -> None:
    form.locator("input[name=host]").fill(apple.url)
    form.locator("input[name=login]").fill(apple.team_id)
    form.locator("input[name=password]").fill(token)
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    form.locator("#element_app_id").fill(apple.app_id)


def save(form: Locator) -> None:
    form.get_by_role("button", name="Save").click()
    form.wait_for(state="hidden")


def add_with_port(airflow: AirflowDeployment, conn_id: str, apple: Emulator, token: str) -> None:
    """Add a connection with its port apart: Airflow 3.3.2 cannot test one without a port (apache/airflow#73298)."""
    host, _, port = apple.url.rpartition(":")
    fields = ["--conn-host", host, "--conn-port", port, "--conn-login", apple.team_id, "--conn-password", token]
    extra = json.dumps({"app_id": apple.app_id})
    airflow.cli("connections", "add", conn_id, "--conn-type", "apns", *fields, "--conn-extra", extra)


def press_test(page: Page, conn_id: str) -> Locator:
    """Press a connection's Test button, and return where the notice comes."""
    page.goto("/connections")
    page.get_by_role("row", name=conn_id).get_by_role("button", name="Test Connection").click()
    notice = page.get_by_role("region", name="Notifications").get_by_role("status")
    notice.wait_for()
    return notice


class TestConnection:
    def test_form(self, page: Page, camera: Camera) -> None:
        page.set_viewport_size({"width": 1280, "height": 1200})
        form = open_form(page, "apns_default")
        standard = form.get_by_role("region")
        for label in ("Team ID", "Data export token", "API host"):
            expect(standard.get_by_text(label, exact=True)).to_be_visible()
        placeholders = {
            name: form.locator(f"input[name={name}]").get_attribute("placeholder")
            for name in ("host", "login", "password")
        }
        assert placeholders == {
            "host": "Leave empty for Apple's own: https://api.icloud.apple.com",
            "login": "A1B2C3D4E5",
            "password": "CloudKit Console > Settings > Tokens > Create Data Export Token",
        }
        expect(form.locator("input[name=password]")).to_have_attribute("type", "password")
        for meaningless in ("port", "schema"):
            expect(form.locator(f"input[name={meaningless}]")).to_have_count(0)
        camera.take("connection-form", form)

        form.get_by_role("button", name="Extra Fields", exact=True).click()
        extra = form.get_by_role("region")
        for label in ("App bundle ID", "Key ID", "Private key (.p8)", "Channels host", "Trusted hosts"):
            expect(extra.get_by_text(label, exact=True)).to_be_visible()
        expect(extra.locator("input")).to_have_count(5)
        expect(extra.locator("input[type=password]")).to_have_count(1)
        expect(extra.get_by_role("link", name="Apple's article")).to_have_attribute("href", ARTICLE)
        camera.take("connection-form-extra", form)

    def test_save(self, page: Page, apple: Emulator, airflow: AirflowDeployment) -> None:
        form = open_form(page, "apns_default")
        fill_form(form, apple, apple.token)
        save(form)
        (row,) = airflow.metadata.query("SELECT conn_type, host, login FROM connection WHERE conn_id = 'apns_default'")
        assert tuple(row) == ("apns", apple.url, apple.team_id)

    def test_button_says_that_it_works(self, page: Page, apple: Emulator, airflow: AirflowDeployment) -> None:
        add_with_port(airflow, "apns_right", apple, apple.token)
        text = f"Apple accepts the token of team {apple.team_id} for the application dataset of {apple.app_id}"
        expect(press_test(page, "apns_right").get_by_text(text)).to_be_visible()

    def test_button_tells_what_is_wrong(
        self, page: Page, apple: Emulator, airflow: AirflowDeployment, camera: Camera
    ) -> None:
        add_with_port(airflow, "apns_wrong", apple, "not-the-token-of-this-app")
        notice = press_test(page, "apns_wrong")
        expect(notice.get_by_text("Apple does not accept the data export token of connection")).to_be_visible()
        expect(notice.get_by_text("Make a new data export token in CloudKit Console")).to_be_visible()
        assert "not-the-token-of-this-app" not in page.content()
        camera.take("connection-test", page)


class TestRun:
    @pytest.fixture(scope="class")
    @staticmethod
    def run(airflow: AirflowDeployment) -> Run:
        """A run that uses the connection which the form has saved."""
        run = airflow.trigger(DAG)
        assert airflow.wait_for_run(run) == "success", airflow.task_log(run, "request_export")
        return run

    def open_task(self, page: Page, run: Run, task_id: str, tab: str = "") -> None:
        page.goto(f"/dags/{run.dag_id}/runs/{run.run_id}/tasks/{task_id}/{tab}")

    def test_graph(self, page: Page, run: Run, camera: Camera) -> None:
        page.set_viewport_size({"width": 1240, "height": 300})
        page.goto(f"/dags/{run.dag_id}/runs/{run.run_id}")
        page.get_by_role("button", name="Show Graph").click()
        page.get_by_role("button", name="Collapse Details Panel").click()
        nodes = page.locator(".react-flow__node")
        for task_id in ("request_export", "wait_for_export", "download_export"):
            expect(nodes.get_by_text(task_id, exact=True)).to_be_visible()
        page.wait_for_timeout(1000)
        page.locator(".react-flow__controls-fitview").click()
        page.add_style_tag(content='.react-flow__panel, [aria-label$="Details Panel"] { visibility: hidden }')
        camera.take("graph", page.locator(".react-flow"))

    def test_sensor_log(self, page: Page, run: Run, apple: Emulator, camera: Camera) -> None:
        page.set_viewport_size({"width": 1400, "height": 790})
        self.open_task(page, run, "wait_for_export")
        log = page.locator("code").first
        for line in (
            r"Waiting for export http://\S+ for 21600 s at most\.",
            r"Export http://\S+ is PROCESSING after \d+ s; polling again in \d+ s\.",
            r"Export http://\S+ is ready\.",
        ):
            expect(log).to_contain_text(re.compile(line))
        assert apple.token not in page.content()
        page.keyboard.press("w")
        camera.take("sensor-log", page)

    @pytest.mark.parametrize("task_id", ["request_export", "wait_for_export", "download_export"])
    def test_link_to_apples_console(self, page: Page, run: Run, task_id: str) -> None:
        self.open_task(page, run, task_id, "details")
        link = page.get_by_role("link", name="CloudKit Console")
        expect(link).to_have_attribute("href", "https://icloud.developer.apple.com/dashboard/")
        # The object lies on the local disk, which has no console.
        expect(page.get_by_role("link", name="Stored object")).to_have_count(0)
