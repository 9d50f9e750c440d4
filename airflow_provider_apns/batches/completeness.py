"""Which days a path lacks: the state is the store itself, and the rules are here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_provider_apns.protocol.days import Days

if TYPE_CHECKING:
    from airflow_provider_apns.batches.layout import Key

LOOK_BACK = 90
"""How many days back it is told what was lost."""

Stored = Mapping[date, datetime | None]
"""The days that are stored, and when each was written; ``None`` where the store does not tell."""


def looked_at(today: date) -> Days:
    """Return the days that are looked for in the store."""
    return Days(today - timedelta(days=LOOK_BACK), today - timedelta(days=1))


def is_settled(day: date, modified: datetime | None, settle_days: int) -> bool:
    """
    Tell whether Apple's numbers of a stored day had stopped growing when it was written.

    :param day: the day.
    :param modified: when its object was written; ``None`` where the store does not tell, which counts as settled.
    :param settle_days: days after the day's end for which Apple's numbers grow.
    """
    settled_at = datetime.combine(day + timedelta(days=1 + settle_days), time(), timezone.utc)
    return modified is None or modified >= settled_at


def stored_days(objects: Mapping[Key, datetime | None]) -> dict[date, datetime | None]:
    """
    Return when each day was written: the earliest of its objects, where there are several.

    :param objects: the objects, and when each was written.
    """
    days: dict[date, datetime | None] = {}
    for key, modified in objects.items():
        if key.day is not None:
            times = (days.get(key.day, modified), modified)
            days[key.day] = min((moment for moment in times if moment), default=None)
    return days


def wanted_days(stored: Stored, today: date, settle_days: int) -> frozenset[date]:
    """Return the days of Apple's that are not stored, or not settled."""
    return frozenset(
        day for day in Days.available(today) if day not in stored or not is_settled(day, stored[day], settle_days)
    )


def lost_days(stored: Collection[date], today: date) -> list[date]:
    """Return the days that are too old for Apple and not stored, after an older day that is."""
    oldest, available = min(stored, default=today), Days.available(today)
    return [day for day in looked_at(today) if oldest < day < available.first and day not in stored]


def new_channels(
    channel_ids: Iterable[str], stored: Stored, channels_of: Callable[[date], Collection[str]]
) -> set[str]:
    """
    Return the channels that no stored day has rows of.

    :param channel_ids: the channels.
    :param stored: the days that are stored.
    :param channels_of: returns the channels that a stored day has rows of; asked for as few days as will do.
    """
    unseen = set(channel_ids)
    for day in sorted(stored, reverse=True):
        if not unseen:
            break
        unseen.difference_update(channels_of(day))
    return unseen
