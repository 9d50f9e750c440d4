"""What a task will export: the days that it was given, or the days that its path lacks."""

from __future__ import annotations

import logging
from datetime import date, datetime
from typing import TYPE_CHECKING

from airflow_provider_apns.batches.arguments import ALL_CHANNELS, check_channels, is_elsewhere
from airflow_provider_apns.batches.batch import Batch
from airflow_provider_apns.batches.completeness import (
    is_settled,
    looked_at,
    lost_days,
    new_channels,
    stored_days,
    wanted_days,
)
from airflow_provider_apns.batches.layout import Key
from airflow_provider_apns.batches.listing import list_objects
from airflow_provider_apns.batches.registering import load
from airflow_provider_apns.exceptions import ApnsStorageError
from airflow_provider_apns.protocol.channel_ids import read_channel_ids
from airflow_provider_apns.protocol.days import Days
from airflow_provider_apns.reports.register import seen_since
from airflow_provider_apns.storage import object_path

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_apns.batches.job import Job
    from airflow_provider_apns.batches.publishing import Destination

log = logging.getLogger(__name__)

_DAYS_NAMED = 30


def plan_days(destination: Destination, channel_ids: tuple[str, ...], days: Days, now: datetime) -> Batch:
    """
    Plan the export of the days that a task was given.

    :param destination: where to write.
    :param channel_ids: the channels; empty for datasets without channels.
    :param days: the days.
    :param now: the current time.
    """
    wanted = dict.fromkeys(_units(destination, channel_ids), frozenset(days))
    return Batch(destination.layout.template, wanted, now)


def plan_completion(destination: Destination, channel_ids: tuple[str, ...], settle_days: int, now: datetime) -> Batch:
    """
    Plan the export of the days that Apple still has and a path lacks.

    The store is the only state: which objects it has, and when they were written.

    :param destination: where to write.
    :param channel_ids: the channels; empty for datasets without channels.
    :param settle_days: how many days after its end a day's numbers keep growing.
    :param now: the current time.
    """
    today, layout = now.date(), destination.layout
    path = object_path(layout.template, destination.conn_id)
    objects = list_objects(path.fs, path.path, looked_at(today))
    stored: dict[str | None, dict[date, datetime | None]] = {}
    for key, modified in objects.items():
        if key.day:
            stored.setdefault(key.channel_id, {})[key.day] = modified
    wanted = {
        channel: wanted_days(stored.get(channel if layout.per_channel else None, {}), today, settle_days)
        for channel in _units(destination, channel_ids)
    }
    settled: frozenset[date] = frozenset()
    if channel_ids and not layout.per_channel:
        shared = stored.get(None, {})
        settled = frozenset(day for day, modified in shared.items() if is_settled(day, modified, settle_days))
        new = new_channels(channel_ids, shared, lambda day: channels_of(destination, day))
        wanted |= dict.fromkeys(new, frozenset(Days.available(today)))
    lost = lost_days(stored_days(objects), today)
    wanted = {channel: days for channel, days in wanted.items() if days}
    return Batch(layout.template, wanted, now, settled, tuple(lost))


def find_channels(job: Job, channel_ids: object, first_day: date) -> tuple[str, ...]:
    """
    Find a task's channels, which a DAG author gives as a list, as ``all``, or as a register's path.

    :param job: the task's job.
    :param channel_ids: the argument.
    :param first_day: the first day wanted. A register yields the channels that were seen on this day or later.
    :return: the channel ids; empty for a dataset without channels.
    :raises ApnsInvalidRequestError: if the argument is not a list of channel ids, or does not fit the dataset.
    """
    dataset = job.destination.dataset
    check_channels(dataset, channel_ids)
    if not dataset.per_channel:
        return ()
    if not isinstance(channel_ids, str) or not is_elsewhere(channel_ids):
        return read_channel_ids(channel_ids)
    if channel_ids == ALL_CHANNELS:
        found = tuple(job.hook.list_channels(job.app_id))
        where = f"{job.app_id} has {len(found):,} channels"
    else:
        found = _registered(object_path(channel_ids, job.destination.conn_id), first_day)
        where = f"The register {channel_ids} has {len(found):,} channels that were seen since {first_day}"
    log.info("%s%s.", where, "" if found else ": there is nothing to export")
    return found


def _registered(path: ObjectStoragePath, first_day: date) -> tuple[str, ...]:
    register = load(path)
    if register is None:
        raise ApnsStorageError(f"There is no register at {path}: run an ApnsListChannelsOperator with this path first.")
    return seen_since(register, first_day)


def _units(destination: Destination, channel_ids: tuple[str, ...]) -> tuple[str | None, ...]:
    return channel_ids if destination.dataset.per_channel else (None,)


def announce(batch: Batch, source: str) -> None:
    """
    Log which days are wanted, and which are lost.

    :param batch: the plan.
    :param source: the dataset and the app, such as ``channel metrics of com.example.app``.
    """
    days = batch.days
    named = ", ".join(map(str, days[:_DAYS_NAMED])) + (", ..." if len(days) > _DAYS_NAMED else "")
    channels = f" of {len(batch.wanted):,} channels" if None not in batch.wanted and batch.wanted else ""
    log.info("%s: %s days%s wanted%s", source, len(days), channels, f": {named}" if days else ".")
    if batch.lost:
        log.warning(
            "%s: %s days are lost: they are not stored, and Apple has deleted them: %s",
            source,
            len(batch.lost),
            ", ".join(map(str, batch.lost)),
        )


def channels_of(destination: Destination, day: date) -> set[str]:
    """Return the channels that have rows in a stored day."""
    table = destination.read(Key(day))
    return {str(channel_id) for (channel_id,) in table.by(["channel_id"])} if table else set()
