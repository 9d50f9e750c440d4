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
Seconds before a deferred task may resume.

If a task is queued again before the executor has reported that its first worker process ended, the scheduler fails it.
Airflow 3's supervisor checks for that every five seconds (``[workers] min_heartbeat_interval``).
"""


@cache
def _hooks() -> Any:
    """Import the HTTP libraries, which takes so long that it must not happen on the event loop."""
    return import_module("airflow_provider_apns.hooks.apns_async")


class _QuietEvent(TriggerEvent):
    """An event whose repr lacks the payload: Airflow logs events, and a large batch is long."""

    def __repr__(self) -> str:
        return "TriggerEvent<the wait has ended>"

    __str__ = __repr__


class _WaitingTrigger(BaseTrigger):
    """
    Waits for exports, and fires one event; ``ApnsError.from_event`` reads a failure.

    All errors but the provider's own are left to Airflow.

    :param apns_conn_id: the connection; the trigger does not store its content.
    :param poke_interval: the longest time between two polls of an export, in seconds.
    :param max_concurrency: how many polls at once.
    :param first_delay: the least number of seconds until the first poll.
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
    :param arguments: ``apns_conn_id``, ``poke_interval`` and ``first_delay``.
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
    :param arguments: ``apns_conn_id``, ``poke_interval``, ``max_concurrency`` and ``first_delay``.
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
        # The event has the batch because `dag.test()` drops the deferral's own arguments.
        return {
            "exports": self.exports,
            "failed": [index for index, url in enumerate(self._status_urls()) if url in failed],
        }
