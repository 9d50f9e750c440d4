"""Reads back the objects that this provider wrote, and refuses all others."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_apns.exceptions import ApnsStorageError
from airflow_provider_apns.reports.columns import Column, Row, Value, normalised_columns
from airflow_provider_apns.reports.tables import Table

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.datasets import Dataset, Kind
    from airflow_provider_apns.reports.formats import Format


def read_stored(data: bytes, dataset: Dataset, stored_format: Format, path: str) -> Table:
    """Read an object of this dataset that an earlier task wrote. ``path`` is for errors."""
    what = f"what this provider writes for the {dataset.short_name} dataset"
    return read_table(data, normalised_columns(dataset), stored_format, path, what)


def read_table(data: bytes, columns: tuple[Column, ...], stored_format: Format, path: str, what: str) -> Table:
    """
    Read an object that this provider wrote. It may have more columns than these.

    ``path`` and ``what`` (what the object must be) are for errors.
    """
    try:
        return {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}[stored_format](data, columns)
    except _BROKEN as error:
        raise ApnsStorageError(
            f"{path} already exists, and is not {what} ({error}). It was not replaced. Move it away, or write to "
            "another path."
        ) from error


# pyarrow's errors are subclasses of ValueError or OSError.
_BROKEN = (ValueError, KeyError, TypeError, IndexError, OSError, csv.Error)


def _columns(names: Sequence[str], wanted: tuple[Column, ...]) -> tuple[Column, ...]:
    ours = {column.name: column for column in wanted}
    if missing := ours.keys() - set(names):
        raise ValueError(f"it lacks the column {', '.join(sorted(missing))}")
    if len(set(names)) != len(names):
        raise ValueError("it has duplicate columns")
    return tuple(ours.get(name, Column(name, "string")) for name in names)


def _table(columns: tuple[Column, ...], rows: Iterable[Row]) -> Table:
    table = Table(columns)
    table.add(rows, columns)
    return table


def _sharing() -> Callable[[Value], Value]:
    """Return a function that returns the same object for equal texts or days: most rows repeat them."""
    seen: dict[Value, Value] = {}
    return lambda value: seen.setdefault(value, value) if isinstance(value, (str, date)) else value


def _read_csv(data: bytes, wanted: tuple[Column, ...]) -> Table:
    lines = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8", newline=""), strict=True)
    columns = _columns(next(lines, []), wanted)
    parsers, share = [_OF_TEXT[column.kind] for column in columns], _sharing()

    def row(fields: list[str]) -> Row:
        return tuple(share(parse(text)) if text else None for parse, text in zip(parsers, fields, strict=True))

    return _table(columns, map(row, lines))


def _timestamp(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it has a time without a time zone")
    return moment


_OF_TEXT: dict[Kind, Callable[[str], Value]] = {
    "date": date.fromisoformat,
    "timestamp": _timestamp,
    "string": str,
    "count": int,
    "boolean": {"true": True, "false": False}.__getitem__,
}


def _read_jsonl(data: bytes, wanted: tuple[Column, ...]) -> Table:
    first, _, _ = data.partition(b"\n")
    columns = _columns(list(json.loads(first)), wanted) if data else wanted
    share, width = _sharing(), len(columns)

    def row(record: dict[str, Any]) -> Row:
        if len(record) != width:
            raise ValueError("its lines differ in their columns")
        return tuple(share(_of_json(record[column.name], column)) for column in columns)

    return _table(columns, map(row, map(json.loads, io.BytesIO(data))))


def _of_json(value: object, column: Column) -> Value:
    if column.kind in ("date", "timestamp"):
        return _OF_TEXT[column.kind](value)  # type: ignore[arg-type]  # a TypeError unless it is text
    wanted = {"string": str, "count": int, "boolean": bool}[column.kind]
    if value is not None and type(value) is not wanted:
        raise TypeError(f"{column.name} is {value!r}")
    return value  # type: ignore[return-value]


def _read_parquet(data: bytes, wanted: tuple[Column, ...]) -> Table:
    import pyarrow
    import pyarrow.parquet

    from airflow_provider_apns.reports.writing import arrow_schema

    table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
    columns = _columns(table.column_names, wanted)
    if table.schema.types != arrow_schema(columns).types:
        raise ValueError("its columns have other types")
    share = _sharing()
    return _table(columns, zip(*([*map(share, column.to_pylist())] for column in table.columns), strict=True))
