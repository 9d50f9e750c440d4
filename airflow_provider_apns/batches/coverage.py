"""A calendar of a path: which days are settled, stored, missing or lost."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from enum import Enum

from airflow_provider_apns.batches.completeness import Stored, is_settled, lost_days
from airflow_provider_apns.protocol.days import Days

DAYS_SHOWN = 60


class Coverage(Enum):
    """The state of a day. The value is its mark in the calendar."""

    SETTLED = "#"
    STORED = "+"
    MISSING = "?"
    LOST = "x"
    BEFORE = "."

    @property
    def meaning(self) -> str:
        """The state in words."""
        return {
            Coverage.SETTLED: "stored and settled",
            Coverage.STORED: "stored, not settled",
            Coverage.MISSING: "missing: Apple still has the data",
            Coverage.LOST: "lost: Apple has deleted the data",
            Coverage.BEFORE: "before the first stored day",
        }[self]


def coverage(stored: Stored, today: date, settle_days: int) -> dict[date, Coverage]:
    """
    Tell what a path has of the last 60 days.

    :param stored: the stored days, and when each was written.
    :param today: the current day in UTC.
    :param settle_days: days after a day's end for which Apple's numbers grow.
    """
    available, lost = Days.available(today), set(lost_days(stored, today))

    def state(day: date) -> Coverage:
        if day in stored:
            return Coverage.SETTLED if is_settled(day, stored[day], settle_days) else Coverage.STORED
        if day in available:
            return Coverage.MISSING
        return Coverage.LOST if day in lost else Coverage.BEFORE

    return {day: state(day) for day in Days(today - timedelta(days=DAYS_SHOWN), available.last)}


def is_complete(days: dict[date, Coverage]) -> bool:
    """Whether nothing is missing or lost."""
    return not {Coverage.MISSING, Coverage.LOST} & set(days.values())


def calendar(days: dict[date, Coverage]) -> str:
    """Return the days as text: a line for each week, from Monday on."""
    lines, monday = ["            Mo Tu We Th Fr Sa Su"], min(days) - timedelta(days=min(days).weekday())
    while monday <= max(days):
        week = [days.get(monday + timedelta(days=n)) for n in range(7)]
        lines.append(f"{monday}   {'  '.join(state.value if state else ' ' for state in week)}".rstrip())
        monday += timedelta(days=7)
    counts = Counter(days.values())
    return "\n".join([*lines, "", *(f"{s.value}  {counts[s]:2} {s.meaning}" for s in Coverage if counts[s])])
