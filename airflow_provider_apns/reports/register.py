"""The register of an app's channels. Apple forgets a deleted channel at once; the register remembers it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple, cast

from airflow_provider_apns.exceptions import ApnsStorageError
from airflow_provider_apns.reports.columns import Column
from airflow_provider_apns.reports.formats import read_format
from airflow_provider_apns.reports.stored import read_table
from airflow_provider_apns.reports.writing import write_rows

if TYPE_CHECKING:
    from airflow_provider_apns.reports.columns import Row

COLUMNS = (Column("channel_id", "string"), Column("first_seen", "timestamp"), Column("last_seen", "timestamp"))


class Seen(NamedTuple):
    """The times of the first and the last listing that had a channel, in UTC."""

    first: datetime
    last: datetime

    def includes(self, other: Seen) -> bool:
        """Whether the other times add nothing to these."""
        return self.first <= other.first and other.last <= self.last


Register = Mapping[str, Seen]
"""When each channel was seen."""


def listed(channel_ids: Iterable[str], now: datetime) -> dict[str, Seen]:
    """Return the register of a single listing."""
    moment = now.replace(microsecond=0)
    return dict.fromkeys(channel_ids, Seen(moment, moment))


def merged(register: Register, more: Register) -> dict[str, Seen]:
    """Combine two registers."""
    both = dict(register)
    for channel_id, seen in more.items():
        known = both.get(channel_id, seen)
        both[channel_id] = Seen(min(known.first, seen.first), max(known.last, seen.last))
    return both


def includes(register: Register | None, other: Register) -> bool:
    """Whether the other register adds nothing to this one."""
    return register is not None and all(
        channel_id in register and register[channel_id].includes(seen) for channel_id, seen in other.items()
    )


def latest(register: Register) -> set[str]:
    """Return the channels in the latest listing."""
    last = max((seen.last for seen in register.values()), default=None)
    return {channel_id for channel_id, seen in register.items() if seen.last == last}


def seen_since(register: Register, day: date) -> tuple[str, ...]:
    """Return the channels that were seen on this day or later."""
    return tuple(channel_id for channel_id, seen in register.items() if seen.last.date() >= day)


def write_register(register: Register, path: str) -> bytes:
    """Write a register in the format that its path names."""
    rows: list[Row] = [(channel_id, *seen) for channel_id, seen in sorted(register.items())]
    return write_rows(rows, COLUMNS, read_format(path, None))


def read_register(data: bytes, path: str) -> dict[str, Seen]:
    """Read a register, and refuse anything else."""
    what = "a register of channels"
    table = read_table(data, COLUMNS, read_format(path, None), path, what)
    if table.columns != COLUMNS or any(None in row for row in table.rows):
        raise ApnsStorageError(
            f"{path} already exists, and is not {what}: it has other columns, or nulls. It was not replaced. Move it "
            "away, or write to another path."
        )
    rows = cast("list[tuple[str, datetime, datetime]]", table.rows)
    return {channel_id: Seen(first, last) for channel_id, first, last in rows}
