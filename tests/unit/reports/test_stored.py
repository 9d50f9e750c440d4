from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import ApnsStorageError
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.reports.columns import Column, Row, normalised_columns
from airflow_provider_apns.reports.formats import Format
from airflow_provider_apns.reports.stored import read_stored
from airflow_provider_apns.reports.tables import Table
from airflow_provider_apns.reports.writing import write_rows

FORMATS: list[Format] = ["csv", "jsonl", "parquet"]
COLUMNS = (*normalised_columns(Dataset.CHANNEL), Column("environment", "string"))

DELIVERED = b'{"date": "2026-01-01", "app_id": "a", "push_type": "b", "status": "c", "count": 1}\n'

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
counts = st.none() | st.integers(0, 2**63 - 1)
rows = st.tuples(st.dates(), texts, texts, counts, counts, counts, st.booleans(), st.none() | texts)


@pytest.mark.parametrize("output_format", FORMATS)
@given(written=st.lists(rows))
def test_what_was_written_is_read_back(output_format: Format, written: list[Row]) -> None:
    data = write_rows(written, COLUMNS, output_format)
    table = read_stored(data, Dataset.CHANNEL, output_format, "x")
    assert table.rows == written
    assert table.columns == COLUMNS or (output_format == "jsonl" and not written)
    assert write_rows(table.rows, COLUMNS, output_format) == data


@pytest.mark.parametrize(
    ("output_format", "data"),
    [
        ("csv", b""),
        ("csv", b"a,b\n1,2\n"),
        ("csv", b"\xff\xfe"),
        ("csv", b"date,app_id,push_type,status,count\n2026-01-01,a,b,c,many\n"),
        ("csv", b"date,app_id,push_type,status,count\n2026-01-01,a,b,c\n"),
        ("csv", b"date,app_id,push_type,status,count,count\n"),
        ("jsonl", b"{}\n"),
        ("jsonl", b"[1]\n"),
        ("jsonl", b'{"date": "2026-01-01", "app_id": "a", "push_type": "b", "status": "c", "count": "1"}\n'),
        ("jsonl", b'{"date": 1, "app_id": "a", "push_type": "b", "status": "c", "count": 1}\n'),
        ("jsonl", b"{"),
        ("jsonl", DELIVERED + b'{"date": "2026-01-01"}\n'),
        ("jsonl", DELIVERED + DELIVERED.replace(b"}", b', "more": 1}')),
        ("parquet", b"PAR1"),
        ("parquet", b""),
    ],
)
def test_what_is_not_ours_is_refused_by_its_path(output_format: Format, data: bytes) -> None:
    with pytest.raises(ApnsStorageError, match="s3://b/x already exists, and is not what this provider writes"):
        read_stored(data, Dataset.DELIVERY, output_format, "s3://b/x")


@pytest.mark.parametrize("output_format", FORMATS)
def test_another_datasets_object_is_refused(output_format: Format) -> None:
    columns = normalised_columns(Dataset.APPLICATION)
    data = write_rows([(date(2026, 1, 1), "a", 1, 2, 3, 4, False)], columns, output_format)
    with pytest.raises(ApnsStorageError, match="it lacks the column"):
        read_stored(data, Dataset.DELIVERY, output_format, "x")


def test_rows_without_a_column_that_others_have_have_nulls_there() -> None:
    day, a, b = Column("date", "date"), Column("a", "count"), Column("b", "string")
    table = Table([day, a])
    table.add([(date(2026, 1, 2), 1)], (day, a))
    table.add([("x", date(2026, 1, 1))], (b, day))
    table.sort()
    assert table.columns == (day, a, b)
    assert table.rows == [(date(2026, 1, 1), None, "x"), (date(2026, 1, 2), 1, None)]
    assert list(table.by(["date"])) == [(date(2026, 1, 1),), (date(2026, 1, 2),)]
