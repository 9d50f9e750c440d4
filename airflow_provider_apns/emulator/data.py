"""The numbers that Apple would have counted: made up, the same every time, with the look of a real app.

Every number follows from the seed, the app, the dataset, the channel and the day, never from what was asked
before. The one thing that moves is lateness: events reach Apple's count for a few days more, so that a later
export of the same days holds a little more than an earlier one.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from hashlib import blake2b
from math import exp
from typing import TYPE_CHECKING

from airflow_provider_apns.emulator.body import Body
from airflow_provider_apns.emulator.settings import APPLICATION, DELIVERY, Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHHELD = -1

_WITHHELD_BELOW = 20
_WEEK = (1.0, 0.97, 1.02, 1.06, 1.12, 0.74, 0.66)
_COUNTED_AFTER_DAYS = {0: 0.55, 1: 0.96, 2: 0.99}
_GROWTH_SINCE = date(2026, 1, 1).toordinal()
_PUSH_TYPES = {
    "alert": 0.58,
    "background": 0.24,
    "complication": 0.01,
    "fileprovider": 0.005,
    "liveactivity": 0.11,
    "location": 0.005,
    "pushtotalk": 0.002,
    "voip": 0.018,
    "widgets": 0.03,
}
_STATUSES = {"delivered": 0.885, "discarded": 0.034, "expired": 0.009, "stored": 0.072}
_BLOCK_ROWS = 32_768

Row = tuple[object, ...]


@dataclass(frozen=True)
class Query:
    """What one CSV is about.

    :param dataset: which of Apple's datasets
    :param start: the first day
    :param end: the last day, inclusive
    :param channel_id: the channel, for the channel dataset
    """

    dataset: Dataset
    start: date
    end: date
    channel_id: str | None = None


@dataclass(frozen=True)
class Numbers:
    """All numbers of one app.

    :param seed: another seed is another past
    :param app_id: the app's bundle identifier
    :param days: how many days back there is data
    :param rows: pad a delivery report to this many rows
    :param traits: how the CSV departs from the documented form, out of ``CSV_TRAITS``
    """

    seed: int
    app_id: str
    days: int = 30
    rows: int = 0
    traits: frozenset[str] = frozenset()

    def csv(self, query: Query, as_of: date) -> Body:
        """Write the report that Apple would serve.

        :param query: what is asked for
        :param as_of: the day on which the export is made, which decides what has been counted by then
        """
        columns = _columns(query.dataset, self.traits)
        rows = [] if "header-only" in self.traits else self._table(query, as_of)
        head = _render([columns], self.traits)
        if query.dataset is DELIVERY and len(rows) < self.rows:
            return self._padded(head, rows, query.end)
        return Body(_mark(self.traits) + (head + _render(_arranged(query, rows, self.traits), self.traits)).encode())

    def _table(self, query: Query, as_of: date) -> list[Row]:
        first = max(query.start, as_of - timedelta(days=self.days))
        days = [first + timedelta(days=n) for n in range((query.end - first).days + 1)]
        if query.dataset is DELIVERY:
            return [row for day in days for row in self._delivery(day, as_of)]
        return [self._broadcasts(query, day, as_of) for day in days]

    def _broadcasts(self, query: Query, day: date, as_of: date) -> Row:
        profile = _profile(self.seed, self.app_id, query.channel_id)
        bustle, churn, reach, overlap = _noise(profile.key, day)
        subscriptions = round(profile.size * exp(profile.growth * _age(day)) * (0.985 + 0.03 * churn))
        published = round(profile.rate * _WEEK[day.weekday()] * (0.8 + 0.4 * bustle))
        delivered = int(published * subscriptions * (0.82 + 0.13 * reach) * _counted(day, as_of))
        if query.dataset is APPLICATION:
            return (day, published, delivered, subscriptions, round(subscriptions * (0.61 + 0.01 * overlap)))
        if subscriptions < _WITHHELD_BELOW:
            return (day, published, WITHHELD, WITHHELD)
        return (day, published, delivered, subscriptions)

    def _delivery(self, day: date, as_of: date) -> Iterator[Row]:
        profile = _profile(self.seed, self.app_id, None)
        pushes = 40 * profile.size * exp(profile.growth * _age(day)) * _WEEK[day.weekday()]
        for push_type, type_share in _PUSH_TYPES.items():
            noises = _noise(profile.key + push_type.encode(), day)
            for (status, share), noise in zip(_STATUSES.items(), noises, strict=True):
                count = pushes * type_share * share * (0.9 + 0.2 * noise) * _counted(day, as_of)
                yield (push_type, status, day, 10 * round(count / 10))

    def _padded(self, head: str, rows: list[Row], day: date) -> Body:
        missing = self.rows - len(rows)
        query = Query(DELIVERY, day, day)
        block = _render(_arranged(query, _filler(day, min(missing, _BLOCK_ROWS)), self.traits), self.traits)
        repeats, rest = divmod(missing, _BLOCK_ROWS)
        tail = _render(_arranged(query, _filler(day, rest), self.traits), self.traits)
        start = head + _render(_arranged(query, rows, self.traits), self.traits)
        return Body(_mark(self.traits) + start.encode(), block.encode(), repeats, tail.encode())


@lru_cache(maxsize=32)
def channel_ids(seed: int, app_id: str, count: int) -> tuple[str, ...]:
    """Name the app's broadcast channels: sixteen bytes in base64, so that ``+``, ``/`` and ``=`` all occur.

    :param seed: another seed has other channels
    :param app_id: the app's bundle identifier
    :param count: how many
    """
    identifiers = [_digest(seed, app_id, "channel", n)[:16] for n in range(count)]
    # Half of all identifiers hold an awkward character by chance; the first one holds both for certain.
    identifiers[:1] = [b"\xfb\xff" + each[2:] for each in identifiers[:1]]
    return tuple(base64.b64encode(each).decode() for each in identifiers)


@dataclass(frozen=True)
class _Profile:
    """The character of an app or of a channel: how large, how fast it grows, how often it publishes."""

    key: bytes
    size: float
    growth: float
    rate: float


@lru_cache(maxsize=20_000)
def _profile(seed: int, app_id: str, channel_id: str | None) -> _Profile:
    key = _digest(seed, app_id, channel_id)
    size, growth, rate = (number / 2**32 for number in struct.unpack(">3I", key[:12]))
    if channel_id is None:
        return _Profile(key, 60_000 * (1 + size), 0.0002 + 0.0008 * growth, 30 + 60 * rate)
    # Real audiences differ by powers of ten: a few huge ones, many middling ones, some too small to count.
    return _Profile(key, 3 * 10 ** (4 * size), -0.0002 + 0.001 * growth, 1 + 14 * rate**2)


def _digest(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=32).digest()


def _noise(key: bytes, day: date) -> tuple[float, ...]:
    digest = blake2b(day.toordinal().to_bytes(4, "big"), key=key, digest_size=16).digest()
    return tuple(number / 2**32 for number in struct.unpack(">4I", digest))


def _age(day: date) -> int:
    return day.toordinal() - _GROWTH_SINCE


def _counted(day: date, as_of: date) -> float:
    return _COUNTED_AFTER_DAYS.get((as_of - day).days, 1.0)


def _filler(day: date, count: int) -> list[Row]:
    types, statuses = list(_PUSH_TYPES), list(_STATUSES)
    return [
        (types[n % len(types)], statuses[n % len(statuses)], day, n * 2_654_435_761 % 1_000_003 * 10)
        for n in range(count)
    ]


def _columns(dataset: Dataset, traits: frozenset[str]) -> Row:
    return _arrange(dataset.columns, "Environment", traits)


def _arranged(query: Query, rows: list[Row], traits: frozenset[str]) -> list[Row]:
    if traits.isdisjoint(("extra", "reordered")):
        return rows
    return [_arrange(row, "production", traits) for row in rows]


def _arrange(row: Row, extra: str, traits: frozenset[str]) -> Row:
    if "extra" in traits:
        row = (*row, extra)
    return row[::-1] if "reordered" in traits else row


def _render(rows: list[Row], traits: frozenset[str]) -> str:
    end = "\r\n" if "crlf" in traits else "\n"
    return "".join([",".join(map(str, row)) + end for row in rows])


def _mark(traits: frozenset[str]) -> bytes:
    return b"\xef\xbb\xbf" if "bom" in traits else b""
