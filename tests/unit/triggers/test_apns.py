from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from airflow_provider_apns.batches import Batch
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import (
    ApnsConnectionError,
    ApnsError,
    ApnsExportFailedError,
    ApnsInvalidRequestError,
    ApnsNotFoundError,
    ApnsServiceError,
    ApnsTokenError,
    ApnsUntrustedUrlError,
)
from airflow_provider_apns.exports import Window, read_channel_ids
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.triggers.apns import ApnsBatchTrigger, ApnsExportTrigger, ApnsRequestTrigger
from tests.unit.conftest import Connect, StartApple
from tests.unit.helpers import day

WEEK = (day(-7), day(-1))
UNKNOWN = "AAAAAAAAAAAAAAAAAAAAAA=="


def requested(apple: Emulator) -> str:
    return ApnsHook().request_export("application", *WEEK).status_url


def requested_channels(apple: Emulator) -> Batch:
    return Batch(
        Window.parse(*WEEK),
        tuple(
            (channel, ApnsHook().request_export("channel", *WEEK, channel).status_url) for channel in apple.channel_ids
        ),
    )


def restored(trigger: Any) -> Any:
    """The trigger as a triggerer gets it: by its class path and arguments, through the metadata database."""
    from airflow.serialization.serialized_objects import BaseSerialization

    path, arguments = trigger.serialize()
    stored = json.loads(json.dumps(BaseSerialization.serialize(arguments)))
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**BaseSerialization.deserialize(stored))


async def fired(trigger: Any) -> Any:
    """What the trigger reports, through the metadata database; it fires once."""
    events = [event async for event in restored(trigger).run()]
    assert len(events) == 1
    return json.loads(json.dumps(events[0].payload))


def export_trigger(status_url: str, **changes: Any) -> ApnsExportTrigger:
    arguments = {"apns_conn_id": "apns_default", "poke_interval": 0.01, "first_delay": 0.0} | changes
    return ApnsExportTrigger(status_url=status_url, **arguments)


def batch_trigger(batch: Batch) -> ApnsBatchTrigger:
    return ApnsBatchTrigger(
        exports=batch.pack(), apns_conn_id="apns_default", poke_interval=0.01, max_concurrency=3, first_delay=0.0
    )


def request_trigger(apple: Emulator, **changes: Any) -> ApnsRequestTrigger:
    arguments = {
        "dataset": "channel",
        "export_start_date": WEEK[0],
        "export_end_date": WEEK[1],
        "channel_ids": list(apple.channel_ids),
        "app_id": None,
        "on_missing_channel": "fail",
        "apns_conn_id": "apns_default",
        "poke_interval": 0.01,
        "max_concurrency": 3,
    }
    return ApnsRequestTrigger(**{**arguments, **changes})


class TestExportTrigger:
    async def test_fires_when_the_export_is_ready(self, apple: Emulator) -> None:
        apple.configure(processing_polls=2)
        status_url = requested(apple)
        assert await fired(export_trigger(status_url)) == {"status_url": status_url}
        assert apple.ledger.gets == 3
        assert apple.ledger.downloads == 0

    async def test_an_unknown_state_means_wait_on(self, apple: Emulator) -> None:
        apple.inject("status:unknown-status:times=2")
        assert "error" not in await fired(export_trigger(requested(apple)))

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
        error = ApnsError.from_event(await fired(export_trigger(requested(apple))))
        assert type(error) is cls

    async def test_a_foreign_status_url(self, apple: Emulator) -> None:
        event = await fired(export_trigger("https://evil.com/"))
        assert type(ApnsError.from_event(event)) is ApnsUntrustedUrlError
        assert apple.ledger.connections == 0

    async def test_an_incomplete_connection(self, apple: Emulator, connect: Connect) -> None:
        status_url = requested(apple)
        connect(apple, password="")
        assert type(ApnsError.from_event(await fired(export_trigger(status_url)))) is ApnsConnectionError

    async def test_other_errors_are_left_to_airflow(self, apple: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
        status_url = requested(apple)
        monkeypatch.setattr("airflow_provider_apns.exports.read_timestamp", lambda value: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await fired(export_trigger(status_url))

    async def test_survives_an_outage(self, apple: Emulator, short_waits: list[float]) -> None:
        status_url = requested(apple)
        apple.inject("status:503:times=3", "status:reset:times=2")
        assert await fired(export_trigger(status_url)) == {"status_url": status_url}

    async def test_picks_up_a_token_that_is_replaced_meanwhile(self, apple: Emulator, connect: Connect) -> None:
        apple.configure(processing_polls=1_000_000)
        status_url = requested(apple)
        waiting = asyncio.ensure_future(fired(export_trigger(status_url)))
        while apple.ledger.gets < 2 and not waiting.done():
            await asyncio.sleep(0.01)
        connect(apple, password="the-new-token")
        apple.rotate_token("the-new-token")
        apple.configure(processing_polls=0)
        assert await asyncio.wait_for(waiting, 5) == {"status_url": status_url}
        assert apple.ledger.count("status", 401) == 1

    def test_its_arguments_hold_no_secret(self, start_apple: StartApple) -> None:
        apple = start_apple(jwt=True)
        for trigger in (
            export_trigger(requested(apple)),
            batch_trigger(requested_channels(apple)),
            request_trigger(apple),
        ):
            assert apple.token not in json.dumps(trigger.serialize()) + repr(trigger)

    async def test_the_event_loop_is_not_blocked(self, start_apple: StartApple) -> None:
        apple = start_apple(processing_seconds=0.6)
        status_url = requested(apple)
        longest, last = 0.0, asyncio.get_running_loop().time()
        waiting = asyncio.ensure_future(fired(export_trigger(status_url)))
        while not waiting.done():
            await asyncio.sleep(0.001)
            now = asyncio.get_running_loop().time()
            longest, last = max(longest, now - last), now
        assert longest < 0.3

    async def test_many_triggers_share_one_connection_pool(self, apple: Emulator) -> None:
        status_url = requested(apple)
        before = apple.ledger.connections
        for _ in range(3):
            await asyncio.gather(*(fired(export_trigger(status_url, first_delay=0.01)) for _ in range(5)))
        assert apple.ledger.connections - before <= 3 * 5


class TestBatchTrigger:
    async def test_fires_once_when_all_are_ready(self, apple: Emulator) -> None:
        apple.configure(processing_polls=1)
        batch = requested_channels(apple)
        event = await fired(batch_trigger(batch))
        assert Batch.unpack(event["exports"]) == batch
        assert apple.ledger.gets == 2 * len(batch.exports)
        assert apple.ledger.max_in_flight <= 3

    async def test_one_failed_export_is_reported(self, apple: Emulator) -> None:
        apple.configure(fail=[apple.channel_ids[3]])
        batch = requested_channels(apple)
        error = ApnsError.from_event(await fired(batch_trigger(batch)))
        assert type(error) is ApnsExportFailedError
        assert batch.status_urls[3] in str(error)

    async def test_shows_itself_shortly_in_airflows_log(self, apple: Emulator) -> None:
        batch = Batch(Window.parse(*WEEK), ((None, requested(apple)),) * 200)
        (event,) = [event async for event in batch_trigger(batch).run()]
        assert len(repr(event)) < 100
        assert len(str(event)) < 100


class TestRequestTrigger:
    async def test_requests_and_waits(self, apple: Emulator) -> None:
        event = await fired(request_trigger(apple))
        batch = Batch.unpack(event["exports"])
        assert [channel for channel, _ in batch.exports] == list(apple.channel_ids)
        assert apple.ledger.posts == len(apple.channel_ids)

    async def test_what_takes_long_for_many_channels_leaves_the_event_loop_to_others(
        self, apple: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads = []

        def told(slow: Callable[..., Any]) -> Callable[..., Any]:
            def tell(*arguments: Any) -> Any:
                threads.append(threading.current_thread())
                return slow(*arguments)

            return tell

        monkeypatch.setattr("airflow_provider_apns.batches.read_channel_ids", told(read_channel_ids))
        monkeypatch.setattr(Batch, "pack", told(Batch.pack))
        await fired(request_trigger(apple))
        assert len(threads) == 2
        assert threading.current_thread() not in threads

    async def test_a_second_triggerer_gets_the_same_exports(self, apple: Emulator) -> None:
        first, second = [await fired(request_trigger(apple, dataset="delivery", channel_ids=None)) for _ in range(2)]
        assert first == second
        assert apple.ledger.exports_created == 1

    @pytest.mark.parametrize(
        ("changes", "cls"),
        [
            ({"export_end_date": day(0)}, ApnsInvalidRequestError),
            ({"channel_ids": None}, ApnsInvalidRequestError),
            ({"dataset": "news"}, ApnsInvalidRequestError),
            ({"channel_ids": [UNKNOWN]}, ApnsNotFoundError),
            ({"app_id": "com.example.other"}, ApnsTokenError),
        ],
    )
    async def test_reports_a_failure_with_its_class(
        self, apple: Emulator, changes: dict[str, Any], cls: type[ApnsError]
    ) -> None:
        assert type(ApnsError.from_event(await fired(request_trigger(apple, **changes)))) is cls

    async def test_missing_channels_can_be_skipped(self, apple: Emulator) -> None:
        wanted = [UNKNOWN, *apple.channel_ids[:2]]
        event = await fired(request_trigger(apple, channel_ids=wanted, on_missing_channel="skip"))
        batch = Batch.unpack(event["exports"])
        assert batch.missing == (UNKNOWN,)
        assert len(batch.exports) == 2
