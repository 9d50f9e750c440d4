"""
Reads Apple's CSV.

Source: the tables of Apple's articles "Exporting broadcast push notification metrics" and "Exporting delivery metrics
logs".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from airflow_provider_apns.exceptions import ApnsInvalidRequestError, ApnsReportError
from airflow_provider_apns.protocol.datasets import APPLE_COLUMNS, Dataset, Kind
from airflow_provider_apns.protocol.days import read_day
from airflow_provider_apns.protocol.exchanges import download_export
from airflow_provider_apns.protocol.texts import beginning_of
from airflow_provider_apns.reports.columns import (
    Column,
    Row,
    Value,
    added_columns,
    documented_columns,
    labelled,
)

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.account import Account
    from airflow_provider_apns.protocol.messages import Exchange

WITHHELD = "-1"
"""What Apple writes for a count if a channel has too few subscribers to keep people anonymous. It is not a number."""

_MAX_COLUMNS = 200
_MAX_COUNT = 2**63 - 1
_MAX_DIGITS = 19


@dataclass(frozen=True)
class Report:
    """
    A report, read to its end.

    ``body`` is the CSV, byte for byte as Apple built it. ``columns`` has the documented columns in Apple's order, then
    ``withheld`` for the broadcast datasets, then the columns that Apple added later, as text. ``rows`` are in Apple's
    order.
    """

    body: bytes = field(repr=False)
    dataset: Dataset
    columns: tuple[Column, ...]
    rows: list[Row] = field(repr=False)

    def labelled_columns(self) -> tuple[Column, ...]:
        """Return the columns of :meth:`labelled_rows`."""
        return labelled(self.columns, self.dataset)

    def labelled_rows(self, days: Container[date], app_id: str, channel_id: str | None) -> list[Row]:
        """Return the rows of these days, with the app (and the channel) after the date."""
        label = (app_id,) if channel_id is None else (app_id, channel_id)
        return [(row[0], *label, *row[1:]) for row in self.rows if row[0] in days]


def download_report(account: Account, status_url: str, dataset: Dataset | None, max_bytes: int) -> Exchange[Report]:
    """Download a report, and read it. It may be of any dataset if ``dataset`` is ``None``."""
    body = yield from download_export(account, status_url, max_bytes)
    return read_report(body, dataset, f"report of export {status_url}")


def read_report(body: bytes, dataset: Dataset | None, what: str) -> Report:
    """Read a CSV, which errors call ``what``. It may be of any dataset if ``dataset`` is ``None``."""
    lines = _read_lines(body, what)
    _, header = next(lines, (0, None))
    if header is None:
        raise ApnsReportError(f"The {what} is empty: it does not even have a header.")
    names = tuple(name.strip() for name in header)
    found = _dataset_of(names, dataset, what, body)
    layout = _Layout.of(names, found)
    rows = [_read_row(fields, layout, f"Line {number} of the {what}") for number, fields in lines]
    return Report(body, found, layout.columns, rows)


def _read_lines(body: bytes, what: str) -> Iterator[tuple[int, list[str]]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ApnsReportError(f"The {what} is not UTF-8 text.") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise ApnsReportError(f"The {what} is not valid CSV near line {reader.line_num}: {error}.") from error
        if fields is None:
            return
        if fields:
            yield reader.line_num, fields


def _dataset_of(names: Sequence[str], expected: Dataset | None, what: str, body: bytes) -> Dataset:
    """Return the dataset that a header belongs to. It may have other columns, too, and in any order."""
    if len(names) > _MAX_COLUMNS:
        raise ApnsReportError(f"The {what} is not Apple's CSV: it has {len(names)} columns.")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ApnsReportError(f"The {what} has duplicate columns: {', '.join(repeated)[:200]}.")
    missing = {
        dataset: [name for name, _ in APPLE_COLUMNS[dataset] if name not in names]
        for dataset in ((expected,) if expected else Dataset)
    }
    best = min(missing, key=lambda dataset: len(missing[dataset]))
    if missing[best]:
        raise ApnsReportError(
            f"The {what} is not the CSV of the {best.short_name} dataset: it lacks the column"
            f"{'s' if len(missing[best]) > 1 else ''} {', '.join(missing[best])}, "
            f"and begins with {beginning_of(body)!r}."
        )
    return best


@dataclass(frozen=True)
class _Layout:
    """Where the columns of a report are: the documented ones in Apple's order, and those that Apple added later."""

    documented: tuple[tuple[int, Kind], ...]
    withheld: bool
    added: tuple[int, ...]
    width: int
    columns: tuple[Column, ...]

    @classmethod
    @lru_cache(maxsize=8)  # Ten thousand reports share the same layout.
    def of(cls, names: tuple[str, ...], dataset: Dataset) -> _Layout:
        """Read a header that has all documented columns."""
        documented = APPLE_COLUMNS[dataset]
        known = {name for name, _ in documented}
        added = tuple(index for index, name in enumerate(names) if name not in known)
        return cls(
            tuple((names.index(name), kind) for name, kind in documented),
            dataset.has_withheld,
            added,
            len(names),
            (*documented_columns(dataset), *added_columns([names[index] for index in added], dataset)),
        )


def _read_row(fields: list[str], layout: _Layout, where: str) -> Row:
    if len(fields) != layout.width:
        raise ApnsReportError(f"{where} has {len(fields)} columns instead of {layout.width}.")
    texts = [(fields[index].strip(), kind) for index, kind in layout.documented]
    values = [_read_count(text, where) if kind == "count" else _read_other(text, kind, where) for text, kind in texts]
    if layout.withheld:
        values.append((WITHHELD, "count") in texts)
    values += [fields[index] or None for index in layout.added]
    return tuple(values)


def _read_count(text: str, where: str) -> Value:
    if text in (WITHHELD, ""):
        return None
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
    if not is_number or (value := int(text)) > _MAX_COUNT:
        raise ApnsReportError(f"{where} has {text[:40]!r} instead of a count.")
    return value


def _read_other(text: str, kind: Kind, where: str) -> Value:
    if kind == "string":
        return text
    try:
        return read_day(text, "Date (UTC)")
    except ApnsInvalidRequestError as error:
        raise ApnsReportError(f"{where}: {error}") from error
