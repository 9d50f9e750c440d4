"""Which objects of a layout are stored, and when each was written. It lists each folder once."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_apns.batches.concurrency import all_in_threads
from airflow_provider_apns.batches.layout import CHANNEL, DATE, Key
from airflow_provider_apns.protocol.channel_ids import channel_id_of
from airflow_provider_apns.storage import list_folder

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.days import Days

log = logging.getLogger(__name__)

_PATTERNS = {DATE: r"(?P<date>\d{4}-\d{2}-\d{2})", CHANNEL: r"(?P<channel_id>[A-Za-z0-9_-]+)"}

_MODIFIED = ("LastModified", "last_modified", "mtime", "updated", "modified")
"""The names that the file systems of S3, Azure, local disks and SFTP, and Google give it."""


@dataclass(frozen=True)
class _Folder:
    """A folder to list, the parts of the template below it, and the values that its own path holds."""

    path: str
    below: tuple[str, ...]
    values: tuple[tuple[str, str], ...] = ()


_Match = tuple[_Folder, dict[str, Any], tuple[tuple[str, str], ...]]
"""An entry of a folder, and the values that its path holds."""


def list_objects(fs: Any, path: str, days: Days) -> dict[Key, datetime | None]:
    """
    List the stored objects of a layout.

    :param fs: the fsspec file system.
    :param path: the layout's template, as this file system writes paths.
    :param days: the days to look for. In each folder, the newest object of an earlier day is found, too: it tells that
        days after it are missing, however long ago it was written.
    :return: when each object was written, by its key; ``None`` if the store does not say.
    :raises ApnsStorageError: without the right to list a folder.
    """
    fs.invalidate_cache()
    found: dict[Key, datetime | None] = {}
    folders = [_below("", tuple(path.split("/")))]
    while folders:
        entries = all_in_threads(lambda folder: (folder, list_folder(fs, folder.path)), folders)
        matches = [match for folder, listed in entries for match in _matches(folder, listed, days)]
        folders = [
            _below(entry["name"].rstrip("/"), f.below[1:], values) for f, entry, values in matches if f.below[1:]
        ]
        for folder, entry, values in matches:
            if not folder.below[1:] and entry.get("type") != "directory":
                found[_key(dict(values))] = modified_at(fs, entry)
    if found and None in found.values():
        log.warning("The store does not say when objects were written, so all stored days count as settled.")
    return found


def _below(folder: str, parts: tuple[str, ...], values: tuple[tuple[str, str], ...] = ()) -> _Folder:
    """Go down to the last folder before a placeholder, or before the object."""
    depth = next((n for n, part in enumerate(parts) if DATE in part or CHANNEL in part), len(parts) - 1)
    return _Folder("/".join([*([folder] if folder else []), *parts[:depth]]), parts[depth:], values)


def _matches(folder: _Folder, listed: list[dict[str, Any]], days: Days) -> Iterator[_Match]:
    pattern = _pattern_of(folder.below[0])
    earlier: dict[date, _Match] = {}
    for entry in listed:
        match = pattern.fullmatch(entry["name"].rstrip("/").rpartition("/")[2])
        if match is None:
            continue
        values = {**dict(folder.values), **match.groupdict()}
        if any(values[name] != value for name, value in folder.values):
            continue
        try:
            day = _key(values).day
        except ValueError:  # such as 2026-02-30
            continue
        if day is None or day in days:
            yield folder, entry, tuple(values.items())
        elif day < days.first:
            earlier[day] = folder, entry, tuple(values.items())
    if earlier:
        yield earlier[max(earlier)]


def _pattern_of(part: str) -> re.Pattern[str]:
    """Return the pattern of a name; a placeholder that comes twice must have the same value in both places."""
    pattern, seen = "", set()
    for piece in re.split(r"(\{date\}|\{channel_id\})", part):
        if piece in _PATTERNS:
            pattern += f"(?P={piece[1:-1]})" if piece in seen else _PATTERNS[piece]
            seen.add(piece)
        else:
            pattern += re.escape(piece)
    return re.compile(pattern)


def _key(values: Mapping[str, str]) -> Key:
    day, channel = values.get("date"), values.get("channel_id")
    return Key(date.fromisoformat(day) if day else None, channel_id_of(channel) if channel else None)


def modified_at(fs: Any, entry: Mapping[str, Any]) -> datetime | None:
    """
    Return when an object was written.

    :param fs: the file system.
    :param entry: the object's entry in a listing.
    """
    value = next((entry[name] for name in _MODIFIED if entry.get(name)), None)
    if value is None:
        try:
            value = fs.modified(entry["name"])
        except NotImplementedError:
            return None
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, tz=timezone.utc)
    moment = pendulum.parse(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
