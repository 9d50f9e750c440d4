from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from airflow_provider_apns import _compat, shared
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exports import Account
from airflow_provider_apns.hooks.apns import ApnsAsyncHook, ApnsHook
from airflow_provider_apns.shared import Lookup, Shared
from airflow_provider_apns.tokens import Secret
from tests.unit.conftest import StartApple
from tests.unit.helpers import day


class Backend:
    """A slow secrets backend, whose token can be replaced."""

    def __init__(self) -> None:
        self.token = "old"
        self.readings = 0
        self.failure: Exception | None = None

    async def read(self) -> Account:
        self.readings += 1
        token, failure = self.token, self.failure
        await asyncio.sleep(0.01)
        if failure:
            raise failure
        return Account("apns_default", "A1B2C3D4E5", Secret(token))


async def token(asking: Awaitable[Account]) -> str:
    return str((await asking).token)


class TestLookup:
    async def test_serves_all_who_ask_at_the_same_time(self) -> None:
        backend, lookup = Backend(), Lookup()
        found = await asyncio.gather(*(lookup(backend.read) for _ in range(1000)))
        assert {str(account.token) for account in found} == {"old"}
        assert backend.readings == 2  # the first one's, and one for all who came while it was under way

    async def test_reads_anew_for_who_asks_later(self) -> None:
        backend, lookup = Backend(), Lookup()
        assert await token(lookup(backend.read)) == "old"
        backend.token = "new"
        assert await token(lookup(backend.read)) == "new"

    async def test_nobody_is_given_what_was_read_before_they_asked(self) -> None:
        backend, lookup = Backend(), Lookup()
        early = asyncio.ensure_future(token(lookup(backend.read)))
        await asyncio.sleep(0.001)
        backend.token = "new"
        late = [asyncio.ensure_future(token(lookup(backend.read))) for _ in range(3)]
        assert await early == "old"
        assert await asyncio.gather(*late) == ["new"] * 3

    async def test_tells_all_of_a_failure_and_recovers(self) -> None:
        backend, lookup = Backend(), Lookup()
        backend.failure = ConnectionError("no secrets backend")
        found = await asyncio.gather(*(lookup(backend.read) for _ in range(10)), return_exceptions=True)
        assert [type(error) for error in found] == [ConnectionError] * 10
        assert backend.readings == 2
        backend.failure = None
        assert await token(lookup(backend.read)) == "old"

    async def test_who_gives_up_does_not_take_the_others_along(self) -> None:
        backend, lookup = Backend(), Lookup()
        first, *others = [asyncio.ensure_future(token(lookup(backend.read))) for _ in range(5)]
        await asyncio.sleep(0.001)
        first.cancel()
        assert await asyncio.gather(*others) == ["old"] * 4
        assert first.cancelled()

    async def test_equal_accounts_are_one_object(self) -> None:
        backend, lookup = Backend(), Lookup()
        first = await lookup(backend.read)
        assert await lookup(backend.read) is first
        backend.token = "new"
        assert await lookup(backend.read) is not first


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Airflow is asked for."""
    asked: list[str] = []
    genuine = _compat.read_connection

    async def counted(conn_id: str, read: Callable[[Any], Account]) -> Account:
        asked.append(conn_id)
        return await genuine(conn_id, read)

    monkeypatch.setattr(_compat, "read_connection", counted)
    return asked


class TestShared:
    async def test_many_hooks_that_begin_together(self, apple: Emulator, lookups: list[str]) -> None:
        status_url = ApnsHook().request_export("application", day(-7), day(-1)).status_url

        async def look() -> str:
            async with ApnsAsyncHook() as hook:
                return (await hook.get_export(status_url)).status

        assert set(await asyncio.gather(*(look() for _ in range(50)))) == {"SUCCESS"}
        assert len(lookups) < 10

    async def test_each_connection_has_its_own_lookup(
        self, apple: Emulator, lookups: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", apple.connection_json.replace(apple.token, "another-token"))

        async def look(conn_id: str) -> str:
            async with ApnsAsyncHook(conn_id) as hook:
                return str((await hook.get_account()).token)

        assert await asyncio.gather(look("apns_default"), look("other")) == [apple.token, "another-token"]
        assert sorted(lookups) == ["apns_default", "other"]

    async def test_a_long_queue_is_no_failure(
        self, start_apple: StartApple, short_waits: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shared, "POOL_SIZE", 2)
        monkeypatch.setattr(shared, "READ_TIMEOUT", 0.5)
        apple = start_apple(latency=0.2)
        status_url = ApnsHook().request_export("application", day(-7), day(-1)).status_url
        async with ApnsAsyncHook() as hook:
            await asyncio.gather(*(hook.get_export(status_url) for _ in range(20)))  # two at a time: two seconds
        assert apple.ledger.max_in_flight == 2
        assert short_waits == []

    async def test_the_last_one_closes_the_session(self) -> None:
        first, second = await asyncio.gather(Shared.join(), Shared.join())
        assert first is second
        session = first.session
        await first.leave()
        assert not session.closed
        await second.leave()
        assert session.closed
        third = await Shared.join()
        assert third is not first
        await third.leave()

    async def test_who_is_cancelled_while_joining_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        joining = asyncio.ensure_future(Shared.join())
        await asyncio.sleep(0)
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        assert joining.cancelled()
        assert asyncio.get_running_loop() not in shared._shared

    def test_each_event_loop_has_its_own(self) -> None:
        async def session() -> object:
            mine = await Shared.join()
            await mine.leave()
            return mine.session

        assert asyncio.run(session()) is not asyncio.run(session())
