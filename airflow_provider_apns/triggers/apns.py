"""Waiting for Apple to build exports, in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_apns.batches.batch import Batch
from airflow_provider_apns.batches.waiting import wait_for_exports
from airflow_provider_apns.exceptions import ApnsError
from airflow_provider_apns.protocol.exports import Export

RESUME_DELAY = 7.0
"""
Seconds before a deferred task may be resumed.

The scheduler fails a task that is queued again before the executor has reported that the worker which deferred it is
gone; Airflow 3's supervisor looks for that every five seconds (``[workers] min_heartbeat_interval``).
"""


@cache
def _hooks() -> Any:
    """Load the HTTP libraries: in a thread, the first time, since that would block the event loop for a while."""
    return import_module("airflow_provider_apns.hooks.apns_async")


class _QuietEvent(TriggerEvent):
    """An event that shows itself without its payload: Airflow logs it, and that of a large batch is long."""

    def __repr__(self) -> str:
        return "TriggerEvent<the wait has ended>"

    __str__ = __repr__


class _WaitingTrigger(BaseTrigger):
    """
    Waits for exports, and tells with one small event how it ended; ``ApnsError.from_event`` reads a failure.

    Any error outside of the provider's family is left to Airflow.

    :param apns_conn_id: the connection; nothing of its content is kept here.
    :param poke_interval: the longest time between two looks at an export, in seconds.
    :param max_concurrency: how many status requests at once.
    :param first_delay: seconds until the first look, at the least.
    """

    def __init__(
        self, *, apns_conn_id: str, poke_interval: float, max_concurrency: int, first_delay: float = RESUME_DELAY
    ) -> None:
        super().__init__()
        self.apns_conn_id = apns_conn_id
        self.poke_interval = poke_interval
        self.max_concurrency = max_concurrency
        self.first_delay = first_delay

    def _status_urls(self) -> Sequence[str]:
        raise NotImplementedError

    def _event(self, failed: dict[str, str]) -> dict[str, Any]:
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        return f"{__name__}.{type(self).__name__}", {
            "apns_conn_id": self.apns_conn_id,
            "poke_interval": self.poke_interval,
            "max_concurrency": self.max_concurrency,
            "first_delay": self.first_delay,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and fire one event."""
        hooks = _hooks() if _hooks.cache_info().currsize else await asyncio.to_thread(_hooks)
        try:
            async with hooks.ApnsAsyncHook(self.apns_conn_id) as hook:
                failed = await wait_for_exports(
                    hook,
                    self._status_urls(),
                    poke_interval=self.poke_interval,
                    max_concurrency=self.max_concurrency,
                    first_delay=self.first_delay,
                )
            event = self._event(failed)
        except ApnsError as error:
            event = error.to_event()
        yield _QuietEvent(event)  # type: ignore[call-arg]


class ApnsExportTrigger(_WaitingTrigger):
    """
    Waits for one export.

    :param status_url: the export.
    :param arguments: those of the wait: ``apns_conn_id``, ``poke_interval`` and ``first_delay``.
    """

    def __init__(self, *, status_url: str, max_concurrency: int = 1, **arguments: Any) -> None:
        super().__init__(max_concurrency=max_concurrency, **arguments)
        self.status_url = status_url

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        path, arguments = super().serialize()
        return path, {"status_url": self.status_url, **arguments}

    def _status_urls(self) -> Sequence[str]:
        return [self.status_url]

    def _event(self, failed: dict[str, str]) -> dict[str, Any]:
        for status_url, status in failed.items():
            Export(status_url, status).check()
        return {"status_url": self.status_url}


class ApnsBatchTrigger(_WaitingTrigger):
    """
    Waits for all exports of one task.

    :param exports: the packed :class:`~airflow_provider_apns.batches.batch.Batch`.
    :param arguments: those of the wait: ``apns_conn_id``, ``poke_interval``, ``max_concurrency`` and ``first_delay``.
    """

    def __init__(self, *, exports: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.exports = exports

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and arguments."""
        path, arguments = super().serialize()
        return path, {"exports": self.exports, **arguments}

    def _status_urls(self) -> Sequence[str]:
        return Batch.unpack(self.exports).status_urls

    def _event(self, failed: dict[str, str]) -> dict[str, Any]:
        # With the batch: `dag.test()` forgets all that a task hands on to its resumption but the event.
        return {
            "exports": self.exports,
            "failed": [index for index, url in enumerate(self._status_urls()) if url in failed],
        }
