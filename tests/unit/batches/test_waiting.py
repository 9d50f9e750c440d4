from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_apns.batches import waiting
from airflow_provider_apns.batches.batch import Batch
from airflow_provider_apns.batches.waiting import wait_for_exports
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsServiceError
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
from tests.unit.batches.orders import requested


async def wait(hook: ApnsAsyncHook, batch: Batch, **options: Any) -> dict[str, str]:
    return await wait_for_exports(
        hook, batch.status_urls, **{"poke_interval": 0.01, "max_concurrency": 3, "first_delay": 0, **options}
    )


async def test_until_all_are_ready(apple: Emulator, hook: ApnsAsyncHook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    apple.configure(processing_polls=2)
    await wait(hook, await requested(hook, apple, *apple.channel_ids))
    assert apple.ledger.gets == 3 * len(apple.channel_ids)
    (told,) = [record.getMessage() for record in caplog.records if "ready" in record.getMessage()]
    assert told.startswith("0 of 10 exports are ready after")


async def test_those_that_are_ready_are_not_asked_for_again(apple: Emulator, hook: ApnsAsyncHook) -> None:
    batch = await requested(hook, apple, *apple.channel_ids[:3])
    apple.inject(f"status:unknown-status:match={apple.channel_ids[1]},times=2")
    await wait(hook, batch)
    assert apple.ledger.gets == 3 + 1 + 1


@pytest.mark.parametrize(("fate", "word"), [("fail", "FAILED"), ("expire", "EXPIRED")])
async def test_those_that_fail_are_named_when_all_have_ended(
    apple: Emulator, hook: ApnsAsyncHook, fate: str, word: str
) -> None:
    apple.configure(**{fate: [apple.channel_ids[2]]}, processing_polls=1)
    batch = await requested(hook, apple, *apple.channel_ids)
    assert await wait(hook, batch) == {batch.status_urls[2]: word}
    assert apple.ledger.gets == 2 * len(apple.channel_ids)


async def test_an_outage_ends_it_when_all_tries_are_used(
    apple: Emulator, hook: ApnsAsyncHook, short_waits: list[float]
) -> None:
    batch = await requested(hook, apple)
    apple.inject("status:503:times=forever")
    with pytest.raises(ApnsServiceError, match="503"):
        await wait(hook, batch)


class TestDelays:
    @pytest.fixture
    def waits(self, apple: Emulator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
        """Seconds that would have been waited, and how many looks there had been before."""
        waits: list[tuple[float, int]] = []

        async def sleep(seconds: float) -> None:
            waits.append((seconds, apple.ledger.gets))

        loop = waiting.asyncio.get_running_loop
        monkeypatch.setattr(waiting, "asyncio", SimpleNamespace(sleep=sleep, get_running_loop=loop))
        return waits

    async def test_the_first_look_is_not_at_once(
        self, apple: Emulator, hook: ApnsAsyncHook, waits: list[tuple[float, int]]
    ) -> None:
        await wait(hook, await requested(hook, apple), poke_interval=60, first_delay=None)
        ((seconds, looks),) = waits
        assert 1 <= seconds <= 2
        assert looks == 0

    async def test_later_ones_come_less_and_less_often(
        self, apple: Emulator, hook: ApnsAsyncHook, waits: list[tuple[float, int]]
    ) -> None:
        apple.configure(processing_polls=20)
        await wait(hook, await requested(hook, apple), poke_interval=60)
        delays = [seconds for seconds, _ in waits[1:]]
        assert len(delays) == 20
        assert delays[0] <= 3 < delays[3] < 48 <= min(delays[-5:]) <= max(delays) <= 60

    async def test_first_looks_after_a_restart_do_not_come_in_step(
        self, apple: Emulator, hook: ApnsAsyncHook, waits: list[tuple[float, int]]
    ) -> None:
        batch = await requested(hook, apple)
        for _ in range(20):
            await wait(hook, batch, first_delay=7)
        assert all(7 <= seconds <= 8.75 for seconds, _ in waits)
        assert len({seconds for seconds, _ in waits}) == 20

    @pytest.mark.parametrize("channels", [0, 3])
    async def test_it_waits_as_long_as_apple_asks(
        self, apple: Emulator, hook: ApnsAsyncHook, waits: list[tuple[float, int]], channels: int
    ) -> None:
        batch = await requested(hook, apple, *apple.channel_ids[:channels])
        apple.inject("status:503:retry_after=900")
        await wait(hook, batch, poke_interval=60)
        assert [900 <= seconds <= 901 for seconds, _ in waits] == [False, True]
