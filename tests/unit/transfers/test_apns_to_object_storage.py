from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Asset, TaskDeferred

from airflow_provider_apns.batches.batch import Batch
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsChannelsError, ApnsError, ApnsInvalidRequestError, ApnsServiceError
from airflow_provider_apns.protocol.channel_ids import file_name_of
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator, asset_uri
from tests.unit.conftest import Connect
from tests.unit.helpers import day, today

UNKNOWN = "AAAAAAAAAAAAAAAAAAAAAA=="
DAYS = [date.fromisoformat(day(offset)) for offset in range(-7, 0)]


def task(path: object, **changes: Any) -> ApnsToObjectStorageOperator:
    arguments = {
        "dataset": "application",
        "first_day": day(-7),
        "last_day": day(-1),
        "deferrable": False,
        "poke_interval": 0.01,
    }
    return ApnsToObjectStorageOperator(task_id="export", path=str(path), **{**arguments, **changes})


def run(operator: ApnsToObjectStorageOperator, context: Any = None) -> Any:
    """Run a task to its end, as a worker and a triggerer do together."""
    context = {} if context is None else context
    try:
        return operator.execute(context)
    except TaskDeferred as deferral:
        trigger: Any = deferral.trigger
        trigger.first_delay = 0

        async def first() -> Any:
            return await anext(trigger.run())

        event = json.loads(json.dumps(asyncio.run(first()).payload))
        return operator.resume_execution(str(deferral.method_name), {"event": event}, context)


def served(apple: Emulator, dataset: str, channel_id: str | None = None) -> list[dict[str, str]]:
    """Apple's own rows."""
    text = apple.csv(dataset, day(-7), day(-1), channel_id).decode()
    return list(csv.DictReader(io.StringIO(text)))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


modes = pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "in the worker"])


class TestOneExport:
    @modes
    def test_application_metrics_as_csv(self, apple: Emulator, tmp_path: Path, deferrable: bool) -> None:
        path = tmp_path / "application.csv"
        apple.configure(processing_polls=1)
        summary = run(task(path, deferrable=deferrable))
        rows = served(apple, "application")
        assert read_csv(path) == [
            {
                "date": row["Date (UTC)"],
                "app_id": apple.app_id,
                "broadcasts_published": row["Broadcasts Published"],
                "broadcasts_delivered": row["Broadcasts Delivered"],
                "total_subscriptions": row["Total Subscriptions"],
                "unique_subscribers": row["Unique Subscribers"],
                "withheld": "false",
            }
            for row in rows
        ]
        assert summary == {
            "path": str(path),
            "paths": [str(path)],
            "objects": 1,
            "rows": 7,
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "days": [str(each) for each in DAYS],
            "days_unchanged": [],
            "days_lost": [],
            "rows_kept": 0,
            "channels_requested": 0,
            "channels_exported": 0,
            "channels_missing": [],
            "channels_failed": {},
            "token_expires_at": None,
        }
        assert (apple.ledger.posts, apple.ledger.downloads) == (1, 1)

    def test_delivery_metrics_as_jsonl(self, apple: Emulator, tmp_path: Path) -> None:
        path = tmp_path / "delivery.jsonl"
        run(task(path, dataset="delivery"))
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        expected = [
            {
                "date": row["Date (UTC)"],
                "app_id": apple.app_id,
                "push_type": row["Push Type"],
                "status": row["Status"],
                "count": int(row["Count"]),
            }
            for row in served(apple, "delivery")
        ]
        assert rows == sorted(expected, key=lambda row: (row["date"], row["push_type"], row["status"]))

    @pytest.mark.parametrize("ago", [1, 2, 15, 29, 30])
    def test_a_single_day_is_exactly_that_day(self, apple: Emulator, tmp_path: Path, ago: int) -> None:
        path = tmp_path / "day.csv"
        summary = run(task(path, first_day=day(-ago), last_day=day(-ago)))
        assert [row["date"] for row in read_csv(path)] == [day(-ago)]
        assert (summary["rows"], summary["days"]) == (1, [day(-ago)])

    def test_a_report_without_rows(self, apple: Emulator, tmp_path: Path) -> None:
        apple.configure(csv="header-only")
        path = tmp_path / "empty.parquet"
        assert run(task(path))["rows"] == 0
        assert "withheld" in pyarrow.parquet.read_table(path).column_names

    def test_an_added_column_passes_through(self, apple: Emulator, tmp_path: Path) -> None:
        apple.configure(csv={"extra", "reordered", "bom", "crlf"})
        path = tmp_path / "extra.csv"
        run(task(path))
        assert [row["environment"] for row in read_csv(path)] == ["production"] * 7

    def test_one_object_per_day(self, apple: Emulator, tmp_path: Path) -> None:
        summary = run(task(tmp_path / "date={date}" / "report.csv"))
        assert summary["path"] == str(tmp_path / "date={date}" / "report.csv")
        assert (summary["objects"], summary["sha256"]) == (7, None)
        for each in DAYS:
            assert [row["date"] for row in read_csv(tmp_path / f"date={each}" / "report.csv")] == [str(each)]

    def test_outlets_are_told(self, apple: Emulator, tmp_path: Path) -> None:
        asked, event = [], SimpleNamespace(extra={})

        class Events:
            def __getitem__(self, outlet: object) -> SimpleNamespace:
                asked.append(outlet)
                return event

        asset, table = Asset("s3://metrics/apns"), object()
        operator = task(tmp_path / "x.csv")
        operator.outlets = [table, asset]  # type: ignore[list-item]
        run(operator, {"outlet_events": Events()})
        assert asked == [asset]
        assert event.extra == {
            "path": str(tmp_path / "x.csv"),
            "rows": 7,
            "days": [str(each) for each in DAYS],
        }


class TestChannels:
    def channels(self, path: object, apple: Emulator, **changes: Any) -> ApnsToObjectStorageOperator:
        return task(
            path,
            **{"dataset": "channel", "channel_ids": list(apple.channel_ids), **changes},
        )

    @modes
    def test_all_rows_in_one_parquet_file(self, apple: Emulator, tmp_path: Path, deferrable: bool) -> None:
        path = tmp_path / "channels.parquet"
        summary = run(self.channels(path, apple, deferrable=deferrable, max_concurrency=4))
        rows = pyarrow.parquet.read_table(path).to_pylist()
        assert [(row["date"], row["channel_id"]) for row in rows] == [
            (each, channel) for each in DAYS for channel in sorted(apple.channel_ids)
        ]
        theirs = {
            (row["Date (UTC)"], channel): row
            for channel in apple.channel_ids
            for row in served(apple, "channel", channel)
        }
        for row in rows:
            counts = theirs[str(row["date"]), row["channel_id"]]
            for name in ("Broadcasts Published", "Broadcasts Delivered", "Total Subscriptions"):
                ours = row[name.lower().replace(" ", "_")]
                assert ours == (None if counts[name] == "-1" else int(counts[name]))
            assert row["withheld"] is ("-1" in counts.values())
        assert any(row["withheld"] for row in rows)
        assert any(not row["withheld"] for row in rows)
        assert summary["channels_requested"] == summary["channels_exported"] == len(apple.channel_ids)
        assert (apple.ledger.posts, apple.ledger.downloads) == (len(apple.channel_ids),) * 2
        assert apple.ledger.max_in_flight <= 4

    def test_it_defers_once_and_keeps_little(self, apple: Emulator, tmp_path: Path) -> None:
        operator = self.channels(tmp_path / "x.parquet", apple, deferrable=True, timeout=timedelta(minutes=7))
        with pytest.raises(TaskDeferred) as deferral:
            operator.execute({})  # type: ignore[typeddict-item]
        assert deferral.value.timeout == timedelta(minutes=7)
        path, arguments = deferral.value.trigger.serialize()
        assert path == "airflow_provider_apns.triggers.apns.ApnsBatchTrigger"
        assert len(Batch.unpack(arguments["exports"]).exports) == len(apple.channel_ids)
        assert apple.token not in json.dumps(arguments)
        assert apple.ledger.gets == 0

    def test_a_channel_that_is_named_twice_is_asked_for_once(self, apple: Emulator, tmp_path: Path) -> None:
        channel = apple.channel_ids[0]
        summary = run(self.channels(tmp_path / "x.parquet", apple, channel_ids=[channel, channel]))
        assert apple.ledger.posts == summary["channels_requested"] == 1
        assert summary["rows"] == 7

    def test_channels_as_a_template_renders_them(self, apple: Emulator, tmp_path: Path) -> None:
        summary = run(self.channels(tmp_path / "x.parquet", apple, channel_ids=str(list(apple.channel_ids[:3]))))
        assert summary["channels_exported"] == 3

    def test_one_object_per_channel(self, apple: Emulator, tmp_path: Path) -> None:
        summary = run(self.channels(tmp_path / "{channel_id}.csv", apple))
        assert summary["objects"] == len(apple.channel_ids)
        for channel in apple.channel_ids:
            rows = read_csv(tmp_path / f"{file_name_of(channel)}.csv")
            assert {row["channel_id"] for row in rows} == {channel}
            assert len(rows) == 7

    @modes
    def test_fail_names_all_missing_channels_and_writes_nothing(
        self, apple: Emulator, tmp_path: Path, deferrable: bool
    ) -> None:
        wanted = [UNKNOWN, *apple.channel_ids, "AAAA"]
        with pytest.raises(AirflowFailException, match=r"2 of 12 channels could not be exported\. Nothing was written"):
            run(self.channels(tmp_path / "x.parquet", apple, channel_ids=wanted, deferrable=deferrable))
        assert list(tmp_path.iterdir()) == []

    @modes
    def test_skip_writes_the_others_and_names_the_missing(
        self, apple: Emulator, tmp_path: Path, deferrable: bool
    ) -> None:
        wanted = [*apple.channel_ids[:4], UNKNOWN]
        summary = run(
            self.channels(
                tmp_path / "x.parquet", apple, channel_ids=wanted, on_channel_error="skip", deferrable=deferrable
            )
        )
        assert summary["channels_missing"] == [UNKNOWN]
        assert (summary["channels_requested"], summary["channels_exported"], summary["rows"]) == (5, 4, 28)

    def test_a_retry_continues(self, apple: Emulator, tmp_path: Path, short_waits: list[float]) -> None:
        apple.inject(f"download:500:times=forever,match={apple.channel_ids[5]}")
        operator = self.channels(tmp_path / "x.parquet", apple)
        with pytest.raises(ApnsChannelsError, match="answered 500"):
            run(operator)
        assert list(tmp_path.iterdir()) == []
        apple.clear_faults()
        assert run(operator)["rows"] == 70
        assert apple.ledger.exports_created == len(apple.channel_ids)

    def test_a_429_in_the_middle(self, apple: Emulator, tmp_path: Path, short_waits: list[float]) -> None:
        for endpoint in ("request", "status", "download"):
            apple.inject(f"{endpoint}:429:after=3,times=5")
        assert run(self.channels(tmp_path / "x.parquet", apple))["rows"] == 70


class TestBadArguments:
    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"dataset": "news"}, "Unknown dataset"),
            ({"dataset": "channel"}, "channel_ids is missing"),
            ({"dataset": "channel", "channel_ids": "[]"}, "channel_ids is empty"),
            ({"channel_ids": ["AAAA"]}, "not for 'application'"),
            ({"output_format": "xlsx"}, "output_format must be one of"),
            ({"output_format": "jsonl"}, "contradicts the suffix"),
            ({"path": "/tmp/x.xlsx"}, "does not say its format"),
            ({"on_channel_error": "ignore"}, "must be 'fail' or 'skip'"),
            ({"max_concurrency": 0}, "max_concurrency must be 1 to 100"),
            ({"max_concurrency": 101}, "max_concurrency must be 1 to 100"),
            ({"settle_days": -1}, "settle_days must be 0 to 29"),
            ({"settle_days": 30}, "settle_days must be 0 to 29"),
            ({"path": "/tmp/{day}.csv"}, "unknown placeholder {day}"),
            ({"path": "/tmp/{Date}.csv"}, "unknown placeholder {Date}"),
            ({"path": "/tmp/{channel_id}.csv"}, "has no channels"),
            ({"last_day": None}, "first_day and last_day go together"),
            ({"first_day": None}, "first_day and last_day go together"),
            ({"first_day": None, "last_day": None}, r"has no \{date\}"),
            ({"first_day": None, "last_day": None, "path": "s3://lake-{date}/x.csv"}, "in the bucket's name"),
        ],
    )
    def test_are_refused_when_the_dag_is_parsed(self, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=told):
            task(**{"path": tmp_path / "x.csv", **changes})

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"first_day": day(-1), "last_day": day(-2)}, "is before"),
            ({"last_day": day(0)}, "is not over yet"),
            ({"first_day": day(-31)}, "Apple has deleted it"),
            ({"dataset": "channel", "channel_ids": ["news!"]}, "is not base64"),
            ({"path": "s3://bucket/folder/", "output_format": "csv"}, "does not name an object"),
            ({"path": "nowhere://x/y.csv"}, "cannot be used"),
            ({"path": "s3://not_there@bucket/x.csv"}, "not_there"),
        ],
    )
    def test_reach_no_server_and_are_not_retried(
        self, apple: Emulator, tmp_path: Path, changes: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(AirflowFailException, match=told):
            run(task(**{"path": tmp_path / "x.csv", **changes}))
        assert apple.ledger.connections == 0

    def test_a_template_that_upstream_handed_on_unrendered(self, apple: Emulator, tmp_path: Path) -> None:
        operator = task(tmp_path / "{{ ds }}.csv")
        with pytest.raises(AirflowFailException, match="has a template in it that Airflow has not rendered"):
            run(operator)
        operator.render_template_fields({"ds": "2026-03-01"})
        assert run(operator)["path"] == str(tmp_path / "2026-03-01.csv")

    def test_without_pyarrow_the_task_fails_when_it_starts(
        self, apple: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(AirflowFailException, match=r"airflow-provider-apns\[parquet\]"):
            run(task(tmp_path / "x.parquet"))
        assert apple.ledger.connections == 0

    def test_what_must_not_be_overwritten(self, apple: Emulator, tmp_path: Path) -> None:
        run(task(tmp_path / "{date}.csv", first_day=day(-3), last_day=day(-3)))
        asked = apple.ledger.connections
        with pytest.raises(AirflowFailException, match="already exists"):
            run(task(tmp_path / "{date}.csv", overwrite=False))
        assert apple.ledger.connections == asked
        assert run(task(tmp_path / "{date}.csv"))["days_unchanged"] == [day(-3)]

    @pytest.mark.parametrize(
        ("changes", "told"), [({"password": ""}, "no data export token"), ({"extra": {}}, "no App bundle ID")]
    )
    def test_an_incomplete_connection(
        self, apple: Emulator, connect: Connect, tmp_path: Path, changes: dict[str, Any], told: str
    ) -> None:
        connect(apple, **changes)
        with pytest.raises(AirflowFailException, match=told):
            run(task(tmp_path / "x.csv"))
        assert apple.ledger.connections == 0


class TestFailing:
    @modes
    def test_a_lasting_fault_leaves_the_old_object(
        self, apple: Emulator, tmp_path: Path, short_waits: list[float], deferrable: bool
    ) -> None:
        path = tmp_path / "x.csv"
        run(task(path, first_day=day(-9), last_day=day(-9)))
        old = path.read_text()
        for fault in ("request:500", "status:500", "download:cut-gzip", "download:bad-number"):
            apple.clear_faults()
            apple.inject(f"{fault}:times=forever")
            with pytest.raises(ApnsError):
                run(task(path, deferrable=deferrable))
            assert path.read_text() == old
            assert list(tmp_path.iterdir()) == [path]

    def test_the_wait_is_given_up_and_left_to_airflows_retries(self, apple: Emulator, tmp_path: Path) -> None:
        apple.configure(processing_polls=1_000_000)
        with pytest.raises(ApnsServiceError, match="not ready within"):
            run(task(tmp_path / "x.csv", timeout=0.2))

    def test_the_largest_size(self, apple: Emulator, tmp_path: Path) -> None:
        with pytest.raises(AirflowFailException, match="larger than 100 bytes"):
            run(task(tmp_path / "x.csv", max_bytes=100))

    def test_a_task_that_is_resumed_after_midnight_takes_the_days_it_asked_for(
        self, apple: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(TaskDeferred) as deferral:
            task(tmp_path / "x.csv", first_day=day(-30), last_day=day(-1), deferrable=True).execute({})  # type: ignore[typeddict-item]
        tomorrow = datetime.combine(today() + timedelta(days=1), datetime.min.time(), timezone.utc)
        for module in ("apns", "apns_async", "connections"):
            monkeypatch.setattr(f"airflow_provider_apns.hooks.{module}.utc_now", lambda: tomorrow)
        _, arguments = deferral.value.trigger.serialize()
        # Airflow renders the templates anew: one that counts from the current day gives other days now.
        resumed = task(tmp_path / "x.csv", first_day=day(-29), last_day=day(0), deferrable=True)
        summary = resumed.execute_complete({}, {"exports": arguments["exports"], "failed": []})  # type: ignore[typeddict-item]
        assert (summary["days"][0], summary["days"][-1]) == (day(-30), day(-1))
        assert summary["rows"] == 30


def test_placeholders_for_app_and_dataset(apple: Emulator, tmp_path: Path) -> None:
    summary = run(task(tmp_path / "{dataset}" / "app={app_id}.csv"))
    assert summary["path"] == str(tmp_path / "application" / f"app={apple.app_id}.csv")


def test_a_name_in_letters_that_are_not_ascii_is_an_assets_uri() -> None:
    assert asset_uri("s3://b/übersicht/day={date}.csv") == "s3://b/%C3%BCbersicht/day={date}.csv"


def test_templates() -> None:
    assert set(ApnsToObjectStorageOperator.template_fields) == {
        "dataset",
        "first_day",
        "last_day",
        "path",
        "channel_ids",
        "output_format",
        "app_id",
        "apns_conn_id",
        "object_storage_conn_id",
    }
