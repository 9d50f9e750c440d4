"""The register of an app's channels, and what reads it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.batches import registering
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsInvalidRequestError, ApnsStorageError, ApnsWriteError
from airflow_provider_apns.hooks import channels, connections
from airflow_provider_apns.operators.apns import ApnsListChannelsOperator
from airflow_provider_apns.reports.register import Register, Seen, includes, listed, merged, seen_since, write_register
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
from tests.unit.helpers import day

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "SETTLING", 0)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[datetime]]:
    """What the clock of the workers shows."""
    shown = [datetime.now(timezone.utc).replace(microsecond=0)]
    assert channels.utc_now is connections.utc_now  # It is loaded, and keeps the clock of the emulator.
    monkeypatch.setattr(connections, "utc_now", lambda: shown[0])
    return shown


@pytest.fixture
def apple(apns_emulator: Emulator) -> Emulator:
    return apns_emulator


def list_channels(path: Path | str, **arguments: Any) -> str:
    return ApnsListChannelsOperator(task_id="list", path=str(path), **arguments).execute({})


def export(path: Path, channel_ids: Any, **arguments: Any) -> dict[str, Any]:
    days = {"first_day": day(-3), "last_day": day(-1)} | arguments
    task = ApnsToObjectStorageOperator(
        task_id="export", dataset="channel", path=str(path), channel_ids=channel_ids, deferrable=False, **days
    )
    return dict(task.execute({}))


def records(path: Path) -> dict[str, tuple[datetime, datetime]]:
    """Read a register as a user would."""
    if path.suffix == ".parquet":
        rows = pyarrow.parquet.read_table(path).to_pylist()
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row.update({name: datetime.fromisoformat(row[name]) for name in ("first_seen", "last_seen")})
    assert all(list(row) == ["channel_id", "first_seen", "last_seen"] for row in rows)
    return {row["channel_id"]: (row["first_seen"], row["last_seen"]) for row in rows}


with_channels = pytest.mark.apns_emulator(channels=3, channels_port=0)


@with_channels
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_it_remembers_what_apple_forgets(
    apple: Emulator, tmp_path: Path, now: list[datetime], caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    path, begun = tmp_path / f"register.{suffix}", now[0]
    assert list_channels(path) == str(path)
    assert records(path) == dict.fromkeys(apple.channel_ids, (begun, begun))

    deleted, *_ = apple.channel_ids
    apple.delete_channel(deleted)
    new = apple.create_channel()
    now[0] += HOUR
    with caplog.at_level(logging.INFO):
        list_channels(path)
    assert "The app has 3 channels: 1 are new, 1 are gone" in caplog.text
    register = records(path)
    assert register[deleted] == (begun, begun)
    assert register[new] == (begun + HOUR, begun + HOUR)
    assert {register[channel] for channel in apple.channel_ids if channel != new} == {(begun, begun + HOUR)}


@with_channels
def test_the_register_of_an_app_without_channels_is_empty(
    apple: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "register.jsonl"
    apple.configure(channels=0)
    list_channels(path)
    assert path.read_text() == ""
    for channel_ids in (str(path), "all"):
        with caplog.at_level(logging.INFO):
            summary = export(tmp_path / "{date}.jsonl", channel_ids)
        assert "there is nothing to export" in caplog.text
        assert (summary["objects"], summary["channels_requested"]) == (0, 0)
        assert export(tmp_path / "{date}.jsonl", channel_ids, first_day=None, last_day=None)["objects"] == 0
        caplog.clear()
    assert apple.ledger.posts == 0


FOREIGN = {
    "not JSON": b"\x00\x01",
    "other columns": b'{"channel_id":"AAAA"}\n',
    "more columns": b'{"channel_id":"AAAA","first_seen":"2026-01-01T00:00:00+00:00",'
    b'"last_seen":"2026-01-01T00:00:00+00:00","name":"x"}\n',
    "no zone": b'{"channel_id":"AAAA","first_seen":"2026-01-01T00:00:00","last_seen":"2026-01-01T00:00:00"}\n',
    "null": b'{"channel_id":null,"first_seen":"2026-01-01T00:00:00+00:00","last_seen":"2026-01-01T00:00:00+00:00"}\n',
}


@with_channels
@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_register_that_is_not_ours_is_refused(apple: Emulator, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "register.jsonl"
    path.write_bytes(content)
    with pytest.raises(AirflowFailException, match="is not a register of channels"):
        list_channels(path)
    assert path.read_bytes() == content
    assert apple.ledger.listings == 0


@with_channels
def test_a_register_that_may_not_be_read_is_not_replaced(
    apple: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ObjectStoragePath(f"file://{tmp_path}/register.jsonl")
    path.write_bytes(b"old")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("403 Forbidden")

    monkeypatch.setattr(type(path.fs), "cat_file", refuse)
    with pytest.raises(ApnsStorageError, match="cannot be read"):
        registering.keep(path, listed(["AAAA"], NOON))
    assert (tmp_path / "register.jsonl").read_bytes() == b"old"


@pytest.mark.parametrize("path", ["register.jsonl", "s3://bucket/register.csv", "s3://bucket/register"])
def test_a_path_that_is_no_register_s_is_told_when_the_dag_is_parsed(path: str) -> None:
    with pytest.raises(ApnsInvalidRequestError, match="cannot be a register"):
        ApnsListChannelsOperator(task_id="list", path=path)


@with_channels
def test_a_refused_key_fails_the_task_at_once(apple: Emulator, tmp_path: Path) -> None:
    apple.inject("channels:InvalidProviderToken")
    with pytest.raises(AirflowFailException, match="InvalidProviderToken"):
        list_channels(tmp_path / "register.jsonl")
    assert not list(tmp_path.glob("register*"))


# -- beside others -------------------------------------------------------------------------------------------


def race(monkeypatch: pytest.MonkeyPatch, path: ObjectStoragePath, others: list[Register]) -> None:
    """Others, who have read the register before us, write theirs after us."""
    genuine = registering.publish

    def publish(target: ObjectStoragePath, data: bytes, content_type: str) -> Any:
        written = genuine(target, data, content_type)
        return genuine(path, write_register(others.pop(0), str(path)), content_type) if others else written

    monkeypatch.setattr(registering, "publish", publish)


def test_what_another_run_has_overwritten_is_added_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ObjectStoragePath(f"file://{tmp_path}/register.jsonl")
    old, ours = listed(["AAAA"], NOON - HOUR), listed(["AAAA", "BBBB"], NOON)
    registering.keep(path, old)
    theirs = merged(old, listed(["CCCC"], NOON + HOUR))
    race(monkeypatch, path, [theirs])
    registering.keep(path, ours)
    assert registering.load(path) == merged(theirs, ours)


def test_one_fails_if_others_overwrite_it_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ObjectStoragePath(f"file://{tmp_path}/register.jsonl")
    race(monkeypatch, path, [listed(["AAAA"], NOON)] * 99)
    with pytest.raises(ApnsWriteError, match="let fewer tasks write it at once"):
        registering.keep(path, listed(["BBBB"], NOON))


moments = st.integers(0, 99).map(lambda hours: NOON + hours * HOUR)
registers = st.lists(st.tuples(st.lists(st.sampled_from("ABCDEFGH")), moments), max_size=5).map(
    lambda listings: merged_all(listed([name * 4 for name in names], moment) for names, moment in listings)
)


def merged_all(listings: Any) -> Register:
    register: Register = {}
    for listing in listings:
        register = merged(register, listing)
    return register


@given(registers, registers)
def test_a_merger_says_what_both_say_whoever_comes_first(one: Register, other: Register) -> None:
    both = merged(one, other)
    assert includes(both, one)
    assert includes(both, other)
    assert both == merged(other, one) == merged(both, one)
    assert both.keys() == one.keys() | other.keys()


# -- channel_ids of the one-task operator --------------------------------------------------------------------


@with_channels
def test_all_asks_apple(apple: Emulator, tmp_path: Path) -> None:
    summary = export(tmp_path / "report.jsonl", "all")
    assert summary["channels_exported"] == 3
    assert apple.ledger.listings == 1


@with_channels
def test_a_register_gives_the_channels_seen_since_the_first_day(apple: Emulator, tmp_path: Path) -> None:
    before, within, now = apple.channel_ids
    first = datetime.combine(date.fromisoformat(day(-3)), datetime.min.time(), timezone.utc)
    old = first - timedelta(days=40)
    register = {
        before: Seen(old, first - timedelta(seconds=1)),
        within: Seen(first, first),
        now: Seen(old, first + timedelta(days=3)),
    }
    path = tmp_path / "register.parquet"
    path.write_bytes(write_register(register, str(path)))
    apple.delete_channel(within)

    assert export(tmp_path / "report.jsonl", str(path))["channels_requested"] == 2
    exported = {json.loads(line)["channel_id"] for line in (tmp_path / "report.jsonl").read_text().splitlines()}
    assert exported == {within, now}
    complete = export(tmp_path / "complete" / "{date}.jsonl", str(path), first_day=None, last_day=None)
    assert complete["channels_requested"] == 3
    assert apple.ledger.listings == 0


@with_channels
def test_a_register_that_is_not_there_is_told(apple: Emulator, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="run an ApnsListChannelsOperator"):
        export(tmp_path / "report.jsonl", f"{tmp_path}/register.jsonl")
    assert apple.ledger.posts == 0


def test_a_list_is_a_list() -> None:
    with pytest.raises(ApnsInvalidRequestError, match="is not base64"):
        ApnsToObjectStorageOperator(
            task_id="export",
            dataset="channel",
            path="x.jsonl",
            channel_ids="every",
            first_day=day(-2),
            last_day=day(-1),
        )
    for channel_ids in ("all", "s3://bucket/register.jsonl", "/data/register.parquet"):
        ApnsToObjectStorageOperator(task_id="export", dataset="channel", path="{date}.jsonl", channel_ids=channel_ids)


def test_seen_since_is_by_days() -> None:
    register = listed(["AAAA"], NOON)
    assert seen_since(register, NOON.date()) == ("AAAA",)
    assert seen_since(register, NOON.date() + timedelta(days=1)) == ()
