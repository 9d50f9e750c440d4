"""The token's life on real HTTP, in triggers: replaced while a task waits, refused, or expired meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_provider_apns.emulator import Emulator

pytestmark = pytest.mark.integration

NEW_TOKEN = "the-token-that-replaces-it"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write the connection, as a person would in Airflow's form."""

    def _connect(apple: Emulator, **fields: str) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", json.dumps(json.loads(apple.connection_json) | fields))

    return _connect


@pytest.fixture
def apple(connect: Callable[..., None]) -> Iterator[Emulator]:
    with Emulator(channels=3, processing_polls=12) as apple:
        connect(apple)
        yield apple


async def looked(apple: Emulator, times: int, waiting: asyncio.Future[TriggerEvent]) -> None:
    """Wait until a trigger has looked so often."""
    while apple.ledger.gets < times:
        assert not waiting.done(), waiting.result()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("dataset", ["application", "channel", "delivery"])
async def test_replaced_while_a_trigger_waits(
    apple: Emulator, connect: Callable[..., None], yesterday: date, dataset: str
) -> None:
    """Each of the articles has its own status for a token that is not valid: 401, or 404 for deliveries."""
    from airflow_provider_apns.hooks.apns import ApnsHook
    from airflow_provider_apns.triggers.apns import ApnsExportTrigger

    days = yesterday - timedelta(days=2), yesterday
    channel_id = apple.channel_ids[0] if dataset == "channel" else None
    status_url = ApnsHook().request_export(dataset, *days, channel_id).status_url
    trigger = ApnsExportTrigger(status_url=status_url, apns_conn_id="apns_default", poke_interval=0.05, first_delay=0.0)
    waiting = asyncio.ensure_future(anext(trigger.run()))
    await looked(apple, 3, waiting)
    apple.rotate_token(NEW_TOKEN)
    connect(apple)
    event = await asyncio.wait_for(waiting, 20)
    assert event.payload["status_url"] == status_url
    assert "error" not in event.payload
    refused = apple.ledger.count("status", 404 if dataset == "delivery" else 401)
    assert refused == 1
    assert apple.ledger.violations == []


async def test_replaced_while_a_batch_waits(apple: Emulator, connect: Callable[..., None], yesterday: date) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

    operator = ApnsToObjectStorageOperator(
        task_id="x",
        dataset="channel",
        channel_ids=list(apple.channel_ids),
        first_day=yesterday - timedelta(days=2),
        last_day=yesterday,
        path="/nowhere/x.csv",
        poke_interval=0.05,
    )
    with pytest.raises(TaskDeferred) as deferred:
        await asyncio.to_thread(operator.execute, {})
    trigger = deferred.value.trigger
    trigger.first_delay = 0.0
    waiting = asyncio.ensure_future(anext(trigger.run()))
    await looked(apple, 6, waiting)
    apple.rotate_token(NEW_TOKEN)
    connect(apple)
    assert "error" not in (await asyncio.wait_for(waiting, 20)).payload


async def test_not_replaced_in_time(apple: Emulator, yesterday: date) -> None:
    """The sensor fails at once, and says what to do."""
    from airflow_provider_apns.exceptions import ApnsError, ApnsTokenError
    from airflow_provider_apns.hooks.apns import ApnsHook
    from airflow_provider_apns.triggers.apns import ApnsExportTrigger

    export = ApnsHook().request_export("application", yesterday - timedelta(days=2), yesterday)
    apple.rotate_token(NEW_TOKEN)
    trigger = ApnsExportTrigger(
        status_url=export.status_url, apns_conn_id="apns_default", poke_interval=0.05, first_delay=0.0
    )
    event = await asyncio.wait_for(anext(trigger.run()), 20)
    error = ApnsError.from_event(event.payload)
    assert isinstance(error, ApnsTokenError)
    assert "CloudKit Console" in str(error)
    assert apple.ledger.gets == 1


async def test_expires_while_a_trigger_waits(connect: Callable[..., None], yesterday: date) -> None:
    from airflow_provider_apns.hooks.apns import ApnsHook
    from airflow_provider_apns.triggers.apns import ApnsExportTrigger

    with Emulator(jwt=True, token_expires_in_days=3 / 86_400, processing_polls=10_000) as apple:
        connect(apple)
        export = ApnsHook().request_export("application", yesterday - timedelta(days=2), yesterday)
        trigger = ApnsExportTrigger(
            status_url=export.status_url, apns_conn_id="apns_default", poke_interval=0.2, first_delay=0.0
        )
        event = await asyncio.wait_for(anext(trigger.run()), 30)
    assert event.payload["error"] == "ApnsTokenError"
    assert f"expired on {datetime.now(timezone.utc):%Y-%m-%d}" in event.payload["message"]
