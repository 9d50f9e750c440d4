from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsInvalidRequestError, ApnsServiceError
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
from tests.unit.conftest import Connect
from tests.unit.helpers import day

SCHEDULED = datetime(2024, 1, 1, tzinfo=timezone.utc)
WEEK = {"first_day": day(-7), "last_day": day(-1)}
CONTEXT: Any = {}


@pytest.mark.parametrize(
    ("operator", "required"),
    [
        (ApnsRequestExportOperator, {"dataset": "delivery"}),
        (ApnsToObjectStorageOperator, {"dataset": "delivery", "path": "memory://x/y.csv"}),
    ],
)
def test_the_days_are_the_reports_and_no_scheduling_dates(operator: Any, required: dict[str, str]) -> None:
    with DAG("dag", schedule=None, default_args={"start_date": SCHEDULED, "retries": 3}):
        task = operator(task_id="task", first_day="{{ macros.ds_add(ds, -7) }}", last_day="{{ ds }}", **required)
    assert (task.start_date, task.retries) == (SCHEDULED, 3)

    class Macros:
        @staticmethod
        def ds_add(ds: str, days: int) -> str:
            return f"{ds}{days:+}"

    task.render_template_fields({"ds": "2026-03-09", "macros": Macros})
    assert (task.first_day, task.last_day) == ("2026-03-09-7", "2026-03-09")


class TestRequesting:
    @pytest.mark.parametrize("dataset", ["application", "delivery", "channel", "broadcastchannelmetrics"])
    def test_returns_the_status_url(self, apple: Emulator, dataset: str) -> None:
        channel_id = apple.channel_ids[0] if "channel" in dataset else None
        task = ApnsRequestExportOperator(task_id="request", dataset=dataset, channel_id=channel_id, **WEEK)
        status_url = task.execute(CONTEXT)
        assert ApnsHook().get_export(status_url).is_ready
        assert type(status_url) is str
        assert task.execute(CONTEXT) == status_url
        assert apple.ledger.exports_created == 1

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"last_day": day(0)}, "is not over yet"),
            ({"first_day": day(-31)}, "Apple has deleted it"),
            ({"first_day": day(-1)}, "Apple does not export a single day"),
            ({"url_expires_in_minutes": 61}, "from 20 to 60"),
        ],
    )
    def test_a_bad_argument_reaches_no_server_and_is_not_retried(
        self, apple: Emulator, changes: dict[str, Any], told: str
    ) -> None:
        task = ApnsRequestExportOperator(task_id="request", **{"dataset": "application", **WEEK, **changes})
        with pytest.raises(AirflowFailException, match=told):
            task.execute(CONTEXT)
        assert apple.ledger.connections == 0

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ({"dataset": "news"}, "'application', 'channel', 'delivery'"),
            ({"dataset": "channel"}, "channel_id is missing"),
            ({"dataset": "channel", "channel_id": "news!"}, "is not base64"),
            ({"dataset": "delivery", "channel_id": "AAAA"}, "channel dataset only"),
        ],
    )
    def test_what_is_no_template_is_refused_when_the_dag_is_parsed(self, arguments: dict[str, Any], told: str) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=told):
            ApnsRequestExportOperator(task_id="request", **arguments, **WEEK)
        templates = dict.fromkeys(arguments, "{{ params.x }}")
        ApnsRequestExportOperator(task_id="request", **{"dataset": "{{ x }}", **templates}, **WEEK)

    def test_an_unknown_channel_is_not_retried(self, apple: Emulator) -> None:
        task = ApnsRequestExportOperator(task_id="request", dataset="channel", channel_id="AAAA", **WEEK)
        with pytest.raises(AirflowFailException, match="does not know channel AAAA"):
            task.execute(CONTEXT)

    def test_a_wrong_token_is_not_retried(self, apple: Emulator, connect: Connect) -> None:
        connect(apple, password="wrong")
        with pytest.raises(AirflowFailException, match="does not accept"):
            ApnsRequestExportOperator(task_id="request", dataset="delivery", **WEEK).execute(CONTEXT)
        assert apple.ledger.posts == 1

    def test_an_outage_is(self, apple: Emulator, short_waits: list[float]) -> None:
        apple.inject("request:503:times=forever")
        with pytest.raises(ApnsServiceError, match="503"):
            ApnsRequestExportOperator(task_id="request", dataset="delivery", **WEEK).execute(CONTEXT)

    def test_templates(self) -> None:
        assert set(ApnsRequestExportOperator.template_fields) == {
            "dataset",
            "first_day",
            "last_day",
            "channel_id",
            "app_id",
            "apns_conn_id",
        }


class TestDownloading:
    @pytest.fixture
    def status_url(self, apple: Emulator) -> str:
        return ApnsHook().request_export("delivery", WEEK["first_day"], WEEK["last_day"]).status_url

    def task(self, status_url: str, path: Path, **options: Any) -> ApnsDownloadExportOperator:
        return ApnsDownloadExportOperator(task_id="download", status_url=status_url, path=str(path), **options)

    def test_byte_for_byte_and_returns_the_path(self, apple: Emulator, status_url: str, tmp_path: Path) -> None:
        path = tmp_path / "new" / "report.csv"
        assert self.task(status_url, path).execute(CONTEXT) == str(path)
        assert path.read_bytes() == apple.csv("delivery", *WEEK.values())
        assert apple.ledger.downloads == 1

    def test_overwrites_unless_told_otherwise(self, apple: Emulator, status_url: str, tmp_path: Path) -> None:
        path = tmp_path / "report.csv"
        path.write_text("old")
        with pytest.raises(AirflowFailException, match="overwrite"):
            self.task(status_url, path, overwrite=False).execute(CONTEXT)
        assert path.read_text() == "old"
        self.task(status_url, path).execute(CONTEXT)
        assert path.read_text() != "old"

    def test_the_expected_dataset(
        self, apple: Emulator, status_url: str, tmp_path: Path, short_waits: list[float]
    ) -> None:
        with pytest.raises(ApnsServiceError, match="is not the CSV of the channel dataset"):
            self.task(status_url, tmp_path / "x", dataset="channel").execute(CONTEXT)
        assert list(tmp_path.iterdir()) == []

    def test_the_largest_size(self, apple: Emulator, status_url: str, tmp_path: Path) -> None:
        with pytest.raises(AirflowFailException, match="larger than 100 bytes"):
            self.task(status_url, tmp_path / "x", max_bytes=100).execute(CONTEXT)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("path", "told"),
        [
            ("/tmp/", "does not name an object"),
            ("/tmp/{{ ds }}.csv", "has a template in it that Airflow has not rendered"),
            ("nowhere://x/y.csv", "cannot be used"),
            ("s3://not_there@bucket/x.csv", "not_there"),
            (["/tmp/x.csv"], "must be a string, not list"),
        ],
    )
    def test_a_destination_that_cannot_be_used_is_told_before_apple_is_asked(
        self, apple: Emulator, status_url: str, path: Any, told: str
    ) -> None:
        with pytest.raises(AirflowFailException, match=told):
            ApnsDownloadExportOperator(task_id="download", status_url=status_url, path=path).execute(CONTEXT)
        assert apple.ledger.gets == 0

    def test_an_export_that_is_not_ready(
        self, apple: Emulator, status_url: str, tmp_path: Path, short_waits: list[float]
    ) -> None:
        apple.configure(processing_polls=1_000_000)
        with pytest.raises(ApnsServiceError, match=r"not ready.*ApnsExportSensor"):
            self.task(status_url, tmp_path / "x").execute(CONTEXT)

    def test_templates(self) -> None:
        assert set(ApnsDownloadExportOperator.template_fields) == {
            "status_url",
            "path",
            "apns_conn_id",
            "object_storage_conn_id",
            "dataset",
        }
