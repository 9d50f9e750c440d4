"""What the fault matrix and the guards once found, each in short."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apns import _compat
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsReportError, ApnsServiceError
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
from airflow_provider_apns.protocol import retries

OLD = b"the object of before\n"
YESTERDAY = datetime.now(timezone.utc).date() - timedelta(days=1)
DAYS = (YESTERDAY - timedelta(days=2), YESTERDAY)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited between tries."""
    decide, waits = retries.retry_delay, list[float]()

    def wait(error: ApnsServiceError, tries: int) -> float:
        waits.append(decide(error, tries))
        return 0.001

    monkeypatch.setattr(retries, "retry_delay", wait)
    return waits


@pytest.fixture
def apple(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as apple:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
        yield apple


@pytest.fixture
def status_url(apple: Emulator) -> str:
    return ApnsHook().request_export("application", *DAYS).status_url


@pytest.mark.parametrize("fault", ["status:503", "download:503", "status:html", "download:reset"])
def test_a_call_makes_few_requests_and_waits_for_minutes_at_most(
    apple: Emulator, status_url: str, waits: list[float], tmp_path: Path, fault: str
) -> None:
    apple.ledger.clear()
    apple.inject(f"{fault}:times=forever")
    with pytest.raises(ApnsServiceError):
        ApnsHook().download_export(status_url, str(tmp_path / "x.csv"))
    assert len(apple.ledger.records) <= 20
    assert 30 < sum(waits) < 120


@pytest.mark.parametrize("fault", ["latin-1", "utf-16"])
def test_a_csv_in_another_charset_is_not_published(
    apple: Emulator, status_url: str, tmp_path: Path, fault: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(OLD)
    apple.inject(f"download:{fault}:times=forever")
    with pytest.raises(ApnsReportError):
        ApnsHook().download_export(status_url, str(path))
    assert path.read_bytes() == OLD
    assert [found.name for found in tmp_path.iterdir()] == ["x.csv"]


def test_an_api_that_redirects_gets_no_second_request(apple: Emulator) -> None:
    apple.inject("request:redirect:times=forever")
    with pytest.raises(ApnsServiceError, match="redirected"):
        ApnsHook().request_export("application", *DAYS)
    assert apple.ledger.count("trap") == 0
    assert apple.ledger.violations == []


def test_a_broken_header_is_not_told_with_the_signed_url(
    apple: Emulator, status_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """urllib3 warns of it, and would quote the URL, at a level that every log has."""
    caplog.set_level(logging.WARNING)
    apple.inject("download:bad-header")
    ApnsHook().download_export(status_url, str(tmp_path / "x.csv"))
    assert "Failed to parse headers" in caplog.text
    assert "Signature" not in caplog.text


def test_one_lookup_for_all_requests_of_a_hook(
    apple: Emulator, status_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that starts sixty-four requests at once asks Airflow for its connection once."""
    genuine, asked = _compat.read_connection, []

    async def look_up(conn_id: str, read: Any) -> object:
        asked.append(conn_id)
        await asyncio.sleep(0.01)
        return await genuine(conn_id, read)

    async def work() -> None:
        async with ApnsAsyncHook() as hook:
            await asyncio.gather(*(hook.get_export(status_url) for _ in range(20)))

    monkeypatch.setattr(_compat, "read_connection", look_up)
    asyncio.run(work())
    assert asked == ["apns_default"]


async def test_the_token_is_masked_in_airflows_logs_but_not_from_the_event_loop(
    apple: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masking tells Airflow's supervisor, at which the triggerer of Airflow 3.0 fails on its event loop."""
    masked: list[tuple[str, int]] = []
    monkeypatch.setattr(_compat, "mask_secret", lambda secret: masked.append((secret, threading.get_ident())))
    async with ApnsAsyncHook() as hook:
        await hook.get_account()
    ((secret, thread),) = masked
    assert secret == apple.token
    assert thread != threading.get_ident()
