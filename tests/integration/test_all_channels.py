"""A month in which channels are created and deleted every hour: an hourly register loses none of them."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_provider_apns.batches import registering
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.hooks import apns, apns_async, channels, connections
from airflow_provider_apns.operators.apns import ApnsListChannelsOperator
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
from tests.support.dag_test import run_dag

pytestmark = [pytest.mark.integration]

EXAMPLE = Path(__file__).parents[2] / "example_dags" / "apns_all_channels.py"
DAYS = 30
LIFE = 5  # hours that a channel lives
HOUR = timedelta(hours=1)


class Month:
    """Lets the hours of a month pass, for the emulator, for the workers and in the store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.now = datetime.now(timezone.utc).replace(minute=7, second=0, microsecond=0) - timedelta(days=DAYS)
        self.begun = time.time()
        self.folder = folder
        self.register = str(folder / "register.parquet")
        self.alive: dict[str, set[date]] = defaultdict(set)
        for module in (connections, apns, apns_async, channels):
            monkeypatch.setattr(module, "utc_now", self.clock)
        monkeypatch.setattr(registering, "SETTLING", 0)
        # Each secret makes the pattern longer that Airflow masks logs with; a month's tokens are for no single process.
        monkeypatch.setattr("airflow_provider_apns._compat.mask_secret", lambda secret: None)

    def clock(self) -> datetime:
        return self.now

    def pass_by(self, apple: Emulator) -> None:
        for hour in range(1, DAYS * 24 + 1):
            self.now += HOUR
            apple.create_channel()
            if hour > LIFE:
                apple.delete_channel(apple.channel_ids[0])
            self.list_channels(apple)
            if self.now.hour == 6:
                self.export("registered", self.register)
                self.export("all", "all")

    def list_channels(self, apple: Emulator) -> None:
        for channel_id in apple.channel_ids:
            self.alive[channel_id].add(self.now.date())
        ApnsListChannelsOperator(task_id="list", path=self.register).execute({})

    def export(self, name: str, channel_ids: str) -> None:
        """Keep a path complete, with channels that Apple may not know any more."""
        ApnsToObjectStorageOperator(
            task_id=name,
            dataset="channel",
            channel_ids=channel_ids,
            path=f"{self.folder}/{name}/{{date}}.jsonl",
            deferrable=False,
        ).execute({})
        for path in (self.folder / name).iterdir():
            if path.stat().st_mtime >= self.begun:  # by the clock of this machine
                os.utime(path, (self.now.timestamp(),) * 2)

    def missing(self, name: str) -> set[tuple[str, date]]:
        """Which days of which channels are not stored, of those on which a listing saw them."""
        stored = {
            (json.loads(line)["channel_id"], date.fromisoformat(path.stem))
            for path in (self.folder / name).iterdir()
            for line in path.read_text().splitlines()
        }
        today = self.now.date()
        return {(channel, day) for channel, days in self.alive.items() for day in days if day < today} - stored


@pytest.mark.slow
def test_an_hourly_register_loses_no_channel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    month = Month(monkeypatch, tmp_path)
    with Emulator(clock=month.clock, channels=0, channels_port=0, tls_dir=tmp_path / "tls") as apple:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(apple.ca_path))
        month.pass_by(apple)
        assert apple.ledger.violations == []
    assert len(month.alive) == DAYS * 24
    month.now -= 6 * HOUR  # to the day of the last export, also between midnight and six
    assert month.missing("registered") == set()
    assert len(month.missing("all")) > DAYS * 24 / 2  # what the register is for


@pytest.mark.usefixtures("airflow_db")
@pytest.mark.apns_emulator(channels=3, channels_port=0)
def test_the_example(apns_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APNS_EXAMPLE_LAKE", f"file://{tmp_path}/lake")
    deleted, *_ = apns_emulator.channel_ids
    assert run_dag(EXAMPLE, "apns_channel_register", retries=0).state == "success"
    apns_emulator.delete_channel(deleted)
    result = run_dag(EXAMPLE, "apns_all_channels", retries=0)
    assert result.state == "success"
    assert result.xcom("list_channels").endswith("/lake/channels/register.parquet")
    summary = result.xcom("channel_metrics")
    assert (summary["channels_exported"], len(summary["days"])) == (3, 30)
