"""What only the hook for event loops does; what both do is in test_transports.py."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airflow_provider_apns import _compat
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsServiceError, ApnsTokenError
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
from airflow_provider_apns.protocol import retries
from airflow_provider_apns.protocol.retries import MAX_TRIES
from tests.unit.conftest import Connect
from tests.unit.hooks.conftest import export_request


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Where connections have been read."""
    threads: list[threading.Thread] = []
    genuine = _compat.read_connection

    def counted(conn_id: str, read: Callable[[Any], Any]) -> Awaitable[Any]:
        def reading(connection: Any) -> Any:
            threads.append(threading.current_thread())
            return read(connection)

        return genuine(conn_id, reading)

    monkeypatch.setattr(_compat, "read_connection", counted)
    return threads


class TestTheConnection:
    async def test_is_read_once_and_not_in_the_event_loops_thread(
        self, apple: Emulator, lookups: list[threading.Thread]
    ) -> None:
        async with ApnsAsyncHook() as hook:
            await asyncio.gather(*(hook.request_export(export_request("delivery")) for _ in range(20)))
        (thread,) = lookups
        assert thread is not threading.current_thread()

    async def test_a_replaced_token_is_picked_up_once_for_all_requests(
        self, apple: Emulator, connect: Connect, lookups: list[threading.Thread]
    ) -> None:
        async with ApnsAsyncHook() as hook:
            export = await hook.request_export(export_request("delivery"))
            apple.rotate_token("the-new-token")
            with pytest.raises(ApnsTokenError, match="apns_default"):
                await hook.get_export(export.status_url)
            assert apple.ledger.gets == 1
            connect(apple)
            await asyncio.gather(*(hook.get_export(export.status_url) for _ in range(20)))
        assert len(lookups) == 3
        assert apple.ledger.count("status", 200) == 20


class TestPauses:
    async def test_a_429_slows_the_whole_hook_whose_requests_then_do_not_come_in_step(
        self, apple: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apple.inject("request:429:retry_after=1")
        monkeypatch.setattr(retries, "retry_delay", lambda error, tries: 1.0)
        first, *others = [export_request("channel", channel_id) for channel_id in apple.channel_ids]
        async with ApnsAsyncHook() as hook:
            asking = asyncio.ensure_future(hook.request_export(first))
            while apple.ledger.posts < 1:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            await asyncio.gather(asking, *map(hook.request_export, others))
        times = [record.time for record in apple.ledger.records]
        assert len(times) == len(apple.channel_ids) + 1
        assert times[1] - times[0] >= 0.9
        assert times[-1] - times[1] >= 0.05

    async def test_other_failures_do_not(self, apple: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        apple.inject("request:500")
        monkeypatch.setattr(retries, "retry_delay", lambda error, tries: 0.5)
        requests = [export_request("channel", channel_id) for channel_id in apple.channel_ids]
        async with ApnsAsyncHook() as hook:
            await asyncio.gather(*map(hook.request_export, requests))
        times = [record.time for record in apple.ledger.records]
        assert times[-2] - times[0] < 0.4

    async def test_tries_are_not_counted_while_a_batch_makes_progress(
        self, apple: Emulator, short_waits: list[float]
    ) -> None:
        slow, quick = apple.channel_ids[:2]
        apple.inject(f"request:429:times={3 * MAX_TRIES},match={slow}")
        async with ApnsAsyncHook() as hook:
            asking = asyncio.ensure_future(hook.request_export(export_request("channel", slow)))
            while not asking.done():
                await hook.request_export(export_request("channel", quick))
            assert (await asking).status_url
            apple.inject(f"request:429:times=forever,match={slow}")
            with pytest.raises(ApnsServiceError, match="429"):
                await hook.request_export(export_request("channel", slow))
