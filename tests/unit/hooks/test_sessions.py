from __future__ import annotations

import asyncio

import pytest

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsConfigurationError
from airflow_provider_apns.hooks import sessions
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
from airflow_provider_apns.hooks.sessions import SharedSession
from tests.unit.conftest import StartApple
from tests.unit.hooks.conftest import export_request


async def test_hooks_of_one_event_loop_share_their_connections(apple: Emulator) -> None:
    async with ApnsAsyncHook() as first:
        export = await first.request_export(export_request("delivery"))
        for _ in range(5):
            async with ApnsAsyncHook() as other:
                await other.get_export(export.status_url)
    assert apple.ledger.connections == 1


async def test_the_last_one_closes_the_session() -> None:
    first, second = await asyncio.gather(SharedSession.join(), SharedSession.join())
    assert first is second
    await first.leave()
    assert not first.http.closed
    await second.leave()
    assert first.http.closed
    async with ApnsAsyncHook() as later:
        assert later._shared is not first


def test_each_event_loop_has_its_own() -> None:
    async def session() -> SharedSession:
        async with ApnsAsyncHook() as hook:
            return hook._shared

    assert asyncio.run(session()) is not asyncio.run(session())
    assert not sessions._shared


@pytest.mark.parametrize("steps", range(4))
async def test_who_is_cancelled_while_joining_leaves_the_others(steps: int) -> None:
    joining, other = [asyncio.ensure_future(SharedSession.join()) for _ in range(2)]
    for _ in range(steps):
        await asyncio.sleep(0)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    shared = await other
    assert not shared.http.closed
    await shared.leave()
    assert shared.http.closed
    assert not sessions._shared


async def test_who_cannot_open_it_leaves_nothing_behind(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("SSL_CERT_FILE", "/no/such.pem")
    failures = await asyncio.gather(*(SharedSession.join() for _ in range(3)), return_exceptions=True)
    assert [type(failure) for failure in failures] == [ApnsConfigurationError] * 3
    assert not sessions._shared


async def test_a_long_queue_is_no_failure(
    start_apple: StartApple, short_waits: list[float], monkeypatch: pytest.MonkeyPatch, quick_timeouts: None
) -> None:
    monkeypatch.setattr(sessions, "POOL_SIZE", 2)
    apple = start_apple(latency=0.1)
    async with ApnsAsyncHook() as hook:
        requests = [export_request("channel", channel_id) for channel_id in apple.channel_ids]
        await asyncio.gather(*map(hook.request_export, requests))  # two at a time: half a second
    assert apple.ledger.max_in_flight == 2
    assert short_waits == []
