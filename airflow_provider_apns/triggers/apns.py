"""Waiting for Apple to build exports, in the triggerer."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import date, datetime, timezone
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSuccessEvent, TriggerEvent

from airflow_provider_apns.batches import Batch, Order, check_missing, request_exports, wait_for_exports
from airflow_provider_apns.exceptions import ApnsError
from airflow_provider_apns.exports import Window

if TYPE_CHECKING:
    from airflow_provider_apns.hooks.apns import ApnsAsyncHook

RESUME_DELAY = 7.0
"""
Seconds before a deferred task may be resumed.

The scheduler fails a task that is queued again before the executor has reported that the worker which deferred it is
gone; Airflow 3's supervisor looks for that every five seconds (``[workers] min_heartbeat_interval``).
"""


@cache
def _hooks() -> Any:
    """Load the HTTP libraries: in a thread, the first time, since that would block the event loop for a while."""
    return import_module("airflow_provider_apns.hooks.apns")


class _QuietEvent(TriggerEvent):
    """An event that shows itself without its payload: Airflow logs it, and that of a large batch is long."""

    def __repr__(self) -> str:
        return "TriggerEvent<the exports are ready>"

    __str__ = __repr__


class _WaitingTrigger(BaseTrigger):
    """
    Waits for exports, and tells with one small event how it ended; ``ApnsError.from_event`` reads a failure.

    Any error outside of the provider's family is left to Airflow.

    :param apns_conn_id: the connection; nothing of its content is kept here.
    :param poke_interval: the longest time between two looks at an export, in seconds.
    :param first_delay: seconds until the first look, at the least; without it, those that a new export needs.
    """

    def __init__(self, *, apns_conn_id: str, poke_interval: float, first_delay: float | None = None) -> None:
        super().__init__()
        self.apns_conn_id = apns_conn_id
        self.poke_interval = poke_interval
        self.first_delay = first_delay

    @abstractmethod
    async def _wait(self, hook: ApnsAsyncHook) -> TriggerEvent:
        """Wait, and return the event that says so."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire one event."""
        hooks = _hooks() if _hooks.cache_info().currsize else await asyncio.to_thread(_hooks)
        try:
            async with hooks.ApnsAsyncHook(self.apns_conn_id) as hook:
                event = await self._wait(hook)
        except ApnsError as error:
            event = TriggerEvent(error.to_event())
        yield event


class ApnsExportTrigger(_WaitingTrigger):
    """
    Waits for one export.

    :param status_url: the export.
    :param apns_conn_id: the connection.
    :param poke_interval: the longest time between two looks, in seconds.
    :param first_delay: seconds until the first look, at the least; without it, those that a new export needs.
    :param xcom_key: ends the task from the trigger, without a worker, and keeps the status URL under this XCom key;
        an empty key keeps none. Without it, the task is resumed.
    """

    def __init__(
        self,
        *,
        status_url: str,
        apns_conn_id: str,
        poke_interval: float,
        first_delay: float | None = RESUME_DELAY,
        xcom_key: str | None = None,
    ) -> None:
        super().__init__(apns_conn_id=apns_conn_id, poke_interval=poke_interval, first_delay=first_delay)
        self.status_url = status_url
        self.xcom_key = xcom_key

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        return f"{__name__}.ApnsExportTrigger", {
            "status_url": self.status_url,
            "apns_conn_id": self.apns_conn_id,
            "poke_interval": self.poke_interval,
            "first_delay": self.first_delay,
            "xcom_key": self.xcom_key,
        }

    async def _wait(self, hook: ApnsAsyncHook) -> TriggerEvent:
        await wait_for_exports(
            hook,
            [self.status_url],
            poke_interval=self.poke_interval,
            max_concurrency=1,
            first_delay=self.first_delay,
        )
        if self.xcom_key is None:
            return TriggerEvent({"status_url": self.status_url})
        return TaskSuccessEvent(xcoms={self.xcom_key: self.status_url} if self.xcom_key else None)


class ApnsBatchTrigger(_WaitingTrigger):
    """
    Waits for all exports of one task.

    :param exports: the packed :class:`~airflow_provider_apns.batches.Batch`.
    :param apns_conn_id: the connection.
    :param poke_interval: the longest time between two looks at an export, in seconds.
    :param max_concurrency: how many status requests at once.
    :param first_delay: seconds until the first look, at the least.
    """

    def __init__(
        self,
        *,
        exports: str,
        apns_conn_id: str,
        poke_interval: float,
        max_concurrency: int,
        first_delay: float = RESUME_DELAY,
    ) -> None:
        super().__init__(apns_conn_id=apns_conn_id, poke_interval=poke_interval, first_delay=first_delay)
        self.exports = exports
        self.max_concurrency = max_concurrency

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        return f"{__name__}.ApnsBatchTrigger", {
            "exports": self.exports,
            "apns_conn_id": self.apns_conn_id,
            "poke_interval": self.poke_interval,
            "first_delay": self.first_delay,
            "max_concurrency": self.max_concurrency,
        }

    async def _wait(self, hook: ApnsAsyncHook) -> TriggerEvent:
        await wait_for_exports(
            hook,
            Batch.unpack(self.exports).status_urls,
            poke_interval=self.poke_interval,
            max_concurrency=self.max_concurrency,
            first_delay=self.first_delay,
        )
        return _QuietEvent({"exports": self.exports})  # type: ignore[call-arg]


class ApnsRequestTrigger(_WaitingTrigger):
    """
    Requests all exports of one task and waits for them, for a task that starts from its trigger.

    A second triggerer that takes over asks for the same exports again, which by Apple's rule gives the same ones.

    :param dataset: the dataset.
    :param export_start_date: first day.
    :param export_end_date: last day, included.
    :param channel_ids: the channels, for the channel dataset.
    :param app_id: bundle identifier, if not the connection's.
    :param on_missing_channel: ``fail`` or ``skip``.
    :param apns_conn_id: the connection.
    :param poke_interval: the longest time between two looks at an export, in seconds.
    :param max_concurrency: how many requests at once.
    """

    def __init__(
        self,
        *,
        dataset: str,
        export_start_date: str,
        export_end_date: str,
        channel_ids: list[str] | str | None,
        app_id: str | None,
        on_missing_channel: str,
        apns_conn_id: str,
        poke_interval: float,
        max_concurrency: int,
    ) -> None:
        super().__init__(apns_conn_id=apns_conn_id, poke_interval=poke_interval)
        self.dataset = dataset
        self.export_start_date = export_start_date
        self.export_end_date = export_end_date
        self.channel_ids = channel_ids
        self.app_id = app_id
        self.on_missing_channel = on_missing_channel
        self.max_concurrency = max_concurrency

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        return f"{__name__}.ApnsRequestTrigger", {
            "dataset": self.dataset,
            "export_start_date": self.export_start_date,
            "export_end_date": self.export_end_date,
            "channel_ids": self.channel_ids,
            "app_id": self.app_id,
            "on_missing_channel": self.on_missing_channel,
            "apns_conn_id": self.apns_conn_id,
            "poke_interval": self.poke_interval,
            "max_concurrency": self.max_concurrency,
        }

    async def _wait(self, hook: ApnsAsyncHook) -> TriggerEvent:
        today = datetime.now(tz=timezone.utc).date()
        # Thousands of channels would block the event loop: they are read in a thread, and packed in one.
        order = await asyncio.to_thread(self._order, today)
        app_id = (await hook.get_account()).resolve_app_id(self.app_id)
        batch = await request_exports(hook, order, app_id=app_id, today=today, max_concurrency=self.max_concurrency)
        check_missing(batch, self.on_missing_channel)
        await wait_for_exports(
            hook,
            batch.status_urls,
            poke_interval=self.poke_interval,
            max_concurrency=self.max_concurrency,
        )
        return _QuietEvent({"exports": await asyncio.to_thread(batch.pack)})  # type: ignore[call-arg]

    def _order(self, today: date) -> Order:
        window = Window.read(self.export_start_date, self.export_end_date, today)
        return Order.read(self.dataset, window, self.channel_ids)
