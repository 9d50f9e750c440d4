"""Waiting for Apple to build exports, in the triggerer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_apns.batches import Batch, PackedBatch, wait_for_exports
from airflow_provider_apns.exceptions import ApnsError
from airflow_provider_apns.hooks.apns import ApnsAsyncHook


class _WaitingTrigger(BaseTrigger):
    """
    Waits for exports, and tells with one small event how it ended; ``ApnsError.from_event`` reads a failure.

    Any error outside of the provider's family is left to Airflow.

    :param apns_conn_id: the connection; nothing of its content is kept here.
    :param poke_interval: the longest time between two looks at an export, in seconds.
    """

    def __init__(self, *, apns_conn_id: str, poke_interval: float) -> None:
        super().__init__()
        self.apns_conn_id = apns_conn_id
        self.poke_interval = poke_interval

    @abstractmethod
    def _wait(self, hook: ApnsAsyncHook) -> Any:
        """Return the coroutine that waits, and whose result is the event's payload."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire one event."""
        try:
            async with ApnsAsyncHook(self.apns_conn_id) as hook:
                payload = await self._wait(hook)
        except ApnsError as error:
            payload = error.to_event()
        yield TriggerEvent(payload)


class ApnsExportTrigger(_WaitingTrigger):
    """
    Waits for one export.

    :param status_url: the export.
    :param apns_conn_id: the connection.
    :param poke_interval: the longest time between two looks, in seconds.
    """

    def __init__(self, *, status_url: str, apns_conn_id: str, poke_interval: float) -> None:
        super().__init__(apns_conn_id=apns_conn_id, poke_interval=poke_interval)
        self.status_url = status_url

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        return f"{__name__}.ApnsExportTrigger", {
            "status_url": self.status_url,
            "apns_conn_id": self.apns_conn_id,
            "poke_interval": self.poke_interval,
        }

    async def _wait(self, hook: ApnsAsyncHook) -> dict[str, Any]:
        await wait_for_exports(hook, [self.status_url], poke_interval=self.poke_interval, max_concurrency=1)
        return {"status_url": self.status_url}


class ApnsBatchTrigger(_WaitingTrigger):
    """
    Waits for all exports of one task.

    :param exports: the packed :class:`~airflow_provider_apns.batches.Batch`.
    :param apns_conn_id: the connection.
    :param poke_interval: the longest time between two looks at an export, in seconds.
    :param max_concurrency: how many status requests at once.
    """

    def __init__(self, *, exports: str, apns_conn_id: str, poke_interval: float, max_concurrency: int) -> None:
        super().__init__(apns_conn_id=apns_conn_id, poke_interval=poke_interval)
        self.exports = PackedBatch(exports)
        self.max_concurrency = max_concurrency

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        return f"{__name__}.ApnsBatchTrigger", {
            "exports": self.exports,
            "apns_conn_id": self.apns_conn_id,
            "poke_interval": self.poke_interval,
            "max_concurrency": self.max_concurrency,
        }

    async def _wait(self, hook: ApnsAsyncHook) -> dict[str, Any]:
        status_urls = Batch.unpack(self.exports).status_urls
        await wait_for_exports(
            hook, status_urls, poke_interval=self.poke_interval, max_concurrency=self.max_concurrency
        )
        return {"exports": self.exports}
