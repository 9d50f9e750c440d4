"""Writes rows as CSV, JSON Lines or Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

    from airflow_provider_apns.protocol.datasets import Kind
    from airflow_provider_apns.reports.columns import Column, Row, Value
    from airflow_provider_apns.reports.formats import Format

_CSV_WORDS: dict[Value, str | None] = {True: "true", False: "false", None: None}


def write_rows(rows: Sequence[Row], columns: Sequence[Column], output_format: Format) -> bytes:
    """
    Write rows in one of the output formats. The same rows give the same bytes.

    CSV has a header, LF line ends, and an empty field for null. Parquet uses zstd and the types date32, timestamp,
    int64, string and bool.
    """
    return {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}[output_format](rows, columns)


def _write_csv(rows: Sequence[Row], columns: Sequence[Column]) -> bytes:
    flags = [index for index, column in enumerate(columns) if column.kind == "boolean"]
    lines = _LfLines()
    # With CRLF, the writer quotes values that contain CR or LF. The line ends themselves become LF.
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow([column.name for column in columns])
    for row in rows:
        values = list(row)
        for index in flags:
            values[index] = _CSV_WORDS[values[index]]
        writer.writerow(values)
    return lines.data.getvalue()


class _LfLines:
    """Takes the lines of ``csv.writer``, and makes them end in LF."""

    def __init__(self) -> None:
        self.data = io.BytesIO()

    def write(self, line: str) -> None:
        self.data.write(f"{line[:-2]}\n".encode())


def _write_jsonl(rows: Sequence[Row], columns: Sequence[Column]) -> bytes:
    names = [column.name for column in columns]
    write_json = json.JSONEncoder(default=_in_iso_8601, ensure_ascii=False, separators=(",", ":")).encode
    data = io.BytesIO()
    for row in rows:
        data.write(f"{write_json(dict(zip(names, row, strict=True)))}\n".encode())
    return data.getvalue()


def _in_iso_8601(moment: date) -> str:
    return moment.isoformat()


def _write_parquet(rows: Sequence[Row], columns: Sequence[Column]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    schema = arrow_schema(columns)
    arrays = [pyarrow.array([row[place] for row in rows], field.type) for place, field in enumerate(schema)]
    table = pyarrow.Table.from_arrays(arrays, schema=schema)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def arrow_schema(columns: Sequence[Column]) -> pyarrow.Schema:
    """Return the Parquet types of these columns."""
    import pyarrow

    types: dict[Kind, Any] = {
        "date": pyarrow.date32(),
        "timestamp": pyarrow.timestamp("us", tz="UTC"),
        "string": pyarrow.string(),
        "count": pyarrow.int64(),
        "boolean": pyarrow.bool_(),
    }
    return pyarrow.schema([(column.name, types[column.kind]) for column in columns])
