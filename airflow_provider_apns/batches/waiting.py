"""Waiting for exports: polling soon at first, then less often, and as late as Apple asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_apns.batches.concurrency import for_each
from airflow_provider_apns.exceptions import ApnsServiceError
from airflow_provider_apns.protocol.retries import poll_delay, retry_delay, should_retry, spread

if TYPE_CHECKING:
    from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook

log = logging.getLogger(__name__)

REMINDER_INTERVAL = 300.0
"""Seconds after which a wait logs a state again that has not changed."""


async def wait_for_exports(
    hook: ApnsAsyncHook,
    status_urls: Sequence[str],
    *,
    poke_interval: float,
    max_concurrency: int,
    first_delay: float | None = None,
) -> dict[str, str]:
    """
    Wait until no export is being built.

    :param hook: the transport.
    :param status_urls: the exports.
    :param poke_interval: the longest time between two polls of an export, in seconds.
    :param max_concurrency: how many polls at once.
    :param first_delay: the least number of seconds until the first poll; by default, as for a new export.
    :return: the exports without a report: ``FAILED`` or ``EXPIRED``, by status URL.
    :raises ApnsServiceError: if a poll fails after all its tries.
    """
    news = _News(len(status_urls))
    failed: dict[str, str] = {}
    looks, pending = 0, status_urls
    delay = poll_delay(0, poke_interval) if first_delay is None else spread(first_delay)
    while True:
        await asyncio.sleep(delay)
        try:
            states = await _look(hook, pending, failed, max_concurrency)
        except ApnsServiceError as error:
            if should_retry(error):  # The hook has already retried it.
                raise
            delay = retry_delay(error, 1)
            log.warning("%s Polling again in %.0f s, as it asks.", error, delay)
            continue
        looks += 1
        if not states:
            return failed
        pending = [status_url for status_url in pending if status_url in states]
        delay = poll_delay(looks, poke_interval)
        news.tell(states, delay)


async def _look(
    hook: ApnsAsyncHook, status_urls: Sequence[str], failed: dict[str, str], max_concurrency: int
) -> dict[str, str]:
    """Return the states of the exports that are being built, and add the failed ones to ``failed``."""
    states: dict[str, str] = {}

    async def look(status_url: str) -> None:
        export = await hook.get_export(status_url)
        if export.has_failed:
            failed[status_url] = export.status
        elif not export.is_ready:
            states[status_url] = export.status

    await for_each(status_urls, look, max_concurrency)
    return states


class _News:
    """
    Logs what has changed since the last poll and, from time to time, what has not.

    :param total: the number of exports.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._started = asyncio.get_running_loop().time()
        self._told: object = None
        self._told_at = 0.0

    def tell(self, states: dict[str, str], delay: float) -> None:
        """
        Log the progress.

        :param states: the states of the exports that are not ready.
        :param delay: seconds until the next poll.
        """
        now = asyncio.get_running_loop().time()
        news = len(states) if self._total > 1 else next(iter(states.values()))
        if news != self._told or now - self._told_at >= REMINDER_INTERVAL:
            self._told, self._told_at = news, now
            waited = now - self._started
            log.info("%s after %.0f s; polling again in %.0f s.", self._describe(states), waited, delay)

    def _describe(self, states: dict[str, str]) -> str:
        if self._total == 1:
            ((status_url, status),) = states.items()
            return f"Export {status_url} is {status}"
        return f"{self._total - len(states):,} of {self._total:,} exports are ready"
