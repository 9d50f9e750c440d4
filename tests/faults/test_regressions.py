"""What the fault matrix and the guards once found, each in short."""

from __future__ import annotations

import gzip
import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apns.bodies import BodyDecoder
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsReportError, ApnsReportTooLargeError, ApnsServiceError

OLD = b"the object of before\n"
YESTERDAY = datetime.now(timezone.utc).date() - timedelta(days=1)
DAYS = (YESTERDAY - timedelta(days=2), YESTERDAY)


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    from airflow_provider_apns.hooks import apns as hooks

    monkeypatch.setattr(hooks, "retry_delay", lambda error, tries: 0.001)
    with Emulator() as apple:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
        yield apple


def test_compressed_data_without_an_end_is_too_large() -> None:
    """Empty gzip members decompress to nothing, however many there are."""
    decoder = BodyDecoder({"Content-Encoding": "gzip"}, 1_000, "report")
    members = iter([gzip.compress(b"") * 1_000] * 100)
    with pytest.raises(ApnsReportTooLargeError):
        assert not any(piece for chunk in members for piece in decoder.feed(chunk))


def test_a_call_makes_few_requests_and_waits_for_minutes_at_most(
    apple: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from airflow_provider_apns import exports
    from airflow_provider_apns.hooks import apns as hooks

    status_url = hooks.ApnsHook().request_export("application", *DAYS).status_url
    waits: list[float] = []

    def wait(error: BaseException | None, tries: int) -> float:
        waits.append(exports.retry_delay(error, tries))
        return 0.0

    monkeypatch.setattr(hooks, "retry_delay", wait)
    for fault in ("status:503", "download:503", "status:html", "download:reset"):
        apple.ledger.clear()
        waits.clear()
        apple.inject(f"{fault}:times=forever")
        with pytest.raises(ApnsServiceError):
            hooks.ApnsHook().download_export(status_url, str(tmp_path / "x.csv"))
        assert len(apple.ledger.records) <= 20
        assert sum(waits) < 120
        apple.clear_faults()


def test_an_absurd_wait_is_not_wished_for() -> None:
    from airflow_provider_apns.exports import read_retry_after

    now = datetime.now(timezone.utc)
    for value in (
        "1000000000",
        "-1",
        "9" * 400,
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "soon",
    ):
        assert read_retry_after(value, now) is None


@pytest.mark.parametrize("fault", ["latin-1", "utf-16"])
def test_a_csv_in_another_charset_is_not_published(apple: Emulator, tmp_path: Path, fault: str) -> None:
    from airflow_provider_apns.hooks.apns import ApnsHook

    path = tmp_path / "x.csv"
    path.write_bytes(OLD)
    status_url = ApnsHook().request_export("application", *DAYS).status_url
    apple.inject(f"download:{fault}:times=forever")
    with pytest.raises(ApnsReportError):
        ApnsHook().download_export(status_url, str(path))
    assert path.read_bytes() == OLD
    assert [found.name for found in tmp_path.iterdir()] == ["x.csv"]


def test_an_api_that_redirects_gets_no_second_request(apple: Emulator) -> None:
    from airflow_provider_apns.hooks.apns import ApnsHook

    apple.inject("request:redirect:times=forever")
    with pytest.raises(ApnsServiceError, match="redirects"):
        ApnsHook().request_export("application", *DAYS)
    assert apple.ledger.count("trap") == 0
    assert apple.ledger.violations == []


def test_the_token_is_masked_in_airflows_logs(apple: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_apns import _compat
    from airflow_provider_apns.hooks.apns import ApnsHook

    masked: list[str] = []
    monkeypatch.setattr(_compat, "mask_secret", masked.append)
    ApnsHook().get_export(ApnsHook().request_export("application", *DAYS).status_url)
    assert apple.token in masked


def test_a_broken_header_is_not_told_with_the_signed_url(
    apple: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """urllib3 warns of it, and would quote the URL, at a level that every log has."""
    from airflow_provider_apns.hooks.apns import ApnsHook

    caplog.set_level(logging.WARNING)
    status_url = ApnsHook().request_export("application", *DAYS).status_url
    apple.inject("download:bad-header")
    ApnsHook().download_export(status_url, str(tmp_path / "x.csv"))
    assert "Failed to parse headers" in caplog.text
    assert "Signature" not in caplog.text


def test_one_lookup_for_all_requests_of_a_hook(apple: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that starts sixty-four requests at once asks Airflow for its connection once."""
    import asyncio

    from airflow_provider_apns import _compat
    from airflow_provider_apns.hooks.apns import ApnsAsyncHook, ApnsHook

    status_url = ApnsHook().request_export("application", *DAYS).status_url
    genuine, asked = _compat.read_connection, []

    async def look_up(conn_id: str, read: Any) -> object:
        asked.append(conn_id)
        await asyncio.sleep(0.01)
        return await genuine(conn_id, read)

    monkeypatch.setattr(_compat, "read_connection", look_up)

    async def work() -> None:
        async with ApnsAsyncHook() as hook:
            await asyncio.gather(*(hook.get_export(status_url) for _ in range(20)))

    asyncio.run(work())
    assert asked == ["apns_default"]


async def test_secrets_are_not_told_to_airflows_supervisor_from_the_event_loop(
    apple: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The triggerer of Airflow 3.0 fails at that; ``tests/integration/test_start_from_trigger.py`` shows it live."""
    from airflow_provider_apns import _compat
    from airflow_provider_apns.hooks.apns import ApnsAsyncHook

    loop_thread, told_from = threading.get_ident(), []
    monkeypatch.setattr(_compat, "mask_secret", lambda secret: told_from.append(threading.get_ident()))
    async with ApnsAsyncHook() as hook:
        await hook.get_account()
    assert told_from
    assert loop_thread not in told_from
