"""The days of a report, and Apple's rules about them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

import pendulum

from airflow_provider_apns.exceptions import ApnsInvalidRequestError

OLDEST_DAY = 30
"""Apple delivers a report from this many days ago until yesterday (UTC)."""


def read_day(value: str | date, name: str) -> date:
    """
    Read a day as a DAG author gives it.

    :param value: a ``date``; a ``datetime`` (its day in UTC; a naive one is taken as UTC); or the text of
        either in ISO 8601, such as ``2026-11-23`` or a rendered ``{{ data_interval_start }}``.
    :param name: the argument's name, for the error.
    :raises ApnsInvalidRequestError: if it is no day.
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
        raise ApnsInvalidRequestError(f"{name} must be a day of the calendar, not {moment}.") from None


@lru_cache(maxsize=64)  # Ten thousand reports have rows of the same thirty days.
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
    """
    Consecutive days in UTC, both ends included.

    :param first: the first day.
    :param last: the last day.
    """

    first: date
    last: date

    @classmethod
    def parse(cls, first: str | date, last: str | date) -> Days:
        """Read days without asking whether Apple can still deliver them."""
        return cls(read_day(first, "first_day"), read_day(last, "last_day"))

    @classmethod
    def available(cls, today: date) -> Days:
        """
        Return the days that Apple can deliver.

        :param today: the current day in UTC.
        """
        return cls(today - timedelta(days=OLDEST_DAY), today - timedelta(days=1))

    @classmethod
    def read(cls, first: str | date, last: str | date, today: date) -> Days:
        """
        Read days that Apple can still deliver; one single day is allowed here.

        :param first: the first day; see :func:`read_day`.
        :param last: the last day, included.
        :param today: the current day in UTC.
        :raises ApnsInvalidRequestError: if a day is not over yet, too long ago, or the last is before the first.
        """
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
                f"first_day {days.first} is more than {OLDEST_DAY} days ago: Apple has deleted it. "
                f"The oldest day that you can ask for is {available.first}."
            )
        return days

    def ways_to_ask(self, today: date) -> Iterator[tuple[Days, ...]]:
        """
        Give the ways to ask Apple for these days, the plainest first.

        Apple takes no request for a single day, since its ``endDate`` must be later than its ``startDate``; and it
        answers a request with the same export for 24 hours, even with one that has failed. Another window that contains
        the days is another export; where there is no wider one, two narrower ones are.

        :param today: the current day in UTC.
        :return: the windows of each way, which together contain the days.
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
        """Return the days from the first to the last of some."""
        return cls(min(days), max(days))

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=offset) for offset in range(len(self)))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"
