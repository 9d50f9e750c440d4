"""The whole job in one task, against a server that shares no code with us."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
from tests.integration.foreign_server import ForeignServer, Habits
from tests.support.airflow_live import AIRFLOW_3_0
from tests.support.dag_test import DagTest, run_dag

pytestmark = [pytest.mark.integration, pytest.mark.main_job, pytest.mark.usefixtures("airflow_db", "prompt")]

DAG_FILE = Path(__file__).parent / "dags" / "one_task.py"
UNKNOWN = "AAAAAAAAAAAAAAAAAAAAAA=="


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForeignServer]:
    with ForeignServer(channels=4) as server:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", server.connection())
        yield server


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, yesterday: date) -> Job:
    return Job(tmp_path / "lake", monkeypatch, yesterday)


class Job:
    """Exports the channels' last three days to one Parquet object, unless told otherwise."""

    def __init__(self, lake: Path, monkeypatch: pytest.MonkeyPatch, yesterday: date) -> None:
        self.lake = lake
        self.days = [yesterday - timedelta(days=n) for n in (2, 1, 0)]
        self.arguments: dict[str, Any] = {
            "dataset": "channel",
            "first_day": str(self.days[0]),
            "last_day": str(self.days[-1]),
            "channel_ids": "{{ dag_run.conf['channel_ids'] }}",
            "path": f"file://{lake}/metrics.parquet",
            "output_format": "parquet",
        }
        self._monkeypatch = monkeypatch

    def run(self, channel_ids: list[str], dag_id: str = "one_task", **arguments: Any) -> DagTest:
        """Run the DAG."""
        self._monkeypatch.setenv("ONE_TASK", json.dumps(self.arguments | arguments))
        return run_dag(DAG_FILE, dag_id, conf={"channel_ids": channel_ids})

    def execute(self, **arguments: Any) -> dict[str, Any]:
        """Run the operator alone, without a DAG, waiting in this process."""
        quick = {"task_id": "export", "deferrable": False, "poke_interval": 0.05}
        operator = ApnsToObjectStorageOperator(**(self.arguments | quick | arguments))
        return dict(operator.execute({}))

    def table(self) -> pa.Table:
        return pq.read_table(self.lake / "metrics.parquet")

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.lake)) for path in self.lake.rglob("*") if path.is_file())


def expected(apple: ForeignServer, days: list[date]) -> list[dict[str, Any]]:
    rows = []
    for day in days:
        for channel_id in sorted(apple.channel_ids):
            published, delivered, subscriptions = apple.numbers(channel_id, day)
            rows.append(
                {
                    "date": day,
                    "app_id": apple.app,
                    "channel_id": channel_id,
                    "broadcasts_published": published,
                    "broadcasts_delivered": None if delivered == -1 else delivered,
                    "total_subscriptions": None if subscriptions == -1 else subscriptions,
                    "withheld": subscriptions == -1,
                }
            )
    return rows


class TestThreeHundredChannels:
    @pytest.fixture
    def apple(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForeignServer]:
        habits = Habits(status_host="localhost", data_host="localhost", data_url_key="dataURL", chunked=True)
        with ForeignServer(channels=300, habits=habits, processing_looks=1, latency=0.01) as server:
            monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", server.connection())
            yield server

    def test_one_parquet_file(self, job: Job, apple: ForeignServer, monkeypatch: pytest.MonkeyPatch) -> None:
        waits = self.count_waits(monkeypatch)
        result = job.run(apple.channel_ids, max_concurrency=24)
        assert result.states() == {"export": "success"}
        assert waits == ["airflow_provider_apns.triggers.apns.ApnsBatchTrigger"]

        assert len(apple.all("request")) == len(apple.all("download")) == len(apple.exports) == 300
        assert 12 < apple.max_in_flight <= 24
        assert not any(request.has_token for request in apple.all("download"))
        assert not apple.all("other")

        assert job.files() == ["metrics.parquet"]
        assert job.table().to_pylist() == expected(apple, job.days)
        assert job.table().schema.types == [
            *(pa.date32(), pa.string(), pa.string()),
            *(pa.int64(), pa.int64(), pa.int64(), pa.bool_()),
        ]
        summary = result.xcom("export")
        assert (summary["rows"], summary["channels_exported"], summary["channels_missing"]) == (900, 300, [])

    @staticmethod
    def count_waits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
        from airflow_provider_apns.triggers.apns import ApnsBatchTrigger

        waits, run = [], ApnsBatchTrigger.run

        def counted(self: ApnsBatchTrigger) -> Any:
            waits.append(self.serialize()[0])
            return run(self)

        monkeypatch.setattr(ApnsBatchTrigger, "run", counted)
        return waits

    @pytest.mark.parametrize("kind", ["request", "download"])
    def test_one_429_slows_all(self, job: Job, apple: ForeignServer, kind: str) -> None:
        apple.limit_rate(kind, after=100, retry_after="2")
        assert job.execute(channel_ids=apple.channel_ids)["rows"] == 900

        (limited,) = (request for request in apple.seen if request.status == 429)
        # What was on its way already may still come in; then there is silence.
        quiet = [request.time - limited.time for request in apple.seen if 0.5 < request.time - limited.time < 1.9]
        assert quiet == []
        assert len([request for request in apple.seen if request.time - limited.time >= 1.9]) > 100


class TestDays:
    @pytest.mark.parametrize("dataset", ["application", "channel", "delivery"])
    def test_each_single_day(self, job: Job, apple: ForeignServer, yesterday: date, dataset: str) -> None:
        channel_ids = apple.channel_ids if dataset == "channel" else None
        rows_per_day = {"application": 1, "channel": 4, "delivery": 2}[dataset]
        for back in (0, 1, 15, 28, 29):
            day = str(yesterday - timedelta(days=back))
            path = f"{job.lake}/{back}.parquet"
            summary = job.execute(dataset=dataset, channel_ids=channel_ids, first_day=day, last_day=day, path=path)
            assert summary["days"] == [day]
            assert [str(found) for found in pq.read_table(path)["date"].to_pylist()] == [day] * rows_per_day
        assert {request.status for request in apple.seen} == {200}

    @pytest.mark.parametrize("back", [-1, 0, 31])
    def test_a_day_that_cannot_be_had_reaches_no_server(self, job: Job, apple: ForeignServer, back: int) -> None:
        day = str(job.days[-1] + timedelta(days=1 - back))
        result = job.run(apple.channel_ids, first_day=day, last_day=day)
        assert [(task.state, task.try_number) for task in result.tasks] == [("failed", 1)]
        assert apple.seen == []


class TestKeepComplete:
    """Without days: the store is the state."""

    @pytest.fixture
    def job(self, job: Job) -> Job:
        job.arguments |= dict.fromkeys(("first_day", "last_day", "output_format", "channel_ids"))
        job.arguments |= {"dataset": "application", "path": f"file://{job.lake}/{{date}}.parquet"}
        return job

    def test_the_first_run_brings_all_days_in_one_request(
        self, job: Job, apple: ForeignServer, yesterday: date
    ) -> None:
        summary = job.run([]).xcom("export")
        days = [str(yesterday - timedelta(days=n)) for n in range(29, -1, -1)]
        assert (summary["objects"], summary["days"]) == (30, days)
        assert job.files() == [f"{day}.parquet" for day in days]
        assert len(apple.all("request")) == len(apple.all("download")) == 1

    def test_the_next_run_brings_what_was_deleted_and_what_grows(
        self, job: Job, apple: ForeignServer, yesterday: date
    ) -> None:
        job.execute()
        written = self.write_when_each_day_was_settled(job, yesterday)
        deleted = [yesterday - timedelta(days=n) for n in (20, 6, 5)]
        for day in deleted:
            (job.lake / f"{day}.parquet").unlink()
        summary = job.execute()
        assert summary["days"] == [str(day) for day in deleted]
        assert summary["days_unchanged"] == [str(yesterday - timedelta(days=n)) for n in (2, 1, 0)]
        again = [path.stem for path in job.lake.iterdir() if path.stat().st_mtime_ns != written.get(path.name)]
        assert sorted(again) == sorted(summary["days"] + summary["days_unchanged"])
        assert json.loads(apple.all("request")[-1].body)["startDate"] == str(deleted[0])

    @staticmethod
    def write_when_each_day_was_settled(job: Job, yesterday: date) -> dict[str, int]:
        """Let each object be as old as if a run of every day had written it, four days after its day at the latest."""
        for path in job.lake.iterdir():
            day = datetime.fromisoformat(path.stem).replace(tzinfo=timezone.utc)
            written_at = min(day + timedelta(days=4, hours=6), datetime.now(timezone.utc))
            os.utime(path, (written_at.timestamp(),) * 2)
        return {path.name: path.stat().st_mtime_ns for path in job.lake.iterdir()}

    def test_each_channel_is_asked_for_once(self, job: Job, apple: ForeignServer, yesterday: date) -> None:
        summary = job.execute(dataset="channel", channel_ids=apple.channel_ids)
        assert (summary["objects"], summary["rows"], len(apple.all("request"))) == (30, 30 * 4, 4)
        assert pq.read_table(job.lake / f"{yesterday}.parquet").to_pylist() == expected(apple, [yesterday])


class TestChannels:
    def test_an_unknown_one_is_skipped(self, job: Job, apple: ForeignServer) -> None:
        result = job.run([*apple.channel_ids, UNKNOWN], on_channel_error="skip")
        summary = result.xcom("export")
        assert summary["channels_missing"] == [UNKNOWN]
        assert (summary["channels_requested"], summary["channels_exported"], summary["rows"]) == (5, 4, 12)
        assert set(job.table()["channel_id"].to_pylist()) == set(apple.channel_ids)

    def test_an_unknown_one_fails_the_task_at_once(
        self, job: Job, apple: ForeignServer, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        result = job.run([*apple.channel_ids, UNKNOWN], on_channel_error="fail")
        assert [(task.state, task.try_number) for task in result.tasks] == [("failed", 1)]
        assert job.files() == []
        told = caplog.text + capsys.readouterr().out
        if not AIRFLOW_3_0:  # which shows errors on the terminal alone, in a box
            assert "1 of 5 channels could not be exported. Nothing was written." in told
            assert f"{UNKNOWN}: Apple does not know it (404)." in told

    @pytest.mark.parametrize("outcome", ["FAILED", "EXPIRED"])
    def test_exports_that_fail_for_ever_are_asked_for_in_three_ways(
        self, job: Job, apple: ForeignServer, outcome: str
    ) -> None:
        apple.outcome = outcome
        with pytest.raises(AirflowFailException, match=r"4 of 4 channels could not be exported. Nothing was written."):
            job.execute(channel_ids=apple.channel_ids)
        assert len(apple.exports) == 4 * 3
        assert job.files() == []

    def test_an_export_that_fails_once_is_made_up_for_by_another(self, job: Job, apple: ForeignServer) -> None:
        apple.outcomes = ["FAILED"]
        assert job.run(apple.channel_ids).xcom("export")["rows"] == 12
        assert len(apple.exports) == 5
        assert job.table().to_pylist() == expected(apple, job.days)

    def test_duplicates_are_asked_for_once(self, job: Job, apple: ForeignServer) -> None:
        assert job.run(apple.channel_ids * 3).xcom("export")["rows"] == 12
        assert len(apple.all("request")) == len(apple.all("download")) == 4

    def test_from_an_upstream_task(self, job: Job, apple: ForeignServer) -> None:
        result = job.run(apple.channel_ids, "one_task_after_another")
        assert result.states() == {"channels": "success", "export": "success"}
        assert result.xcom("export")["channels_exported"] == 4


class TestAssets:
    def test_events_say_what_there_is(self, job: Job, apple: ForeignServer) -> None:
        result = job.run(apple.channel_ids)
        assert result.asset_events() == [
            {"path": f"file://{job.lake}/metrics.parquet", "rows": 12, "days": [str(day) for day in job.days]}
        ]

    def test_partitions(self, job: Job, apple: ForeignServer) -> None:
        path = f"file://{job.lake}/{{date}}/{{channel_id}}.csv"
        result = job.run(apple.channel_ids, path=path, output_format="csv")
        names = [channel_id.replace("+", "-").replace("/", "_").rstrip("=") for channel_id in apple.channel_ids]
        assert job.files() == sorted(f"{day}/{name}.csv" for day in job.days for name in names)
        (event,) = result.asset_events()
        assert event["path"] == path
        assert event["rows"] == 12
