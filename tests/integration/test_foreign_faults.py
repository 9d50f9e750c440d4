"""What goes wrong at a server that shares no code with us: what passes is mended, what lasts leaves the old object."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apns.exceptions import ApnsError
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.protocol.days import Days
from airflow_provider_apns.protocol.exports import ExportRequest
from tests.integration.foreign_server import TROUBLES, ForeignServer
from tests.support.dag_test import DagTest, run_dag

pytestmark = pytest.mark.integration

ENDPOINTS = ("request", "status", "download")
PASSING = [how for how in TROUBLES if how != "redirect"]
DATASET = "broadcastapplicationmetric"
OLD = b"the old object"

at_each_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS)


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForeignServer]:
    with ForeignServer() as server:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", server.connection())
        yield server


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "application" / "report.csv"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


@pytest.mark.usefixtures("hasty")
class TestHook:
    def bring(self, report: Path, yesterday: date) -> None:
        hook = ApnsHook()
        export = hook.request_export("application", yesterday - timedelta(days=2), yesterday)
        assert hook.get_export(export.status_url).is_ready
        hook.download_export(export.status_url, str(report))

    async def bring_in_triggerer(self, report: Path, yesterday: date) -> None:
        days = Days(yesterday - timedelta(days=2), yesterday)
        async with ApnsAsyncHook() as hook:
            export = await hook.request_export(ExportRequest(Dataset.APPLICATION, days))
            assert (await hook.get_export(export.status_url)).is_ready
            report.write_bytes((await hook.download_report(export.status_url, Dataset.APPLICATION)).body)

    @at_each_endpoint
    @pytest.mark.parametrize("how", PASSING)
    def test_twice_is_mended(
        self, apple: ForeignServer, report: Path, yesterday: date, endpoint: str, how: str
    ) -> None:
        apple.trouble(endpoint, how, 2)
        self.bring(report, yesterday)
        assert report.read_bytes() == apple.csv(DATASET, yesterday - timedelta(days=2), yesterday)
        assert len(apple.all(endpoint)) >= 3

    @at_each_endpoint
    @pytest.mark.parametrize("how", PASSING)
    async def test_twice_is_mended_in_the_triggerer(
        self, apple: ForeignServer, report: Path, yesterday: date, endpoint: str, how: str
    ) -> None:
        apple.trouble(endpoint, how, 2)
        await self.bring_in_triggerer(report, yesterday)
        assert report.read_bytes() == apple.csv(DATASET, yesterday - timedelta(days=2), yesterday)
        assert len(apple.all(endpoint)) >= 3

    @at_each_endpoint
    @pytest.mark.parametrize("how", TROUBLES)
    def test_for_ever_leaves_the_old_object(
        self, apple: ForeignServer, report: Path, yesterday: date, endpoint: str, how: str
    ) -> None:
        with ForeignServer() as elsewhere:
            apple.elsewhere = f"http://127.0.0.1:{elsewhere.port}/objects/1/data.csv"
            apple.trouble(endpoint, how, 1000)
            with pytest.raises(ApnsError) as raised:
                self.bring(report, yesterday)
        assert raised.value.__cause__ is None
        assert apple.token not in str(raised.value)
        assert report.read_bytes() == OLD
        assert [path.name for path in report.parent.iterdir()] == [report.name]
        assert not any(request.has_token for request in elsewhere.seen)

    @pytest.mark.parametrize("endpoint", ["request", "status"])
    def test_a_redirect_of_the_api_is_not_followed(
        self, apple: ForeignServer, report: Path, yesterday: date, endpoint: str
    ) -> None:
        with ForeignServer() as elsewhere:
            apple.elsewhere = f"http://127.0.0.1:{elsewhere.port}/exports/1"
            apple.trouble(endpoint, "redirect", 1000)
            with pytest.raises(ApnsError, match="redirect"):
                self.bring(report, yesterday)
        assert elsewhere.seen == []

    def test_a_foreign_status_url_gets_no_request(self, apple: ForeignServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection(extra={"app_id": apple.app}))
        with ForeignServer() as elsewhere:
            for host in ("127.0.0.1", "localhost"):
                with pytest.raises(ApnsError, match="token was not sent"):
                    ApnsHook().get_export(f"http://{host}:{elsewhere.port}/exports/1")
        assert elsewhere.seen == []
        assert apple.seen == []


@pytest.mark.usefixtures("airflow_db", "prompt")
class TestDag:
    def run(self, report: Path, yesterday: date, retries: int) -> DagTest:
        days = {"start": str(yesterday - timedelta(days=2)), "end": str(yesterday)}
        conf = {"dataset": "application", "folder": str(report.parents[1])} | days
        dag = Path(__file__).parent / "dags" / "main_job.py"
        return run_dag(dag, conf=conf, retries=retries)

    @pytest.fixture
    def report(self, report: Path, yesterday: date) -> Path:
        """The object that the DAG writes."""
        return report.rename(report.with_name(f"{yesterday}.csv"))

    @at_each_endpoint
    @pytest.mark.parametrize("how", ["503", "reset", "broken off"])
    def test_twice_is_mended_without_a_retry_of_the_task(
        self, apple: ForeignServer, report: Path, yesterday: date, endpoint: str, how: str
    ) -> None:
        apple.trouble(endpoint, how, 2)
        result = self.run(report, yesterday, retries=0)
        assert set(result.states().values()) == {"success"}
        assert report.read_bytes() == apple.csv(DATASET, yesterday - timedelta(days=2), yesterday)

    @pytest.mark.usefixtures("hasty")
    @at_each_endpoint
    @pytest.mark.parametrize("how", ["503", "html", "reset", "cut"])
    def test_for_ever_fails_the_task_and_leaves_the_old_object(
        self, apple: ForeignServer, report: Path, yesterday: date, endpoint: str, how: str
    ) -> None:
        apple.trouble(endpoint, how, 1000)
        result = self.run(report, yesterday, retries=0)
        assert result.state == "failed"
        assert report.read_bytes() == OLD
        assert [path.name for path in report.parent.iterdir()] == [report.name]


def test_every_trouble_is_one(apple: ForeignServer, yesterday: date) -> None:
    """A plain client without our rules fails on each of them, so that none of the tests above tests nothing."""
    import requests

    apple.elsewhere = f"http://127.0.0.1:{apple.port}/nowhere"
    body: Any = {
        "startDate": str(yesterday - timedelta(days=2)),
        "endDate": str(yesterday),
        "dataDownloadUrlExpiresInMinutes": 60,
    }
    url = (
        f"http://127.0.0.1:{apple.port}/v1/dataExports/apns/teams/{apple.team}/appId/{apple.app}"
        f"/datasetName/{DATASET}/request"
    )
    headers = {"X-Apple-CloudKit-Management-Token": apple.token}
    assert requests.post(url, json=body, headers=headers, timeout=5).json()["statusUrl"]
    for how in TROUBLES:
        apple.trouble("request", how, 1)
        with pytest.raises((requests.RequestException, AssertionError)):  # noqa: PT012
            answer = requests.post(url, json=body, headers=headers, timeout=5)
            assert answer.ok
            assert isinstance(answer.json()["statusUrl"], str)
