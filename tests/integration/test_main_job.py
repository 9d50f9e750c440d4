"""The main job in three tasks, against a server that shares no code with us, on whatever Airflow is installed."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from tests.integration.foreign_server import ForeignServer, Habits
from tests.support.airflow_live import AIRFLOW_3
from tests.support.dag_test import DagTest, run_dag

pytestmark = [pytest.mark.integration, pytest.mark.main_job, pytest.mark.usefixtures("airflow_db", "prompt")]

DAGS = Path(__file__).parent / "dags"
EXAMPLES = Path(__file__).parents[2] / "example_dags"

# The three datasets, each from a server with other habits.
PLAIN = Habits(compress=False, header_names=str.lower)
ELSEWHERE = Habits(status_host="localhost", data_host="localhost", data_url_key="dataURL", header_names=str.upper)
ODD = Habits(chunked=True, line_end="\r\n", mark=b"\xef\xbb\xbf", data_url_key="dataURL")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yesterday: date) -> Job:
    return Job(tmp_path, monkeypatch, yesterday)


class Job:
    """Runs the DAG over the last three days."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, yesterday: date) -> None:
        self.folder = folder
        self.start, self.end = yesterday - timedelta(days=2), yesterday
        self._monkeypatch = monkeypatch

    def run(self, apple: ForeignServer, dataset: str = "application", *, connection: str = "", **conf: str) -> DagTest:
        self._monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", connection or apple.connection())
        days = {"start": str(self.start), "end": str(self.end)}
        return run_dag(DAGS / "main_job.py", conf={"dataset": dataset, "folder": str(self.folder)} | days | conf)

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


class TestThreeTasks:
    @pytest.mark.parametrize("habits", [PLAIN, ELSEWHERE, ODD], ids=["plain", "elsewhere", "odd"])
    @pytest.mark.parametrize(
        ("dataset", "segment"),
        [
            ("application", "broadcastapplicationmetric"),
            ("channel", "broadcastchannelmetrics"),
            ("delivery", "deliverymetrics"),
        ],
    )
    def test_the_csv_is_the_served_one(self, job: Job, dataset: str, segment: str, habits: Habits) -> None:
        with ForeignServer(habits=habits, processing_looks=1) as apple:
            channel_id = apple.channel_ids[1] if dataset == "channel" else ""
            result = job.run(apple, dataset, channel_id=channel_id)

            assert result.states() == {"request": "success", "wait": "success", "download": "success"}
            path = job.folder / dataset / f"{job.end}.csv"
            assert job.files() == [path]
            assert [path.read_bytes()] == apple.served
            assert path.read_bytes() == apple.csv(segment, job.start, job.end, channel_id or None)
            assert result.xcom("download").removeprefix("file://") == str(path)

            assert len(apple.all("request")) == len(apple.all("download")) == 1
            assert not apple.all("other")
            assert all(request.has_token for request in apple.all("request") + apple.all("status"))
            assert not any(request.has_token for request in apple.all("download"))

    def test_neither_token_nor_signed_url_is_in_an_xcom(self, job: Job) -> None:
        with ForeignServer() as apple:
            result = job.run(apple)
            xcoms = str(
                result.metadata.query("SELECT value FROM xcom WHERE run_id = :run_id", run_id=result.run.run_id)
            )
            assert "/exports/" in xcoms
            assert apple.token not in xcoms
            assert apple.signatures
            assert not any(signature in xcoms for signature in apple.signatures)


class TestFailures:
    """All of them on the first try, though the tasks have three retries left."""

    @pytest.fixture
    def apple(self) -> Iterator[ForeignServer]:
        with ForeignServer() as server:
            yield server

    def assert_failed(self, result: DagTest, task_id: str) -> None:
        assert result.state == "failed"
        assert result.states()[task_id] == "failed"
        assert [task.try_number for task in result.tasks if task.task_id == task_id] == [1]

    @pytest.mark.parametrize(
        ("start", "end"), [(-31, -1), (-2, 0), (-2, -2), (-1, -2), (-400, -390)], ids=lambda days: f"{days} days"
    )
    def test_a_bad_date_reaches_no_server(self, job: Job, apple: ForeignServer, start: int, end: int) -> None:
        today = job.end + timedelta(days=1)
        days = {"start": str(today + timedelta(days=start)), "end": str(today + timedelta(days=end))}
        self.assert_failed(job.run(apple, **days), "request")
        assert apple.seen == []

    def test_an_unknown_channel(self, job: Job, apple: ForeignServer) -> None:
        self.assert_failed(job.run(apple, "channel", channel_id="AAAAAAAAAAAAAAAAAAAAAA=="), "request")
        assert [request.status for request in apple.seen] == [404]

    def test_a_wrong_token(self, job: Job, apple: ForeignServer) -> None:
        wrong = apple.connection(password="a-token-that-the-server-does-not-know")
        self.assert_failed(job.run(apple, connection=wrong), "request")
        assert [request.status for request in apple.seen] == [401]

    @pytest.mark.parametrize("outcome", ["FAILED", "EXPIRED"])
    def test_an_export_that_ends_without_a_report(self, job: Job, apple: ForeignServer, outcome: str) -> None:
        apple.outcome = outcome
        self.assert_failed(job.run(apple), "wait")
        assert [request.kind for request in apple.seen] == ["request", "status"]
        assert job.files() == []


@pytest.mark.parametrize("soft_fail", [True, False])
def test_a_deferred_sensor_whose_time_is_up(soft_fail: bool) -> None:
    """What a live Airflow calls then. Airflow 2 itself would retry, and Airflow 3.0 forget ``soft_fail``."""
    from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException

    sensor = ApnsExportSensor(task_id="wait", status_url="http://127.0.0.1/exports/1", soft_fail=soft_fail, timeout=9)
    error = "Trigger timeout" if AIRFLOW_3 else "Trigger/execution timeout"
    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout, match="not ready within 9 s"):
        sensor.resume_execution("__fail__", {"error": error}, {})


class TestExamples:
    """Each example DAG runs as it stands."""

    @pytest.fixture
    def lake(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        with Emulator(channels=3) as apple:
            monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
            monkeypatch.setenv("APNS_EXAMPLE_LAKE", f"file://{tmp_path}")
            monkeypatch.setenv("APNS_EXAMPLE_CHANNELS", ",".join(apple.channel_ids))
            yield tmp_path
            assert apple.ledger.violations == []

    def test_none_is_forgotten(self) -> None:
        tested = {
            "apns_all_channels.py",  # in test_all_channels.py
            "apns_channels_mapped.py",
            "apns_chart.py",
            "apns_daily_application_metrics.py",
            "apns_one_task.py",
            "apns_taskflow_hook.py",
        }
        assert {path.name for path in EXAMPLES.glob("*.py")} == tested

    def test_daily_application_metrics(self, lake: Path) -> None:
        assert run_dag(EXAMPLES / "apns_daily_application_metrics.py", retries=0).state == "success"
        (report,) = lake.rglob("*.csv")
        assert len(report.read_text().splitlines()) == 3

    @pytest.mark.skipif(not AIRFLOW_3, reason="dag.test() of Airflow 2 forgets that a task is mapped when it resumes")
    def test_channels_mapped(self, lake: Path) -> None:
        result = run_dag(EXAMPLES / "apns_channels_mapped.py", retries=0)
        assert result.state == "success"
        assert len(list(lake.rglob("*.csv"))) == 3
        assert {result.states()[f"download_export[{n}]"] for n in range(3)} == {"success"}

    def test_taskflow_hook(self, lake: Path) -> None:
        result = run_dag(EXAMPLES / "apns_taskflow_hook.py", retries=0)
        assert result.state == "success"
        assert result.xcom("summarise")["delivered_per_published"] > 0

    def test_one_task(self, lake: Path) -> None:
        result = run_dag(EXAMPLES / "apns_one_task.py", retries=0)
        assert result.state == "success"
        assert result.xcom("application_metrics")["rows"] == 30
        assert result.xcom("channel_metrics")["channels_exported"] == 3

    def test_kept_complete_and_its_chart(self, lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
        result = run_dag(EXAMPLES / "apns_chart.py", "apns_kept_complete", retries=0)
        assert result.state == "success"
        assert result.xcom("application_metrics")["objects"] == len(list(lake.rglob("*.parquet"))) == 30

        # dag.test() starts no other DAG, so the second one's function is called from here.
        (event,) = result.asset_events()
        assert len(event["days"]) == 30
        runpy.run_path(str(EXAMPLES / "apns_chart.py"))["chart_dag"].get_task("draw").python_callable()
        assert (lake / "chart.png").read_bytes().startswith(b"\x89PNG")
        assert "broadcasts_delivered" in capsys.readouterr().out
