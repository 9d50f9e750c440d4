"""The main job to an object store: moto's S3 API, through an Airflow connection to AWS."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.multipart import PART_SIZE
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
from tests.integration.foreign_server import ForeignServer
from tests.support.dag_test import run_dag
from tests.support.s3 import S3Server, s3_server

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("airflow_db", "prompt")]

DAGS = Path(__file__).parent / "dags"
MANY_ROWS = 400_000  # more than 8 MiB: an upload in several parts


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


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def uploads(s3: S3Server) -> list[Any]:
    """Return the multipart uploads that were begun and neither completed nor aborted."""
    return list(s3.client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", []))


@pytest.fixture
def days(yesterday: date) -> dict[str, str]:
    return {"start_date": str(yesterday - timedelta(days=1)), "end_date": str(yesterday)}


class TestSmallReports:
    @pytest.fixture
    def apple(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForeignServer]:
        with ForeignServer() as running:
            monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", running.connection())
            yield running

    @pytest.mark.main_job
    def test_three_tasks(self, s3: S3Server, apple: ForeignServer, days: dict[str, str]) -> None:
        conf = {"dataset": "application", "start": days["start_date"], "end": days["end_date"]}
        result = run_dag(DAGS / "main_job.py", conf=conf | {"folder": f"s3://store@{s3.bucket}/apns"})
        assert result.state == "success"
        key = f"apns/application/{days['end_date']}.csv"
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
        assert s3.read(expected[0]).decode().splitlines()[1].startswith(f"{days['start_date']},{apple.app},")


class TestLargeReports:
    @pytest.fixture
    def apple(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
        with Emulator(rows=MANY_ROWS) as running:
            monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", running.connection_json)
            yield running

    @pytest.fixture
    def status_url(self, apple: Emulator, days: dict[str, str]) -> str:
        return ApnsHook().request_export("delivery", **days).status_url

    def test_download(self, s3: S3Server, apple: Emulator, status_url: str, days: dict[str, str]) -> None:
        download = ApnsHook().download_export(status_url, f"s3://store@{s3.bucket}/large.csv")
        assert download.size > 8 << 20
        assert s3.read("large.csv") == apple.csv("delivery", days["start_date"], days["end_date"])
        # An ETag with a dash is that of an object in parts.
        assert "-" in s3.client.head_object(Bucket=s3.bucket, Key="large.csv")["ETag"]
        assert uploads(s3) == []

    @pytest.mark.skipif(version("moto") < "5.2", reason="moto takes no checksums before 5.2")
    def test_the_parts_are_checked(self, s3: S3Server, apple: Emulator, status_url: str, days: dict[str, str]) -> None:
        ApnsHook().download_export(status_url, f"s3://store@{s3.bucket}/large.csv")
        content = apple.csv("delivery", days["start_date"], days["end_date"])
        parts = [content[start : start + PART_SIZE] for start in range(0, len(content), PART_SIZE)]
        stored = s3.client.head_object(Bucket=s3.bucket, Key="large.csv", ChecksumMode="ENABLED")
        assert stored["ChecksumCRC32"] == crc32(b"".join(base64.b64decode(crc32(part)) for part in parts))

    def test_nothing_is_left_of_a_failed_download(self, s3: S3Server, status_url: str) -> None:
        from airflow_provider_apns.exceptions import ApnsReportTooLargeError

        with pytest.raises(ApnsReportTooLargeError):
            ApnsHook(max_bytes=9 << 20).download_export(status_url, f"s3://store@{s3.bucket}/large.csv")
        assert s3.keys() == uploads(s3) == []

    def test_one_task(self, s3: S3Server, apple: Emulator, days: dict[str, str]) -> None:
        summary = self.execute(s3, days)
        assert summary["rows"] == apple.csv("delivery", days["start_date"], days["end_date"]).count(b"\n") - 1
        assert summary["bytes"] == s3.client.head_object(Bucket=s3.bucket, Key="large.csv")["ContentLength"] > 8 << 20
        assert uploads(s3) == []

    @pytest.mark.usefixtures("apple")
    def test_nothing_is_left_of_a_failed_task(
        self, s3: S3Server, days: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow_provider_apns.spool import Spool

        read = Spool.read

        def broken(spool: Spool, *partition: Any) -> Iterator[Any]:
            """The disk fails when almost all is written."""
            for number, row in enumerate(read(spool, *partition)):
                if number == MANY_ROWS - 10:
                    raise OSError("the disk is gone")
                yield row

        monkeypatch.setattr(Spool, "read", broken)
        with pytest.raises(OSError, match="the disk is gone"):
            self.execute(s3, days)
        assert s3.keys() == uploads(s3) == []

    @staticmethod
    def execute(s3: S3Server, days: dict[str, str]) -> dict[str, Any]:
        path = f"s3://store@{s3.bucket}/large.csv"
        operator = ApnsToObjectStorageOperator(
            task_id="export", dataset="delivery", path=path, deferrable=False, poke_interval=0.05, **days
        )
        return dict(operator.execute({}))
