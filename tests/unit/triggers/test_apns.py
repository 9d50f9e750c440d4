from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_apns.batches.batch import Asked, Batch
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import (
    ApnsConfigurationError,
    ApnsConnectionError,
    ApnsError,
    ApnsExportFailedError,
    ApnsServiceError,
    ApnsTokenError,
    ApnsUntrustedUrlError,
)
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.protocol.days import Days
from airflow_provider_apns.triggers.apns import RESUME_DELAY, ApnsBatchTrigger, ApnsExportTrigger
from tests.unit.conftest import Connect, StartApple
from tests.unit.helpers import day

WEEK = (day(-7), day(-1))
DAYS = frozenset(Days.parse(*WEEK))


def requested(channel_id: str | None = None) -> str:
    return ApnsHook().request_export("channel" if channel_id else "application", *WEEK, channel_id).status_url


def requested_channels(apple: Emulator) -> Batch:
    exports = tuple(Asked(channel, requested(channel)) for channel in apple.channel_ids)
    return Batch("x.csv", dict.fromkeys(apple.channel_ids, DAYS), datetime.now(timezone.utc), exports=exports)


def export_trigger(status_url: str, **changes: Any) -> ApnsExportTrigger:
    arguments = {"apns_conn_id": "apns_default", "poke_interval": 0.01, "first_delay": 0.0} | changes
    return ApnsExportTrigger(status_url=status_url, **arguments)


def batch_trigger(batch: Batch) -> ApnsBatchTrigger:
    return ApnsBatchTrigger(
        exports=batch.pack(), apns_conn_id="apns_default", poke_interval=0.01, max_concurrency=3, first_delay=0.0
    )


async def fired(trigger: Any) -> Any:
    """What a trigger reports, on its own way and the trigger's through the metadata database; it fires once."""
    from airflow.serialization.serialized_objects import BaseSerialization

    path, arguments = trigger.serialize()
    stored = json.loads(json.dumps(BaseSerialization.serialize(arguments)))
    module, _, name = path.rpartition(".")
    restored = getattr(import_module(module), name)(**BaseSerialization.deserialize(stored))
    (event,) = [event async for event in restored.run()]
    return json.loads(json.dumps(event.payload))


async def failed(trigger: Any) -> ApnsError:
    return ApnsError.from_event(await fired(trigger))


class TestExportTrigger:
    async def test_fires_when_the_export_is_ready(self, apple: Emulator) -> None:
        apple.configure(processing_polls=2)
        status_url = requested()
        assert await fired(export_trigger(status_url)) == {"status_url": status_url}
        assert apple.ledger.gets == 3
        assert apple.ledger.downloads == 0

    async def test_an_unknown_state_means_wait_on(self, apple: Emulator) -> None:
        apple.inject("status:unknown-status:times=2")
        status_url = requested()
        assert await fired(export_trigger(status_url)) == {"status_url": status_url}

    @pytest.mark.parametrize(
        ("fault", "cls"),
        [
            ("status:failed", ApnsExportFailedError),
            ("status:401", ApnsTokenError),
            ("status:404", ApnsTokenError),
            ("status:500:times=forever", ApnsServiceError),
        ],
    )
    async def test_reports_a_failure_with_its_class(
        self, apple: Emulator, short_waits: list[float], fault: str, cls: type[ApnsError]
    ) -> None:
        apple.inject(fault)
        assert type(await failed(export_trigger(requested()))) is cls

    async def test_reports_what_is_wrong_before_anything_is_asked(
        self, apple: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        status_url = requested()
        assert type(await failed(export_trigger("https://evil.com/"))) is ApnsUntrustedUrlError
        connect(apple, password="")
        assert type(await failed(export_trigger(status_url))) is ApnsConnectionError
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such.pem")
        assert type(await failed(export_trigger(status_url))) is ApnsConfigurationError
        assert apple.ledger.gets == 0

    async def test_other_errors_are_left_to_airflow(self, apple: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        status_url = requested()
        monkeypatch.setattr("airflow_provider_apns.protocol.exchanges.read_timestamp", lambda value: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await fired(export_trigger(status_url))

    async def test_survives_an_outage(self, apple: Emulator, short_waits: list[float]) -> None:
        status_url = requested()
        apple.inject("status:503:times=3", "status:reset:times=2")
        assert await fired(export_trigger(status_url)) == {"status_url": status_url}

    async def test_picks_up_a_token_that_is_replaced_meanwhile(self, apple: Emulator, connect: Connect) -> None:
        apple.configure(processing_polls=1_000_000)
        status_url = requested()
        waiting = asyncio.ensure_future(fired(export_trigger(status_url)))
        while apple.ledger.gets < 2 and not waiting.done():
            await asyncio.sleep(0.01)
        connect(apple, password="the-new-token")
        apple.rotate_token("the-new-token")
        apple.configure(processing_polls=0)
        assert await asyncio.wait_for(waiting, 15) == {"status_url": status_url}
        assert apple.ledger.count("status", 401) == 1

    def test_waits_until_airflow_can_resume_the_task(self) -> None:
        assert ApnsExportTrigger(status_url="x", apns_conn_id="y", poke_interval=60).first_delay == RESUME_DELAY > 5

    def test_its_arguments_hold_no_secret(self, start_apple: StartApple) -> None:
        apple = start_apple(jwt=True)
        for trigger in (export_trigger(requested()), batch_trigger(requested_channels(apple))):
            assert apple.token not in json.dumps(trigger.serialize()) + repr(trigger)

    async def test_the_event_loop_is_not_blocked(self, start_apple: StartApple) -> None:
        start_apple(processing_seconds=0.6)
        longest, last = 0.0, asyncio.get_running_loop().time()
        waiting = asyncio.ensure_future(fired(export_trigger(await asyncio.to_thread(requested))))
        while not waiting.done():
            await asyncio.sleep(0.001)
            now = asyncio.get_running_loop().time()
            longest, last = max(longest, now - last), now
        assert longest < 0.3

    async def test_many_share_one_connection_pool(self, apple: Emulator) -> None:
        status_url = requested()
        before = apple.ledger.connections
        for _ in range(3):
            await asyncio.gather(*(fired(export_trigger(status_url, first_delay=0.01)) for _ in range(5)))
        assert apple.ledger.connections - before <= 3 * 5


class TestBatchTrigger:
    async def test_fires_once_when_all_are_ready(self, apple: Emulator) -> None:
        apple.configure(processing_polls=1)
        batch = requested_channels(apple)
        assert await fired(batch_trigger(batch)) == {"exports": batch.pack(), "failed": []}
        assert apple.ledger.gets == 2 * len(batch.exports)
        assert apple.ledger.max_in_flight <= 3

    async def test_failed_exports_are_reported(self, apple: Emulator) -> None:
        apple.configure(fail=[apple.channel_ids[3]], expire=[apple.channel_ids[5]])
        assert (await fired(batch_trigger(requested_channels(apple))))["failed"] == [3, 5]
