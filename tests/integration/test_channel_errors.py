"""One bad channel sinks nothing, and failed exports heal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsChannelsError, ApnsNetworkError
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

YESTERDAY = datetime.now(timezone.utc).date() - timedelta(days=1)
UNKNOWN = "AAAAAAAAAAAAAAAAAAAAAA=="

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    from airflow_provider_apns.protocol import retries

    monkeypatch.setattr(retries, "FIRST_POLL_DELAY", 0.0)
    monkeypatch.setattr(retries, "MAX_BACKOFF", 0.01)
    with Emulator(channels=300) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", emulator.connection_json)
        yield emulator


@pytest.fixture
def run(apple: Emulator, tmp_path: Path) -> Run:
    def _run(dataset: str = "channel", **arguments: Any) -> dict[str, Any]:
        days = {"first_day": YESTERDAY - timedelta(days=2), "last_day": YESTERDAY}
        path = {"path": f"{tmp_path}/metrics.csv"}
        arguments = {**days, **path, "deferrable": False, "poke_interval": 0, **arguments}
        return ApnsToObjectStorageOperator(task_id="t", dataset=dataset, **arguments).execute({})  # type: ignore

    return _run


def spoil(apple: Emulator) -> list[str]:
    """Let three exports fail, one for good; make one report unreadable; return 300 channels with an unknown one."""
    channels = list(apple.channel_ids)
    for channel, times in ((channels[1], 1), (channels[2], 2), (channels[3], "forever")):
        apple.inject(f"status:failed:match={channel},times={times}")
    apple.inject(f"download:wrong-columns:match={channels[4]},times=forever")
    return [*channels[:299], UNKNOWN]


def test_skip_writes_all_others_and_names_the_rest(apple: Emulator, run: Run) -> None:
    channels = spoil(apple)
    summary = run(channel_ids=channels, on_channel_error="skip")
    assert summary["channels_exported"] == 297
    assert summary["rows"] == 297 * 3
    assert summary["channels_missing"] == [UNKNOWN]
    assert summary["channels_failed"].keys() == {channels[3], channels[4]}
    assert "nor 2 others of the same days" in summary["channels_failed"][channels[3]]
    assert "lacks the column" in summary["channels_failed"][channels[4]]


def test_fail_names_them_all_and_writes_nothing(apple: Emulator, run: Run, tmp_path: Path) -> None:
    channels = spoil(apple)
    with pytest.raises(AirflowFailException) as caught:
        run(channel_ids=channels)
    for channel in (UNKNOWN, channels[3], channels[4]):
        assert channel in str(caught.value)
    assert "3 of 300 channels could not be exported. Nothing was written." in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_fail_leaves_what_passes_to_airflows_retries(apple: Emulator, run: Run) -> None:
    channels = apple.channel_ids[:3]
    apple.inject(f"request:500:match={channels[1]},times=7")
    with pytest.raises(ApnsChannelsError, match="1 of 3 channels could not be exported"):
        run(channel_ids=channels)
    assert run(channel_ids=channels)["channels_exported"] == 3


def test_what_concerns_the_whole_task_fails_it(apple: Emulator, run: Run, tmp_path: Path) -> None:
    apple.inject("status:url-elsewhere:location=https://127.0.0.1:9/x,times=forever")
    with pytest.raises(ApnsNetworkError, match=r"No answer from https://127\.0\.0\.1:9"):
        run(channel_ids=apple.channel_ids, on_channel_error="skip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("days", [1, 3, 30])
def test_a_failed_export_heals_by_another_window(apple: Emulator, run: Run, days: int, tmp_path: Path) -> None:
    apple.inject("status:failed:times=1")
    summary = run("application", first_day=YESTERDAY - timedelta(days=days - 1))
    assert summary["rows"] == days
    assert len(summary["days"]) == days
    assert apple.ledger.exports_created == (3 if days == 30 else 2)


def test_an_export_that_fails_in_every_way_is_told(apple: Emulator, run: Run) -> None:
    apple.configure(fail=1.0)
    with pytest.raises(AirflowFailException, match=r"could not build the export .* nor 2 others of the same days"):
        run("application")
    assert apple.ledger.exports_created == 3


def test_an_export_of_this_morning_is_told(apple: Emulator, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    run("application")
    assert "made earlier" not in caplog.text
    export = next(iter(apple.apple._exports.values()))
    export.requested_at -= timedelta(hours=5)
    run("application")
    assert "Apple answers with an export made earlier, the oldest at" in caplog.text
