"""What a task does in a worker: request, wait, download, write."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_apns.batches.downloading import download_exports
from airflow_provider_apns.batches.failures import check_failures, describe
from airflow_provider_apns.batches.loops import run_in_thread
from airflow_provider_apns.batches.requesting import Requester
from airflow_provider_apns.batches.summary import Summary
from airflow_provider_apns.batches.waiting import wait_for_exports
from airflow_provider_apns.exceptions import ApnsServiceError
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook

if TYPE_CHECKING:
    from airflow_provider_apns.batches.batch import Batch
    from airflow_provider_apns.batches.layout import Key
    from airflow_provider_apns.batches.publishing import Destination
    from airflow_provider_apns.hooks.apns import ApnsHook
    from airflow_provider_apns.reports.tables import Table

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """
    A task's job, with all arguments checked.

    :param destination: where to write.
    :param hook: the hook, which has read the connection.
    :param app_id: the bundle identifier.
    :param on_channel_error: ``fail`` or ``skip``.
    :param max_concurrency: how many requests at once.
    """

    destination: Destination
    hook: ApnsHook
    app_id: str
    on_channel_error: str
    max_concurrency: int

    def request(self, batch: Batch) -> Batch:
        """Request all exports of a batch."""
        return self._requested(self._run(lambda hook: self._requester(hook, batch.begun_at).request(batch)))

    def heal(self, batch: Batch, failed: Sequence[int], now: datetime) -> Batch:
        """
        Replace failed exports by exports of other windows.

        :param batch: the batch.
        :param failed: the indexes of the failed exports.
        :param now: the current time.
        """
        return self._requested(self._run(lambda hook: self._requester(hook, now).heal(batch, failed)))

    def wait(self, batch: Batch, *, poke_interval: float, timeout: float) -> list[int]:
        """
        Wait in the worker until no export is being built.

        :return: the indexes of the exports that failed.
        :raises ApnsServiceError: if some are still being built after ``timeout`` seconds.
        """

        async def wait(hook: ApnsAsyncHook) -> dict[str, str]:
            waiting = wait_for_exports(
                hook, batch.status_urls, poke_interval=poke_interval, max_concurrency=self.max_concurrency
            )
            try:
                return await asyncio.wait_for(waiting, timeout)
            except asyncio.TimeoutError as error:
                raise ApnsServiceError(f"The exports were not ready within {timeout:.0f} s.") from error

        failed = self._run(wait)
        return [index for index, status_url in enumerate(batch.status_urls) if status_url in failed]

    def write(self, batch: Batch) -> Summary:
        """Download all reports, then write their rows."""
        return self._run(lambda hook: self._write(hook, batch))

    async def _write(self, hook: ApnsAsyncHook, batch: Batch) -> Summary:
        dataset = self.destination.dataset
        table, batch = await download_exports(hook, batch, dataset, self.app_id, self.max_concurrency)
        check_failures(batch.missing, batch.failed, len(batch.wanted), self.on_channel_error)
        if batch.missing or batch.failed:
            log.warning("Channels that could not be exported:\n%s", describe(batch.missing, batch.failed))
        summary = Summary(
            f"{self.app_id}/{dataset.value}", batch.path, batch, self.hook.token_expires_at, list(batch.lost)
        )
        async for written in self.destination.write(table, self._keys(batch, table), batch.days):
            summary.add(written)
        return summary

    def _keys(self, batch: Batch, table: Table) -> list[Key]:
        layout = self.destination.layout
        exported = {export.channel_id for export in batch.exports}
        keys = layout.keys({channel: days for channel, days in batch.wanted.items() if channel in exported})
        if not batch.settled:
            return keys
        brought = layout.group(table)
        return [key for key in keys if key in brought or key.day not in batch.settled]

    def _requested(self, batch: Batch) -> Batch:
        if not batch.exports:
            check_failures(batch.missing, batch.failed, len(batch.wanted), self.on_channel_error)
        return batch

    def _requester(self, hook: ApnsAsyncHook, now: datetime) -> Requester:
        return Requester(hook, self.destination.dataset, self.app_id, now, self.max_concurrency)

    def _run(self, work: Callable[[ApnsAsyncHook], Awaitable[T]]) -> T:
        account = self.hook.account

        async def main() -> T:
            async with ApnsAsyncHook(self.hook.apns_conn_id, max_bytes=self.hook.max_bytes, account=account) as hook:
                return await work(hook)

        return run_in_thread(main)
