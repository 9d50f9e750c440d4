from __future__ import annotations

import csv
import io
import json
from datetime import date

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.reports.columns import Column, Row
from airflow_provider_apns.reports.formats import Format
from airflow_provider_apns.reports.writing import write_rows

COLUMNS = (
    Column("date", "date"),
    Column("app_id", "string"),
    Column("count", "count"),
    Column("withheld", "boolean"),
    Column("note", "string"),
)
FORMATS: list[Format] = ["csv", "jsonl", "parquet"]
ROW: Row = (date(2026, 3, 1), "ä", None, True, None)

# Without NUL, which Python 3.10 neither reads from a CSV nor writes into one.
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
table = st.lists(
    st.tuples(st.dates(), texts, st.none() | st.integers(0, 2**63 - 1), st.booleans(), st.none() | texts),
    max_size=8,
)


@given(table)
def test_parquet_reads_back(rows: list[Row]) -> None:
    handle = io.BytesIO(write_rows(rows, COLUMNS, "parquet"))
    read = pyarrow.parquet.read_table(handle)
    assert [tuple(row.values()) for row in read.to_pylist()] == rows
    types = ["date32[day]", "string", "int64", "bool", "string"]
    assert [(field.name, str(field.type)) for field in read.schema] == [
        (column.name, of) for column, of in zip(COLUMNS, types, strict=True)
    ]
    metadata = pyarrow.parquet.ParquetFile(handle).metadata
    assert all(metadata.row_group(group).column(0).compression == "ZSTD" for group in range(metadata.num_row_groups))


@given(table)
def test_jsonl_reads_back(rows: list[Row]) -> None:
    *lines, last = write_rows(rows, COLUMNS, "jsonl").decode().split("\n")
    assert last == ""
    assert [tuple(json.loads(line).values()) for line in lines] == [(str(row[0]), *row[1:]) for row in rows]


@given(table)
def test_csv_reads_back(rows: list[Row]) -> None:
    text = write_rows(rows, COLUMNS, "csv").decode()
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    assert header == [column.name for column in COLUMNS]
    assert lines == [
        [str(day), app, "" if count is None else str(count), "true" if withheld else "false", note or ""]
        for day, app, count, withheld, note in rows
    ]


@pytest.mark.parametrize(
    ("rows", "output_format", "written"),
    [
        ([ROW], "csv", "date,app_id,count,withheld,note\n2026-03-01,ä,,true,\n"),
        ([ROW], "jsonl", '{"date":"2026-03-01","app_id":"ä","count":null,"withheld":true,"note":null}\n'),
        ([], "csv", "date,app_id,count,withheld,note\n"),
        ([], "jsonl", ""),
    ],
)
def test_lf_line_ends_and_nulls(rows: list[Row], output_format: Format, written: str) -> None:
    assert write_rows(rows, COLUMNS, output_format) == written.encode()


@pytest.mark.parametrize("output_format", FORMATS)
def test_the_same_rows_give_the_same_bytes(output_format: Format) -> None:
    first, second = (
        [(date(2026, 3, n % 30 + 1), f"app {n}", n, n % 2 == 0, None) for n in range(20_000)] for _ in "12"
    )
    assert write_rows(first, COLUMNS, output_format) == write_rows(second, COLUMNS, output_format)
