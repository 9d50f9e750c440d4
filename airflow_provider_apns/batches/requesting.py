"""Requesting all exports of a task."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from airflow_provider_apns.batches.batch import Asked, Batch, Channel
from airflow_provider_apns.batches.concurrency import Progress, for_each
from airflow_provider_apns.batches.failures import Failures
from airflow_provider_apns.exceptions import (
    ApnsError,
    ApnsExportFailedError,
    ApnsNotFoundError,
    ApnsRefusedError,
    ApnsServiceError,
)
from airflow_provider_apns.hooks.connections import utc_now
from airflow_provider_apns.protocol.days import Days
from airflow_provider_apns.protocol.exports import Export, ExportRequest

if TYPE_CHECKING:
    from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
    from airflow_provider_apns.protocol.datasets import Dataset

log = logging.getLogger(__name__)

MAX_OTHER_WAYS = 2
"""How many other windows are requested if an export fails."""

_OLD_EXPORT = timedelta(minutes=10)


@dataclass(frozen=True)
class Requester:
    """
    Requests exports.

    :param hook: the transport.
    :param dataset: the dataset.
    :param app_id: the bundle identifier.
    :param now: the current time.
    :param max_concurrency: how many requests at once.
    """

    hook: ApnsAsyncHook
    dataset: Dataset
    app_id: str
    now: datetime
    max_concurrency: int

    async def request(self, batch: Batch) -> Batch:
        """Request an export for each channel."""
        return await self._ask(batch, [(channel, 0) for channel in batch.wanted])

    async def heal(self, batch: Batch, failed: Collection[int]) -> Batch:
        """
        Replace failed exports by exports of other windows that contain the same days.

        :param batch: the batch.
        :param failed: the indexes of the failed exports.
        :return: the batch with the new exports.
        """
        tries = {batch.exports[index].channel_id: batch.exports[index].tries + 1 for index in failed}
        given_up = {channel: tried - 1 for channel, tried in tries.items() if tried > MAX_OTHER_WAYS}
        failures = Failures()
        for index in failed:
            export = batch.exports[index]
            if export.channel_id in given_up:
                failures.add(export.channel_id, _given_up(export))
        log.warning("%s exports failed; requesting their days in other windows.", f"{len(failed):,}")
        batch = replace(batch.without(set(tries)), failed={**batch.failed, **failures.channels})
        return await self._ask(batch, [(c, tried) for c, tried in tries.items() if c not in given_up])

    async def _ask(self, batch: Batch, channels: list[tuple[Channel, int]]) -> Batch:
        exports: dict[Channel, list[Asked]] = {}
        missing: set[str] = set()
        failures, old = Failures(), _OldExports(self.now)
        progress = Progress("%s of %s exports requested.", len(channels))

        async def ask(item: tuple[Channel, int]) -> None:
            channel, tries = item
            try:
                asked = [await self._export(channel, days) for days in self._windows(batch, channel, tries)]
            except ApnsNotFoundError as error:
                if channel is None:
                    raise error
                missing.add(channel)
            except ApnsError as error:
                failures.add(channel, error)
            else:
                failures.succeeded()
                old.look_at(asked)
                exports[channel] = [Asked(channel, export.status_url, tries) for export in asked]
            progress.step()

        await for_each(channels, ask, self.max_concurrency)
        old.tell()
        return replace(
            batch,
            exports=(*batch.exports, *(asked for channel, _ in channels for asked in exports.get(channel, ()))),
            missing=(*batch.missing, *(channel for channel, _ in channels if channel in missing)),
            failed={**batch.failed, **failures.channels},
        )

    def _windows(self, batch: Batch, channel: Channel, tries: int) -> tuple[Days, ...]:
        ways = Days.around(batch.wanted[channel]).ways_to_ask(self.now.date())
        if (windows := next(islice(ways, tries, None), None)) is None:
            raise ApnsExportFailedError("The export failed, and no other window contains its days.")
        return windows

    async def _export(self, channel: Channel, days: Days) -> Export:
        try:
            return await self.hook.request_export(ExportRequest(self.dataset, days, channel), self.app_id)
        except ApnsRefusedError as error:
            if days.first in Days.available(utc_now().date()):
                raise
            raise ApnsServiceError(
                f"Apple has deleted {days.first} since the task started, at midnight UTC. Run the task again: it then "
                "exports the days that Apple still has."
            ) from error


def _given_up(export: Asked) -> ApnsExportFailedError:
    return ApnsExportFailedError(
        f"Apple could not build the export {export.status_url}, nor {MAX_OTHER_WAYS} others of the same days. For 24 "
        "hours, Apple answers the same requests with the same exports: run the task again after that."
    )


class _OldExports:
    """Notices exports that Apple built for an earlier request."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._oldest: datetime | None = None
        self._count = 0

    def look_at(self, exports: list[Export]) -> None:
        for export in exports:
            if export.requested_at and self._now - export.requested_at > _OLD_EXPORT:
                self._count += 1
                self._oldest = min(self._oldest or self._now, export.requested_at)

    def tell(self) -> None:
        if self._oldest is not None:
            log.info(
                "Apple answers with %s made earlier, the oldest at %s UTC. The same request gets the same export "
                "for 24 hours, so it lacks what Apple has counted since.",
                "an export" if self._count == 1 else f"{self._count:,} exports",
                f"{self._oldest:%Y-%m-%d %H:%M}",
            )
