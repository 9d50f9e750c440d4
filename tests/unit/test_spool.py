from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.reports import Column, Row
from airflow_provider_apns.spool import Spool

DATE, CHANNEL, COUNT, WITHHELD = (
    Column("date", "date"),
    Column("channel_id", "string"),
    Column("count", "count"),
    Column("withheld", "boolean"),
)
COLUMNS = (DATE, CHANNEL, COUNT, WITHHELD)
FIRST = date(2026, 3, 1)

row = st.tuples(
    st.integers(0, 5).map(lambda offset: FIRST + timedelta(days=offset)),
    st.sampled_from(["AAAA", "+/8A", "aaaa", "zz=="]),
    st.none() | st.integers(0, 2**63 - 1),
    st.booleans(),
)


class TestSpool:
    @given(st.lists(st.lists(row, max_size=5), max_size=6))
    def test_gives_all_rows_back_by_date_then_channel(self, reports: list[list[Row]]) -> None:
        with Spool(COLUMNS) as spool:
            for report in reports:
                spool.add(report, COLUMNS)
            rows = list(spool.read())
            assert spool.rows == len(rows)
        assert [row[:2] for row in rows] == sorted(row[:2] for report in reports for row in report)
        assert sorted(map(repr, rows)) == sorted(repr(row) for report in reports for row in report)

    @given(st.lists(row, max_size=12))
    def test_a_partition_comes_together(self, rows: list[Row]) -> None:
        with Spool(COLUMNS) as spool:
            spool.add(rows, COLUMNS)
            keys = [(channel, day) for day, channel, *_ in spool.read(("channel_id",))]
        assert keys == sorted((channel, day) for day, channel, *_ in rows)

    def test_types_come_back(self) -> None:
        rows = [(FIRST, "AAAA", 2**63 - 1, True), (FIRST, "BBBB", None, False)]
        with Spool(COLUMNS) as spool:
            spool.add(rows, COLUMNS)
            read = list(spool.read())
        assert read == rows
        assert [[type(value) for value in each] for each in read] == [[type(value) for value in each] for each in rows]

    def test_delivery_rows_come_by_date_type_and_status(self) -> None:
        columns = (DATE, Column("push_type", "string"), Column("status", "string"), COUNT)
        rows = [
            (FIRST + timedelta(days=n), t, s, 1)
            for n in (1, 0)
            for t in ("voip", "alert")
            for s in ("stored", "delivered")
        ]
        with Spool(columns) as spool:
            spool.add(rows, columns)
            assert list(spool.read()) == sorted(rows)

    def test_columns_that_only_later_reports_have(self) -> None:
        added = Column('odd "name"', "string")
        with Spool(COLUMNS) as spool:
            spool.add([(FIRST, "AAAA", 1, False)], COLUMNS)
            spool.add([("x", FIRST, "BBBB", 2, False)], (added, *COLUMNS))
            spool.add([(FIRST, "CCCC", 3, False)], COLUMNS)
            assert spool.columns == [*COLUMNS, added]
            assert [(row[1], row[-1]) for row in spool.read()] == [("AAAA", None), ("BBBB", "x"), ("CCCC", None)]

    def test_no_rows(self) -> None:
        with Spool(COLUMNS) as spool:
            spool.add([], COLUMNS)
            assert list(spool.read()) == []
            assert spool.rows == 0

    def test_text_is_kept_as_it_is(self) -> None:
        values = ["001", "1e5", "", " ä ", "a\x00b", "NULL", "'; DROP TABLE rows; --"]
        with Spool((DATE, CHANNEL)) as spool:
            spool.add([(FIRST, value) for value in values], (DATE, CHANNEL))
            assert sorted(str(row[1]) for row in spool.read()) == sorted(values)

    @pytest.mark.parametrize("error", [None, RuntimeError("in the block")])
    def test_leaves_no_file_behind(
        self, error: Exception | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with suppress(RuntimeError), Spool(COLUMNS) as spool:
            spool.add([(FIRST, "AAAA", 1, False)] * 1000, COLUMNS)
            assert list(tmp_path.rglob("*.sqlite"))
            if error:
                raise error
        assert list(tmp_path.iterdir()) == []
