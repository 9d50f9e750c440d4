"""The main job to an object store: moto's S3 API, through an Airflow connection to AWS."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_apns.exceptions import ApnsReportTooLargeError
from airflow_provider_apns.hooks.apns import ApnsHook
from tests.integration.foreign_server import ForeignServer
from tests.support.dag_test import run_dag
from tests.support.s3 import S3Server, s3_server

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("airflow_db", "prompt")]

DAGS = Path(__file__).parent / "dags"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log.txt") as running:
        yield running


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server with nothing in its bucket, behind the connection ``store``."""
    stored = server.keys()
    for key in stored:
        server.client.delete_object(Bucket=server.bucket, Key=key)
    monkeypatch.setenv("AIRFLOW_CONN_STORE", server.connection)
    return server


@pytest.fixture
def days(yesterday: date) -> dict[str, str]:
    return {"first_day": str(yesterday - timedelta(days=1)), "last_day": str(yesterday)}


class TestReports:
    @pytest.fixture
    def apple(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForeignServer]:
        with ForeignServer() as running:
            monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", running.connection())
            yield running

    @pytest.mark.main_job
    def test_three_tasks(self, s3: S3Server, apple: ForeignServer, days: dict[str, str]) -> None:
        conf = {"dataset": "application", "start": days["first_day"], "end": days["last_day"]}
        result = run_dag(DAGS / "main_job.py", conf=conf | {"folder": f"s3://store@{s3.bucket}/apns"})
        assert result.state == "success"
        key = f"apns/application/{days['last_day']}.csv"
        assert s3.keys() == [key]
        assert [s3.read(key)] == apple.served
        assert result.xcom("download") == f"s3://store@{s3.bucket}/{key}"

    def test_one_task_with_partitions(
        self, s3: S3Server, apple: ForeignServer, days: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = f"s3://store@{s3.bucket}/{{{{ dag_run.conf['folder'] }}}}/{{date}}/{{channel_id}}.csv"
        channel_ids = "{{ dag_run.conf['channel_ids'] }}"
        arguments = {"dataset": "channel", "channel_ids": channel_ids, "path": path, **days}
        monkeypatch.setenv("ONE_TASK", json.dumps(arguments))
        conf = {"folder": "by-channel", "channel_ids": apple.channel_ids}
        result = run_dag(DAGS / "one_task.py", "one_task", conf=conf)
        assert result.state == "success"
        names = [channel_id.replace("+", "-").replace("/", "_").rstrip("=") for channel_id in apple.channel_ids]
        expected = [f"by-channel/{day}/{name}.csv" for day in days.values() for name in names]
        assert s3.keys() == sorted(expected)
        assert s3.read(expected[0]).decode().splitlines()[1].startswith(f"{days['first_day']},{apple.app},")

    def test_a_path_keeps_itself_complete(
        self, s3: S3Server, apple: ForeignServer, days: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is there, and when it was written, is read from the store's listing."""
        path = f"s3://store@{s3.bucket}/day={{date}}/metrics.parquet"
        arguments = {"dataset": "application", "path": path, "first_day": None, "last_day": None}
        monkeypatch.setenv("ONE_TASK", json.dumps(arguments))
        first = run_dag(DAGS / "one_task.py", "one_task").xcom("export")
        keys = s3.keys()
        assert (first["objects"], len(first["days"]), len(keys), len(apple.exports)) == (30, 30, 30, 1)

        s3.client.delete_object(Bucket=s3.bucket, Key=keys[3])
        again = run_dag(DAGS / "one_task.py", "one_task").xcom("export")
        assert again["days"] == [first["days"][3]]
        assert again["days_unchanged"] == first["days"][-3:]
        assert s3.keys() == keys


@pytest.mark.skipif(version("moto") < "5.2", reason="moto takes no checksums before 5.2")
def test_the_store_checks_what_it_gets(s3: S3Server, days: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with ForeignServer() as apple:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection())
        status_url = ApnsHook().request_export("delivery", **days).status_url
        ApnsHook().download_export(status_url, f"s3://store@{s3.bucket}/x.csv")
    stored = s3.client.head_object(Bucket=s3.bucket, Key="x.csv", ChecksumMode="ENABLED")
    assert stored["ChecksumCRC32"] == base64.b64encode(zlib.crc32(s3.read("x.csv")).to_bytes(4, "big")).decode()
    assert stored["ContentType"] == "text/csv"


def test_nothing_is_left_of_a_failed_download(
    s3: S3Server, days: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ForeignServer() as apple:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection())
        status_url = ApnsHook().request_export("delivery", **days).status_url
        with pytest.raises(ApnsReportTooLargeError):
            ApnsHook(max_bytes=50).download_export(status_url, f"s3://store@{s3.bucket}/x.csv")
    assert s3.keys() == []
