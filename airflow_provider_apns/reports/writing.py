"""Writing rows as CSV, JSON Lines or Parquet."""

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
    Write rows in one of the output formats; the same rows give the same bytes.

    :param rows: the rows, in the order to write them.
    :param columns: what their values are.
    :param output_format: ``csv`` (a header, LF line ends, an empty field for null), ``jsonl`` or ``parquet``
        (zstd; date32, int64, string, bool).
    """
    return {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}[output_format](rows, columns)


def _write_csv(rows: Sequence[Row], columns: Sequence[Column]) -> bytes:
    flags = [index for index, column in enumerate(columns) if column.kind == "boolean"]
    text = io.StringIO(newline="")
    # CRLF, so that it quotes values that hold either; what stands between the lines becomes LF.
    writer = csv.writer(_LfLines(text), lineterminator="\r\n")
    writer.writerow([column.name for column in columns])
    for row in rows:
        values = list(row)
        for index in flags:
            values[index] = _CSV_WORDS[values[index]]
        writer.writerow(values)
    return text.getvalue().encode()


class _LfLines:
    """Ends the lines that ``csv.writer`` writes with LF."""

    def __init__(self, text: io.StringIO) -> None:
        self._text = text

    def write(self, line: str) -> None:
        self._text.write(line.removesuffix("\r\n") + "\n")


def _write_jsonl(rows: Sequence[Row], columns: Sequence[Column]) -> bytes:
    names = [column.name for column in columns]
    records = (dict(zip(names, row, strict=True)) for row in rows)
    lines = [json.dumps(record, default=_in_iso_8601, ensure_ascii=False, separators=(",", ":")) for record in records]
    return "".join(f"{line}\n" for line in lines).encode()


def _in_iso_8601(moment: date) -> str:
    return moment.isoformat()


def _write_parquet(rows: Sequence[Row], columns: Sequence[Column]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    schema = arrow_schema(columns)
    values: Any = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = [pyarrow.array(column, field.type) for column, field in zip(values, schema, strict=True)]
    table = pyarrow.Table.from_arrays(arrays, schema=schema)
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def arrow_schema(columns: Sequence[Column]) -> pyarrow.Schema:
    """Return the types in which columns are written."""
    import pyarrow

    types: dict[Kind, Any] = {
        "date": pyarrow.date32(),
        "timestamp": pyarrow.timestamp("us", tz="UTC"),
        "string": pyarrow.string(),
        "count": pyarrow.int64(),
        "boolean": pyarrow.bool_(),
    }
    return pyarrow.schema([(column.name, types[column.kind]) for column in columns])
