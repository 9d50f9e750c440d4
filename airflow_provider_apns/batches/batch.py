"""What a task asked Apple for, in a form that survives a deferral."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

Channel = str | None
"""A channel's identifier; ``None`` for datasets without channels."""


class Failure(NamedTuple):
    """
    Why a channel could not be exported.

    :param reason: the error's text.
    :param retryable: whether a retry can fix it.
    """

    reason: str
    retryable: bool


@dataclass(frozen=True)
class Asked:
    """
    One export that the task requested.

    :param channel_id: the channel.
    :param status_url: the export.
    :param tries: how many other windows were requested for the same days before.
    """

    channel_id: Channel
    status_url: str
    tries: int = 0


@dataclass(frozen=True)
class Batch:
    """
    The days that a task wants, and the exports that it requested.

    The batch travels with the deferral. Airflow renders a task's arguments again when it resumes the task, perhaps on
    the next day, so a resumed task must not read them again.

    :param path: where to write, with ``{date}`` and ``{channel_id}``.
    :param wanted: the days to keep for each channel; an export may have more.
    :param begun_at: when the task started.
    :param settled: stored days that are settled: they are written only if a new channel has rows for them.
    :param lost: days that are not stored, and that Apple has deleted.
    :param exports: the exports.
    :param missing: the channels that Apple does not know.
    :param failed: the channels that could not be exported, and why.
    """

    path: str
    wanted: Mapping[Channel, frozenset[date]]
    begun_at: datetime
    settled: frozenset[date] = frozenset()
    lost: tuple[date, ...] = ()
    exports: tuple[Asked, ...] = ()
    missing: tuple[str, ...] = ()
    failed: Mapping[str, Failure] = field(default_factory=dict)

    @property
    def days(self) -> list[date]:
        """All days that are wanted for any channel."""
        return sorted(frozenset().union(*set(self.wanted.values())))

    @property
    def status_urls(self) -> list[str]:
        """The status URLs, in the order of the exports."""
        return [export.status_url for export in self.exports]

    @property
    def channels(self) -> list[str]:
        """The channels that have exports."""
        return [export.channel_id for export in self.exports if export.channel_id is not None]

    def without(self, channel_ids: set[Channel]) -> Batch:
        """Return the batch without the exports of some channels."""
        return replace(self, exports=tuple(e for e in self.exports if e.channel_id not in channel_ids))

    def pack(self) -> str:
        """Return a compact text: 10,000 exports take some hundred kilobytes in the metadata database."""
        first = min(self.days, default=self.begun_at.date())
        places = {channel: place for place, channel in enumerate(self.wanted)}
        content = {
            "path": self.path,
            "begun_at": self.begun_at.isoformat(),
            "first": str(first),
            "wanted": [(channel, _bits(days, first)) for channel, days in self.wanted.items()],
            "settled": _bits(self.settled & frozenset(self.days), first),
            "lost": [str(day) for day in self.lost],
            "exports": [(places[e.channel_id], e.status_url, e.tries) for e in self.exports],
            "missing": self.missing,
            "failed": self.failed,
        }
        return base64.b64encode(zlib.compress(json.dumps(content, separators=(",", ":")).encode())).decode()

    @classmethod
    def unpack(cls, packed: str) -> Batch:
        """Read what :meth:`pack` returned."""
        content = json.loads(zlib.decompress(base64.b64decode(packed)))
        first, channels = date.fromisoformat(content["first"]), [channel for channel, _ in content["wanted"]]
        days = {bits: _days(bits, first) for _, bits in content["wanted"]}
        return cls(
            path=content["path"],
            wanted={channel: days[bits] for channel, bits in content["wanted"]},
            begun_at=datetime.fromisoformat(content["begun_at"]),
            settled=_days(content["settled"], first),
            lost=tuple(map(date.fromisoformat, content["lost"])),
            exports=tuple(Asked(channels[place], url, tries) for place, url, tries in content["exports"]),
            missing=tuple(content["missing"]),
            failed={channel: Failure(*failure) for channel, failure in content["failed"].items()},
        )


def _bits(days: frozenset[date], first: date) -> int:
    return sum(1 << (day - first).days for day in days)


def _days(bits: int, first: date) -> frozenset[date]:
    return frozenset(first + timedelta(days=n) for n in range(bits.bit_length()) if bits >> n & 1)
