"""The days of a report, and Apple's rules for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

import pendulum

from airflow_provider_apns.exceptions import ApnsInvalidRequestError

OLDEST_DAY = 30
"""Apple delivers the days from this many days ago to yesterday, in UTC."""


def read_day(value: str | date, name: str) -> date:
    """
    Read a day that a DAG author gives: a ``date``, a ``datetime``, or the text of either in ISO 8601.

    The text may be ``2026-11-23`` or a rendered ``{{ data_interval_start }}``. A ``datetime`` stands for its day in
    UTC; a naive one is taken as UTC. ``name`` is the argument that an error names.
    """
    if isinstance(value, str):
        value = _parse(value.strip(), name)
    if isinstance(value, datetime):
        return _utc_day(value, name)
    if isinstance(value, date):
        return value
    raise ApnsInvalidRequestError(f"{name} must be a date, not {type(value).__name__}.")


def _utc_day(moment: datetime, name: str) -> date:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    try:
        return aware.astimezone(timezone.utc).date()
    except OverflowError:
        raise ApnsInvalidRequestError(f"{name} must be a day in the years 1 to 9999, not {moment}.") from None


@lru_cache(maxsize=64)  # Ten thousand reports share the same thirty days.
def _parse(text: str, name: str) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return date.fromisoformat(text)
        if re.match(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}", text, re.ASCII):
            parsed: object = pendulum.parse(text)
            if isinstance(parsed, datetime):
                return parsed
    except (ValueError, OverflowError):
        pass
    raise ApnsInvalidRequestError(f"{name} must be a day such as 2026-11-23, not {text[:40]!r}.")


@dataclass(frozen=True)
class Days:
    """Consecutive days in UTC, including both ends."""

    first: date
    last: date

    @classmethod
    def parse(cls, first: str | date, last: str | date) -> Days:
        """Read days without checking whether Apple can still deliver them."""
        return cls(read_day(first, "first_day"), read_day(last, "last_day"))

    @classmethod
    def available(cls, today: date) -> Days:
        """Return the days that Apple can deliver. ``today`` is in UTC."""
        return cls(today - timedelta(days=OLDEST_DAY), today - timedelta(days=1))

    @classmethod
    def read(cls, first: str | date, last: str | date, today: date) -> Days:
        """Read days that Apple can still deliver. A single day is allowed here. ``today`` is in UTC."""
        days, available = cls.parse(first, last), cls.available(today)
        if days.last < days.first:
            raise ApnsInvalidRequestError(f"last_day {days.last} is before first_day {days.first}: swap the two.")
        if days.last > available.last:
            raise ApnsInvalidRequestError(
                f"last_day {days.last} is not over yet: Apple reports complete days in UTC, and the newest is "
                f"{available.last}. In Airflow 3 a cron schedule has no data interval, so {{{{ ds }}}} is the day of "
                "the run; use CronDataIntervalTimetable or {{ macros.ds_add(ds, -1) }}."
            )
        if days.first < available.first:
            raise ApnsInvalidRequestError(
                f"first_day {days.first} is more than {OLDEST_DAY} days ago: Apple has deleted its data. "
                f"The oldest day that you can request is {available.first}."
            )
        return days

    def ways_to_ask(self, today: date) -> Iterator[tuple[Days, ...]]:
        """
        Yield the ways to request these days, the simplest first. Each way is a tuple of windows that together contain
        them.

        Apple refuses a request for a single day: its ``endDate`` must be later than its ``startDate``. For 24 hours,
        Apple answers a repeated request with the same export, even a failed one. Another window that contains the days
        gets another export. If no wider window is left, two narrower ones do.
        """
        available = self.available(today)
        for more in range(OLDEST_DAY):
            for after in range(more + 1):
                window = Days(self.first - timedelta(days=more - after), self.last + timedelta(days=after))
                if len(window) > 1 and window.first >= available.first and window.last <= available.last:
                    yield (window,)
        for last in [*self][1:-2]:
            yield Days(self.first, last), Days(last + timedelta(days=1), self.last)

    @classmethod
    def around(cls, days: Collection[date]) -> Days:
        """Return the days from the earliest to the latest of these."""
        return cls(min(days), max(days))

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=offset) for offset in range(len(self)))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"
