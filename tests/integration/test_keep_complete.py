"""A path that keeps itself complete: months of daily runs against an emulator, with the clock moved."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apns.__main__ import main
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.emulator.apple.app import App
from airflow_provider_apns.emulator.apple.orders import Query
from airflow_provider_apns.emulator.datasets import find_dataset
from airflow_provider_apns.exceptions import ApnsStorageError
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.reports.stored import read_stored
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

DAY = timedelta(days=1)
SEED = 7


class World:
    """An emulator and a folder in which time is what the test says."""

    def __init__(self, apple: Emulator, folder: Path, clock: list[datetime]) -> None:
        self.apple, self.folder, self.clock = apple, folder, clock

    @property
    def today(self) -> date:
        return self.clock[0].date()

    def run(self, dataset: str = "application", suffix: str = "csv", **arguments: Any) -> dict[str, Any]:
        """Run the task, and let what it wrote be written now."""
        before = self.mtimes()
        arguments = {"path": f"{self.folder}/{dataset}/day={{date}}/metrics.{suffix}", **arguments}
        task = ApnsToObjectStorageOperator(task_id="t", dataset=dataset, deferrable=False, poke_interval=0, **arguments)
        summary: dict[str, Any] = task.execute({})  # type: ignore[arg-type]
        for path, mtime in self.mtimes().items():
            if before.get(path) != mtime:
                os.utime(path, (self.clock[0].timestamp(),) * 2)
        return summary

    def mtimes(self) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in self.folder.rglob("*") if path.is_file()}

    def rows(self, dataset: str, suffix: str = "csv") -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """Return all stored rows, by day and channel."""
        kind, rows = Dataset.parse(dataset), {}
        for path in (self.folder / dataset).rglob(f"*.{suffix}"):
            for row in read_stored(path.read_bytes(), kind, suffix, str(path)).rows:  # type: ignore[arg-type]
                rows[row[0], row[2] if kind.per_channel else None] = row
        return rows

    def settled(self, dataset: str, day: date, channel_id: str | None = None) -> list[str]:
        """Return what Apple's last word on a day is."""
        query = Query(find_dataset(dataset), day, day, channel_id)
        return App(SEED, self.apple.app_id).csv(query, day + 10 * DAY).decode().splitlines()[1].split(",")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    from airflow_provider_apns.hooks import apns, apns_async, connections
    from airflow_provider_apns.protocol import retries

    clock = [datetime(2026, 3, 1, 6, tzinfo=timezone.utc)]
    for module in (apns, apns_async, connections):
        monkeypatch.setattr(module, "utc_now", lambda: clock[0])
    monkeypatch.setattr(retries, "FIRST_POLL_DELAY", 0.0)
    with Emulator(clock=lambda: clock[0], seed=SEED, channels=12) as apple:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
        yield World(apple, tmp_path, clock)


def numbers(row: tuple[Any, ...], skip: int) -> list[str]:
    """Return a row as Apple writes it; a withheld count is -1 there."""
    return [str(row[0]), *("-1" if value is None else str(value) for value in row[skip:-1])]


@pytest.mark.slow
def test_120_days_with_outages_late_growth_failures_and_channels_that_come_and_go(world: World) -> None:
    chance = random.Random(2026)
    start, runs, seen, lost, announced = world.today, [], set(), set(), 0
    outages = [1, 29, *(chance.randint(1, 12) for _ in range(3)), 40]
    world.apple.configure(fail=0.01)
    while (world.today - start).days < 120 or outages:
        world.apple.configure(channels=chance.randint(4, 12))
        before = world.rows("application")
        runs.append(world.today)
        summary = world.run()
        after = world.rows("application")
        changed = {str(day) for day, _ in after if before.get((day, None)) != after[day, None]}
        assert set(summary["days"]) == changed
        announced += len(changed)
        lost |= set(summary["days_lost"])
        world.run("channel", channel_ids=world.apple.channel_ids, on_channel_error="skip")
        stored_now = world.rows("channel").keys() | after.keys()
        assert stored_now >= seen, "a restatement took rows away"
        seen = set(stored_now)
        world.clock[0] += (1 + (outages.pop(0) if outages and chance.random() < 0.15 else 0)) * DAY

    world.apple.configure(fail=0, channels=12)
    for _ in range(5):
        runs.append(world.today)
        lost |= set(world.run()["days_lost"])
        world.run("channel", channel_ids=world.apple.channel_ids)
        world.clock[0] += DAY
    stored = world.rows("application")
    had = {start - n * DAY for n in range(1, 31)} | {start + n * DAY for n in range((world.today - start).days - 1)}
    assert {str(day) for day in had} - {str(day) for day, _ in stored} == lost
    assert len(lost) == 11  # of the outage of 40 days, those that Apple had no more when it ended
    settled = [day for day, _ in stored if any(day + 4 * DAY <= run <= day + 30 * DAY for run in runs)]
    assert len(settled) > 100
    assert [numbers(stored[day, None], 2) for day in settled] == [world.settled("application", day) for day in settled]
    rows = world.rows("channel")
    for channel_id in world.apple.channel_ids[:4]:  # those that were there all the time
        days = [day for day, channel in rows if channel == channel_id and day in settled]
        assert sorted(days) == sorted(settled)
        for day in days:
            assert numbers(rows[day, channel_id], 3) == world.settled("channel", day, channel_id)
    assert announced >= len(stored)


def test_the_first_run_asks_once_for_all_30_days_and_the_next_for_what_is_missing_or_grows(world: World) -> None:
    first = world.run()
    assert (first["objects"], len(first["days"]), world.apple.ledger.exports_created) == (30, 30, 1)
    for day in (5, 6, 20):
        (world.folder / f"application/day={world.today - day * DAY}/metrics.csv").unlink()
    again = world.run()
    gone, growing = {str(world.today - n * DAY) for n in (5, 6, 20)}, {str(world.today - n * DAY) for n in (1, 2, 3)}
    assert set(again["days"]) == gone
    assert set(again["days_unchanged"]) == growing
    assert again["objects"] == 6


def test_a_day_is_settled_once_it_was_written_settle_days_after_its_end(world: World) -> None:
    written: list[list[str]] = []
    for _ in range(6):
        summary = world.run(settle_days=2)
        written.append(sorted(summary["days"] + summary["days_unchanged"]))
        world.clock[0] += DAY
    today = world.today - DAY
    assert written[-1] == [str(today - n * DAY) for n in (3, 2, 1)]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_deleted_channels_rows_stay_with_days_given_by_hand_too(world: World, suffix: str) -> None:
    window = {"first_day": world.today - 7 * DAY, "last_day": world.today - DAY}
    channel_ids = world.apple.channel_ids
    world.run("channel", suffix, channel_ids=channel_ids, **window)
    before = world.rows("channel", suffix)
    world.apple.configure(channels=10)
    summary = world.run("channel", suffix, channel_ids=channel_ids, on_channel_error="skip", **window)
    assert summary["channels_missing"] == list(channel_ids[10:])
    assert summary["rows_kept"] == 2 * 7
    assert world.rows("channel", suffix) == before
    assert world.run("channel", suffix, channel_ids=channel_ids[:3], **window)["rows_kept"] == 9 * 7
    assert world.rows("channel", suffix) == before


def test_an_empty_report_takes_nothing_away(world: World) -> None:
    world.run()
    before = world.rows("application")
    world.apple.configure(csv=["header-only"])
    world.clock[0] += DAY
    summary = world.run()
    assert summary["rows_kept"] == 3
    assert world.rows("application") == before


def test_unchanged_days_are_written_again_and_not_announced(world: World) -> None:
    world.run()
    world.clock[0] += 10 * DAY
    grown = world.run()
    assert len(grown["days"]) == 10 + 2
    assert len(grown["days_unchanged"]) == 1
    same = world.run()
    assert same["days"] == []
    assert len(same["days_unchanged"]) == 4 - 1


def test_a_new_channel_gets_all_of_apples_days_and_the_others_are_left_alone(world: World) -> None:
    channel_ids = world.apple.channel_ids
    for _ in range(6):
        world.run("channel", channel_ids=channel_ids[:3])
        world.clock[0] += DAY
    asked = world.apple.ledger.exports_created
    world.run("channel", channel_ids=channel_ids[:4])
    assert world.apple.ledger.exports_created == asked + 4
    rows = world.rows("channel")
    assert sum(channel == channel_ids[3] for _, channel in rows) == 30
    assert sum(channel == channel_ids[0] for _, channel in rows) == 36


def test_with_an_object_per_channel_and_day_only_what_is_missing_is_asked_for(world: World) -> None:
    path = f"{world.folder}/channel/channel={{channel_id}}/{{date}}.csv"
    channel_ids = world.apple.channel_ids[:3]
    for _ in range(5):
        world.run("channel", channel_ids=channel_ids, path=path)
        world.clock[0] += DAY
    victims = list((world.folder / "channel").glob("*/*.csv"))[:1]
    victims[0].unlink()
    summary = world.run("channel", channel_ids=channel_ids, path=path, settle_days=0)
    assert summary["objects"] == 1 + 3
    assert victims[0].exists()


def test_an_object_that_is_not_ours_is_refused_and_not_replaced(world: World) -> None:
    world.run()
    other = world.folder / f"application/day={world.today - DAY}/metrics.csv"
    other.write_text("a,b\n1,2\n")
    os.utime(other, (world.clock[0].timestamp(),) * 2)
    with pytest.raises(Exception, match=r"metrics\.csv already exists, and is not what this provider writes") as caught:
        world.run()
    assert isinstance(caught.value.__cause__, ApnsStorageError)
    assert other.read_text() == "a,b\n1,2\n"


def test_the_calendar_of_a_path(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    path = f"{world.folder}/application/day={{date}}/metrics.csv"
    world.run()
    world.clock[0] += 5 * DAY
    world.run()
    assert main(["coverage", path]) == 0
    assert "32 stored and settled" in capsys.readouterr().out
    (world.folder / f"application/day={world.today - 9 * DAY}/metrics.csv").unlink()
    assert main(["coverage", path]) == 1
    assert " 1 missing: Apple still has the data" in capsys.readouterr().out
    world.clock[0] += 30 * DAY
    assert main(["coverage", path]) == 1
    assert " 1 lost: Apple has deleted the data" in capsys.readouterr().out
    assert main(["coverage", "/nowhere/metrics.csv"]) == 2
    unfilled = path.replace("application", "{dataset}")
    assert main(["coverage", unfilled]) == 2
    assert "{dataset}: fill it in, or give --dataset" in capsys.readouterr().err
    assert main(["coverage", unfilled, "--dataset", "application"]) == 1
