"""Writing rows into their objects, and keeping the stored rows that a run does not replace."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING

from airflow_provider_apns.batches.concurrency import all_in_threads, map_in_threads
from airflow_provider_apns.reports.columns import normalised_columns
from airflow_provider_apns.reports.formats import CONTENT_TYPES, Format
from airflow_provider_apns.reports.stored import read_stored
from airflow_provider_apns.reports.tables import Table
from airflow_provider_apns.reports.writing import write_rows
from airflow_provider_apns.storage import Download, check_free, object_path, publish, read

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_apns.batches.layout import Key, Layout
    from airflow_provider_apns.protocol.datasets import Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Written(Download):
    """
    An object that was written.

    :param rows: how many rows it has.
    :param rows_kept: how many of them are stored rows that this run did not replace.
    :param days: the days whose content is new or has changed.
    :param days_unchanged: the other days that were asked for.
    """

    rows: int
    rows_kept: int = 0
    days: frozenset[date] = frozenset()
    days_unchanged: frozenset[date] = frozenset()


@dataclass(frozen=True)
class Destination:
    """
    Where a task writes.

    :param layout: which rows go into which object.
    :param output_format: the objects' format.
    :param dataset: the rows' dataset.
    :param conn_id: the object store's connection, if the path does not name it.
    """

    layout: Layout
    output_format: Format
    dataset: Dataset
    conn_id: str | None = None

    def check(self) -> None:
        """
        Check the store before anything is sent.

        :raises ApnsStorageError: if its file system, package or connection is missing.
        """
        object_path(self.layout.template, self.conn_id)

    def check_free(self, keys: Iterable[Key]) -> None:
        """
        Check that no object exists yet.

        :raises ApnsStorageError: naming the first object that exists.
        """
        all_in_threads(lambda key: check_free(self._object(key), overwrite=False), keys)

    def read(self, key: Key) -> Table | None:
        """
        Read a stored object.

        :return: its rows, or ``None`` if there is no object.
        :raises ApnsStorageError: if this provider did not write it.
        """
        path = self._object(key)
        data = read(path)
        return None if data is None else read_stored(data, self.dataset, self.output_format, str(path))

    async def write(self, table: Table, keys: Sequence[Key], days: Collection[date]) -> AsyncIterator[Written]:
        """
        Write rows, each object whole or not at all, and keep the stored rows that the new ones do not replace.

        :param table: the rows.
        :param keys: the objects to write.
        :param days: the days that were exported.
        :return: the objects, one by one.
        """
        groups, oldest = self.layout.group(table), min((key.day for key in keys if key.day), default=None)

        def write(key: Key) -> Written:
            path, stored = self._object(key), self.read(key)
            fresh = Table(normalised_columns(self.dataset))
            fresh.add(groups.get(key, []), table.columns)
            merged, kept = merge(fresh, stored)
            asked = frozenset([key.day] if key.day else days)
            changed = changed_days(merged, stored) if stored else asked
            data = write_rows(merged.rows, merged.columns, self.output_format)
            result = publish(path, data, CONTENT_TYPES[self.output_format])
            return Written(result.path, result.size, result.sha256, len(merged.rows), kept, changed, asked - changed)

        # The oldest day is written only after all others: see Layout.keys.
        for _, some in groupby(keys, lambda key: key.day == oldest):
            async for written in map_in_threads(write, some):
                yield written

    def _object(self, key: Key) -> ObjectStoragePath:
        return object_path(self.layout.path_of(key), self.conn_id)


def merge(fresh: Table, stored: Table | None) -> tuple[Table, int]:
    """
    Add the stored rows of other days, apps and channels to the new rows.

    :param fresh: the new rows.
    :param stored: the stored rows.
    :return: all rows, and how many of them are stored ones.
    """
    if stored is None:
        return fresh, 0
    owner = [name for name in ("date", "app_id", "channel_id") if any(c.name == name for c in fresh.columns)]
    brought, owner_of = set(map(fresh.values_of(owner), fresh.rows)), stored.values_of(owner)
    kept = [row for row in stored.rows if owner_of(row) not in brought]
    merged = Table(fresh.columns)
    merged.add(fresh.rows, fresh.columns)
    merged.add(kept, stored.columns)
    merged.sort()
    return merged, len(kept)


def changed_days(merged: Table, stored: Table) -> frozenset[date]:
    """Return the days whose rows differ from the stored ones."""
    before = Table(merged.columns)
    before.add(stored.rows, stored.columns)
    before.sort()
    old, new = before.by(["date"]), merged.by(["date"])
    days = (day for (day,) in old.keys() | new.keys() if old.get((day,)) != new.get((day,)))
    return frozenset(day for day in days if isinstance(day, date))
