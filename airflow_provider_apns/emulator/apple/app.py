"""One app: its channels, and made-up numbers that look like those that Apple counts for a real app.

Every number follows from the seed, the app, the dataset, the channel and the day, never from earlier requests. Only
lateness changes a number: for three days after a day's end, Apple still counts late events. A later export of the same
day therefore has slightly larger numbers than an earlier one.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import blake2b
from math import exp
from typing import TYPE_CHECKING

from airflow_provider_apns.emulator.datasets import APPLICATION, DELIVERY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_apns.emulator.apple.orders import Query

_WITHHELD = -1
_WITHHELD_BELOW = 20
_WEEK = (1.0, 0.97, 1.02, 1.06, 1.12, 0.74, 0.66)
_COUNTED_AFTER_DAYS = {0: 0.5, 1: 0.8, 2: 0.93}
_GROWTH_SINCE = date(2026, 1, 1).toordinal()
_PUSH_TYPES = {
    "alert": 0.56,
    "background": 0.24,
    "complication": 0.01,
    "controls": 0.008,
    "fileprovider": 0.007,
    "liveactivity": 0.11,
    "location": 0.005,
    "mdm": 0.01,
    "pushtotalk": 0.002,
    "voip": 0.018,
    "widgets": 0.03,
}
_STATUSES = {
    "Delivered": 0.85,
    "Delivered from storage": 0.04,
    "Discarded (disabled)": 0.009,
    "Discarded (expired)": 0.006,
    "Discarded (token unregistered)": 0.018,
    "Discarded from storage (expired)": 0.005,
    "Stored (device offline)": 0.06,
    "Stored (power considerations)": 0.012,
}

Row = tuple[object, ...]


class App:
    """One app. Its ``traits``, out of ``CSV_TRAITS``, are how its CSV differs from the documented form."""

    def __init__(
        self, seed: int, app_id: str, channels: int = 0, days: int = 30, traits: frozenset[str] = frozenset()
    ) -> None:
        self._origin = (seed, app_id)
        self._days = timedelta(days=days)
        self._traits = traits
        self.channel_ids = tuple(self.channel_id(n) for n in range(channels))
        self.first_channels = frozenset(self.channel_ids)

    def channel_id(self, number: object) -> str:
        """Make up the identifier of a channel. Each number gives a different one."""
        identifier = _digest(*self._origin, "channel", number)[:16]
        # Half of all identifiers have a character that file names cannot have. The first one always has both.
        return base64.b64encode(identifier if number else b"\xfb\xff" + identifier[2:]).decode()

    def csv(self, query: Query, as_of: date) -> bytes:
        """Write the report that Apple would serve. The day of the export, ``as_of``, decides what has been counted."""
        rows = [] if "header-only" in self._traits else self._rows(query, as_of)
        table = [(*query.dataset.columns, "Environment"), *((*row, "production") for row in rows)]
        if "extra" not in self._traits:
            table = [row[:-1] for row in table]
        if "reordered" in self._traits:
            table = [row[::-1] for row in table]
        end = "\r\n" if "crlf" in self._traits else "\n"
        text = "".join([",".join(map(str, row)) + end for row in table])
        return text.encode("utf-8-sig" if "bom" in self._traits else "utf-8")

    def _rows(self, query: Query, as_of: date) -> list[Row]:
        profile = _Profile.of(*self._origin, query.channel_id)
        first = max(query.start, as_of - self._days)
        days = [first + timedelta(days=n) for n in range((query.end - first).days + 1)]
        if query.dataset is DELIVERY:
            return [row for day in days for row in _delivery(profile, day, _counted(day, as_of))]
        return [_broadcasts(query, profile, day, _counted(day, as_of)) for day in days]


@dataclass(frozen=True)
class _Profile:
    """The character of an app or a channel: how large it is, how fast it grows, how often it publishes."""

    key: bytes
    size: float
    growth: float
    rate: float

    @classmethod
    def of(cls, seed: int, app_id: str, channel_id: str | None) -> _Profile:
        key = _digest(seed, app_id, channel_id)
        size, growth, rate = (number / 2**32 for number in struct.unpack(">3I", key[:12]))
        if channel_id is None:
            return cls(key, 60_000 * (1 + size), 0.0002 + 0.0008 * growth, 30 + 60 * rate)
        # Real audiences differ by powers of ten: a few huge ones, many middling ones, some too small to count.
        return cls(key, 3 * 10 ** (4 * size), -0.0002 + 0.001 * growth, 1 + 14 * rate**2)

    def audience(self, day: date) -> float:
        return self.size * exp(self.growth * (day.toordinal() - _GROWTH_SINCE))


def _broadcasts(query: Query, profile: _Profile, day: date, counted: float) -> Row:
    bustle, churn, reach, overlap, *_ = _noise(profile.key, day)
    subscriptions = round(profile.audience(day) * (0.985 + 0.03 * churn))
    published = round(profile.rate * _WEEK[day.weekday()] * (0.8 + 0.4 * bustle))
    delivered = int(published * subscriptions * (0.82 + 0.13 * reach) * counted)
    if query.dataset is APPLICATION:
        return (day, published, delivered, subscriptions, round(subscriptions * (0.61 + 0.01 * overlap)))
    if subscriptions < _WITHHELD_BELOW:
        return (day, _WITHHELD, _WITHHELD, _WITHHELD)
    return (day, published, delivered, subscriptions)


def _delivery(profile: _Profile, day: date, counted: float) -> Iterator[Row]:
    pushes = 40 * profile.audience(day) * _WEEK[day.weekday()] * counted
    for push_type, type_share in _PUSH_TYPES.items():
        noises = _noise(profile.key + push_type.encode(), day)
        for (status, share), noise in zip(_STATUSES.items(), noises, strict=True):
            yield (push_type, status, day, 10 * round(pushes * type_share * share * (0.9 + 0.2 * noise) / 10))


def _counted(day: date, as_of: date) -> float:
    return _COUNTED_AFTER_DAYS.get((as_of - day).days, 1.0)


def _digest(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=32).digest()


def _noise(key: bytes, day: date) -> tuple[float, ...]:
    digest = blake2b(day.toordinal().to_bytes(4, "big"), key=key, digest_size=32).digest()
    return tuple(number / 2**32 for number in struct.unpack(">8I", digest))
