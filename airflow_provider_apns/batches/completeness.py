"""The rules for which days a path lacks. They look at nothing but the objects in the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_provider_apns.protocol.days import Days

if TYPE_CHECKING:
    from airflow_provider_apns.batches.layout import Key

LOOK_BACK = 90
"""How many days back lost days are reported."""

Stored = Mapping[date, datetime | None]
"""When each stored day was written; ``None`` if the store does not say."""


def looked_at(today: date) -> Days:
    """Return the days to look for in the store."""
    return Days(today - timedelta(days=LOOK_BACK), today - timedelta(days=1))


def is_settled(day: date, modified: datetime | None, settle_days: int) -> bool:
    """
    Tell whether a day's numbers had stopped growing when its object was written.

    :param day: the day.
    :param modified: when its object was written; ``None`` (the store does not say) counts as settled.
    :param settle_days: how many days after its end a day's numbers keep growing.
    """
    settled_at = datetime.combine(day + timedelta(days=1 + settle_days), time(), timezone.utc)
    return modified is None or modified >= settled_at


def stored_days(objects: Mapping[Key, datetime | None]) -> dict[date, datetime | None]:
    """
    Return when each day was written; if it has several objects, when the earliest of them was.

    :param objects: when each object was written.
    """
    days: dict[date, datetime | None] = {}
    for key, modified in objects.items():
        if key.day is not None:
            times = (days.get(key.day, modified), modified)
            days[key.day] = min((moment for moment in times if moment), default=None)
    return days


def wanted_days(stored: Stored, today: date, settle_days: int) -> frozenset[date]:
    """Return the days that Apple still has, and that are not stored or not settled."""
    return frozenset(
        day for day in Days.available(today) if day not in stored or not is_settled(day, stored[day], settle_days)
    )


def lost_days(stored: Collection[date], today: date) -> list[date]:
    """Return the days that are not stored and that Apple has deleted, if an older day is stored."""
    oldest, available = min(stored, default=today), Days.available(today)
    return [day for day in looked_at(today) if oldest < day < available.first and day not in stored]


def new_channels(
    channel_ids: Iterable[str], stored: Stored, channels_of: Callable[[date], Collection[str]]
) -> set[str]:
    """
    Return the channels that have no rows in any stored day.

    :param channel_ids: the channels.
    :param stored: the stored days.
    :param channels_of: returns the channels that have rows in a stored day; called for as few days as possible.
    """
    unseen = set(channel_ids)
    for day in sorted(stored, reverse=True):
        if not unseen:
            break
        unseen.difference_update(channels_of(day))
    return unseen
