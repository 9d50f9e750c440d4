from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsServiceError
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
from tests.unit.conftest import Connect
from tests.unit.helpers import day

SCHEDULED = datetime(2024, 1, 1, tzinfo=timezone.utc)
WEEK = {"start_date": day(-7), "end_date": day(-1)}
CONTEXT: Any = {}

# The two operators whose start_date and end_date are the report's days.
dated = pytest.mark.parametrize(
    ("operator", "required"),
    [
        (ApnsRequestExportOperator, {"dataset": "delivery"}),
        (ApnsToObjectStorageOperator, {"dataset": "delivery", "path": "memory://x/y.csv"}),
    ],
)


def unmapped(task: Any, **mapped: Any) -> Any:
    """One instance of a mapped task, as a worker makes it."""
    resolved = dict(mapped)
    try:
        return task.unmap(resolved)
    except TypeError:  # Airflow 2
        return task.unmap((resolved, set()))


class TestDates:
    @dated
    def test_the_days_are_the_reports_and_the_task_keeps_its_dags(
        self, operator: Any, required: dict[str, str]
    ) -> None:
        with DAG("dag", schedule=None, start_date=SCHEDULED, end_date=datetime(2030, 1, 1, tzinfo=timezone.utc)):
            task = operator(task_id="task", start_date="{{ ds }}", end_date="{{ next_ds }}", **required)
        assert (task.export_start_date, task.export_end_date) == ("{{ ds }}", "{{ next_ds }}")
        assert task.start_date == SCHEDULED
        assert task.end_date.year == 2030

    @dated
    def test_default_args_are_the_dags_and_not_the_reports(self, operator: Any, required: dict[str, str]) -> None:
        with DAG("dag", schedule=None, default_args={"start_date": SCHEDULED, "retries": 3}):
            task = operator(task_id="task", start_date="2026-03-01", end_date="2026-03-02", **required)
            other = operator(task_id="other", export_start_date="2026-03-01", export_end_date="2026-03-02", **required)
        for each in (task, other):
            assert (each.export_start_date, each.export_end_date) == ("2026-03-01", "2026-03-02")
            assert each.start_date == SCHEDULED
            assert each.retries == 3

    @dated
    @pytest.mark.parametrize("given", [{}, {"start_date": "2026-03-01"}, {"end_date": "2026-03-01"}])
    def test_both_are_needed(self, operator: Any, required: dict[str, str], given: dict[str, str]) -> None:
        with pytest.raises(TypeError, match="start_date and end_date"):
            operator(task_id="task", **required, **given)

    @dated
    def test_mapped_over_something_else(self, operator: Any, required: dict[str, str]) -> None:
        with DAG("dag", schedule=None, start_date=SCHEDULED):
            task = operator.partial(task_id="task", start_date="{{ ds }}", end_date="{{ ds }}", **required).expand(
                app_id=["a", "b"]
            )
        assert task.start_date == SCHEDULED
        one = unmapped(task, app_id="a")
        assert (one.export_start_date, one.export_end_date, one.app_id) == ("{{ ds }}", "{{ ds }}", "a")

    @dated
    @pytest.mark.parametrize("name", ["start_date", "export_start_date"])
    def test_mapped_over_days(self, operator: Any, required: dict[str, str], name: str) -> None:
        if name == "start_date":
            pytest.importorskip("airflow.sdk", reason="Airflow 2 does not map start_date")
        with DAG("dag", schedule=None, start_date=SCHEDULED):
            task = operator.partial(task_id="task", end_date="2026-03-09", **required).expand(
                **{name: ["2026-03-01", "2026-03-02"]}
            )
        assert task.start_date == SCHEDULED
        one = unmapped(task, **{name: "2026-03-02"})
        assert (one.export_start_date, one.export_end_date) == ("2026-03-02", "2026-03-09")

    @dated
    def test_mapped_over_whole_windows(self, operator: Any, required: dict[str, str]) -> None:
        with DAG("dag", schedule=None, start_date=SCHEDULED, default_args={"start_date": SCHEDULED}):
            task = operator.partial(task_id="task", **required).expand_kwargs(
                [{"start_date": "2026-03-01", "end_date": "2026-03-02"}]
            )
        assert task.start_date == SCHEDULED
        one = unmapped(task, start_date="2026-03-01", end_date="2026-03-02")
        assert (one.export_start_date, one.export_end_date) == ("2026-03-01", "2026-03-02")

    @dated
    def test_the_dag_can_be_serialized(self, operator: Any, required: dict[str, str]) -> None:
        try:
            from airflow.serialization.serialized_objects import DagSerialization as Serialization
        except ImportError:
            from airflow.serialization.serialized_objects import SerializedDAG as Serialization  # type: ignore[no-redef]

        with DAG("dag", schedule=None, start_date=SCHEDULED) as dag:
            operator(task_id="plain", start_date="{{ ds }}", end_date="{{ ds }}", **required)
            operator.partial(task_id="mapped", start_date="{{ ds }}", end_date="{{ ds }}", **required).expand(
                app_id=["a"]
            )
        assert set(Serialization.from_dict(Serialization.to_dict(dag)).task_dict) == {"plain", "mapped"}

    @dated
    def test_the_days_are_templates(self, operator: Any, required: dict[str, str]) -> None:
        task = operator(task_id="task", start_date="{{ macros.ds_add(ds, -7) }}", end_date="{{ ds }}", **required)

        class Macros:
            @staticmethod
            def ds_add(ds: str, days: int) -> str:
                return f"{ds}{days:+}"

        task.render_template_fields({"ds": "2026-03-09", "macros": Macros})
        assert (task.export_start_date, task.export_end_date) == ("2026-03-09-7", "2026-03-09")


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
            ({"end_date": day(0)}, "is not over yet"),
            ({"start_date": day(-31)}, "cannot deliver it any more"),
            ({"start_date": day(-1)}, "Apple exports no single day"),
            ({"dataset": "news"}, "'application', 'channel', 'delivery'"),
            ({"dataset": "channel"}, "channel_id is missing"),
            ({"dataset": "channel", "channel_id": "news!"}, "is not base64"),
            ({"channel_id": "AAAA"}, "channel dataset only"),
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

    def test_an_unknown_channel_is_not_retried(self, apple: Emulator) -> None:
        task = ApnsRequestExportOperator(task_id="request", dataset="channel", channel_id="AAAA", **WEEK)
        with pytest.raises(AirflowFailException, match="knows no channel AAAA"):
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
            "export_start_date",
            "export_end_date",
            "channel_id",
            "app_id",
            "apns_conn_id",
        }


class TestDownloading:
    @pytest.fixture
    def status_url(self, apple: Emulator) -> str:
        return ApnsHook().request_export("delivery", WEEK["start_date"], WEEK["end_date"]).status_url

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

    def test_a_path_that_names_no_object(self, apple: Emulator, status_url: str) -> None:
        with pytest.raises(AirflowFailException, match="names no object"):
            ApnsDownloadExportOperator(task_id="download", status_url=status_url, path="/tmp/").execute(CONTEXT)
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
