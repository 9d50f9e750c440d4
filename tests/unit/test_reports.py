from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable
from datetime import date
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import ApnsError, ApnsInvalidRequestError, ApnsReportError
from airflow_provider_apns.exports import Dataset
from airflow_provider_apns.reports import (
    APPLE_COLUMNS,
    Column,
    CsvCheck,
    ReportReader,
    Row,
    check_output_format,
    documented_columns,
    has_withheld,
    snake_case,
    write_report,
)

APPLICATION = b"""Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions,Unique Subscribers
2026-03-01,3,2900,1000,700
2026-03-02,4,-1,-1,-1
"""
CHANNEL = b"""Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions
2026-03-01,3,-1,-1
"""
DELIVERY = b"""Push Type,Status,Date (UTC),Count
alert,delivered,2026-03-01,120
voip,stored,2026-03-01,0
"""
REPORTS = {Dataset.APPLICATION: APPLICATION, Dataset.CHANNEL: CHANNEL, Dataset.DELIVERY: DELIVERY}
APPLICATION_ROWS = [(date(2026, 3, 1), 3, 2900, 1000, 700, False), (date(2026, 3, 2), 4, None, None, None, True)]

cuts = st.lists(st.integers(0, 12), max_size=60)
datasets = st.sampled_from(Dataset)


def chunks_of(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    chunks, start = [], 0
    for size in sizes:
        chunks.append(data[start : start + size])
        start += size
    return [*chunks, data[start:]]


def read(data: bytes, dataset: Dataset, sizes: Iterable[int] = ()) -> tuple[list[str], list[Row]]:
    """Read a CSV in chunks; give the names of its columns and its rows."""
    reader = ReportReader(dataset, "report")
    rows = [row for chunk in chunks_of(data, sizes) for row in reader.feed(chunk)]
    rows += reader.finish()
    return [column.name for column in reader.columns], rows


def check(data: bytes, dataset: Dataset | None = None, sizes: Iterable[int] = ()) -> None:
    checker = CsvCheck(dataset, "report")
    for chunk in chunks_of(data, sizes):
        checker.feed(chunk)
    checker.finish()


def with_column(data: bytes, *added: tuple[str, str]) -> bytes:
    """Add columns, each with one value in all rows."""
    header, *lines = data.decode().splitlines()
    names, values = (",".join(part) for part in zip(*added, strict=True))
    return "\n".join([f"{header},{names}", *(f"{line},{values}" for line in lines), ""]).encode()


class TestReading:
    def test_application(self) -> None:
        columns, rows = read(APPLICATION, Dataset.APPLICATION)
        assert columns == [
            "date",
            "broadcasts_published",
            "broadcasts_delivered",
            "total_subscriptions",
            "unique_subscribers",
            "withheld",
        ]
        assert rows == APPLICATION_ROWS

    def test_channel(self) -> None:
        columns, rows = read(CHANNEL, Dataset.CHANNEL)
        assert columns == ["date", "broadcasts_published", "broadcasts_delivered", "total_subscriptions", "withheld"]
        assert rows == [(date(2026, 3, 1), 3, None, None, True)]

    def test_delivery(self) -> None:
        columns, rows = read(DELIVERY, Dataset.DELIVERY)
        assert columns == ["date", "push_type", "status", "count"]
        assert rows == [(date(2026, 3, 1), "alert", "delivered", 120), (date(2026, 3, 1), "voip", "stored", 0)]

    @given(datasets, cuts, st.booleans(), st.booleans(), st.booleans(), st.booleans())
    def test_any_chunking_gives_the_same_rows(
        self, dataset: Dataset, sizes: list[int], bom: bool, crlf: bool, last_newline: bool, added: bool
    ) -> None:
        data = REPORTS[dataset]
        if added:
            data = with_column(data, ("Région", "Île, ça"[:3]))
        expected = read(data, dataset)
        if not last_newline:
            data = data.rstrip(b"\n")
        if crlf:
            data = data.replace(b"\n", b"\r\n")
        if bom:
            data = b"\xef\xbb\xbf" + data
        assert read(data, dataset, sizes) == expected
        check(data, dataset, sizes)

    @given(st.permutations(range(5)))
    def test_reordered_columns(self, order: list[int]) -> None:
        lines = [line.split(",") for line in APPLICATION.decode().splitlines()]
        reordered = "\n".join(",".join(line[index] for index in order) for line in lines)
        assert read(reordered.encode(), Dataset.APPLICATION) == read(APPLICATION, Dataset.APPLICATION)

    def test_added_columns_pass_through(self) -> None:
        data = with_column(APPLICATION, ("Environment", "production"), ("Median Delay (ms)", "12.5"))
        columns, rows = read(data, Dataset.APPLICATION)
        assert columns[-3:] == ["withheld", "environment", "median_delay_ms"]
        assert rows == [(*row, "production", "12.5") for row in APPLICATION_ROWS]

    def test_added_columns_whose_names_are_taken(self) -> None:
        taken = ["App ID", "Channel Id", "withheld", "date", "Date", "a b", "A-B", "日付", "", "Unique  Subscribers"]
        columns, rows = read(with_column(APPLICATION, *((name, f"<{name}>") for name in taken)), Dataset.APPLICATION)
        assert columns[6:] == [
            "apple_app_id",
            "apple_channel_id",
            "apple_withheld",
            "date_2",
            "date_3",
            "a_b",
            "a_b_2",
            "column",
            "column_2",
            "unique_subscribers_2",
        ]
        assert rows[0][6:] == tuple(f"<{name}>" for name in taken)

    @pytest.mark.parametrize(
        "data",
        [APPLICATION.splitlines()[0], APPLICATION.splitlines()[0] + b"\n", APPLICATION.splitlines()[0] + b"\r\n\r\n\n"],
    )
    def test_a_header_without_rows_is_an_empty_report(self, data: bytes) -> None:
        columns, rows = read(data, Dataset.APPLICATION)
        assert columns == [column.name for column in documented_columns(Dataset.APPLICATION)]
        assert rows == []
        check(data, Dataset.APPLICATION)

    def test_an_empty_count_is_null_but_not_withheld(self) -> None:
        _, rows = read(APPLICATION.replace(b"2900", b""), Dataset.APPLICATION)
        assert rows[0] == (date(2026, 3, 1), 3, None, 1000, 700, False)

    def test_spaces_around_values(self) -> None:
        assert read(APPLICATION.replace(b",", b" , "), Dataset.APPLICATION)[1] == APPLICATION_ROWS

    def test_quoted_values(self) -> None:
        data = with_column(APPLICATION, ("Note", '"a ""b"", c"'))
        assert read(data, Dataset.APPLICATION)[1][0][-1] == 'a "b", c'

    def test_the_largest_count(self) -> None:
        assert read(APPLICATION.replace(b"2900", str(2**63 - 1).encode()), Dataset.APPLICATION)[1][0][2] == 2**63 - 1


class TestUnreadable:
    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (b"", "is empty, it has not even a header"),
            (b"\n\r\n\n", "is empty, it has not even a header"),
            (DELIVERY, "lacks the columns Broadcasts Published, Broadcasts Delivered"),
            (APPLICATION.replace(b"Unique Subscribers", b"Unique Users"), "lacks the column Unique Subscribers"),
            (APPLICATION.replace(b"Date (UTC)", b"date"), r"lacks the column Date \(UTC\)"),
            (b"<!DOCTYPE html>\n<html></html>\n", "begins with '<!DOCTYPE html>'"),
            (with_column(APPLICATION, ("Date (UTC)", "x")), r"columns that come twice: Date \(UTC\)"),
            (with_column(APPLICATION, ("New", "x"), ("New", "y")), "columns that come twice: New"),
            (b",".join(b"c%d" % n for n in range(300)), "it has 300 columns"),
            (APPLICATION + b"2026-03-03,1,2,3\n", "Line 4 of the report has 4 columns instead of 5"),
            (APPLICATION + b"2026-03-03,1,2,3,4,5\n", "Line 4 of the report has 6 columns instead of 5"),
            (APPLICATION.replace(b"2900", b"many"), "Line 2 of the report has 'many' for a count"),
            (APPLICATION.replace(b"2900", b"-2"), "has '-2' for a count"),
            (APPLICATION.replace(b"2900", b"2900.5"), "has '2900.5' for a count"),
            (APPLICATION.replace(b"2900", b"1e3"), "has '1e3' for a count"),
            (APPLICATION.replace(b"2900", str(2**63).encode()), "for a count"),
            (APPLICATION.replace(b"2900", "٣".encode()), "for a count"),
            (APPLICATION.replace(b"2900", b"9" * 5000), "for a count"),
            (APPLICATION.replace(b"2026-03-02", b"2026-02-30"), r"Line 3 of the report: Date \(UTC\) must be a day"),
            (APPLICATION.replace(b"2026-03-02", b""), r"Line 3 of the report: Date \(UTC\)"),
            (APPLICATION.replace(b"2026-03-02", b"9999-12-31T23:59-12:00"), r"Line 3 of the report: Date \(UTC\)"),
            (APPLICATION.decode().encode("utf-16"), "is no UTF-8 text"),
            (APPLICATION.decode().encode("utf-16-le"), "lacks the column|is no CSV"),
            (APPLICATION.replace(b"700", b"\xe9"), "is no UTF-8 text"),
            (APPLICATION.replace(b"\n", b"\r"), "is no CSV near line 1"),
            (APPLICATION.replace(b"700", b'"700'), "is no CSV near line 2"),
            (with_column(APPLICATION, ("Note", '"two\nlines"')), "is no CSV near line 2"),
            (with_column(APPLICATION, ("Note", "x" * 200_000)), "is no CSV near line 2"),
            (APPLICATION + b"x" * (2 << 20), "a line of more than 1,048,576 bytes"),
        ],
    )
    @pytest.mark.parametrize("size", [1 << 30, 7])
    def test_is_a_clear_error(self, data: bytes, told: str, size: int) -> None:
        if size == 7 and len(data) > 1 << 20:
            size = 100_000
        with pytest.raises(ApnsReportError, match=told) as raised:
            read(data, Dataset.APPLICATION, [size] * (len(data) // size))
        assert raised.value.retryable
        assert len(str(raised.value)) < 600

    @given(datasets, st.binary(max_size=200), st.integers(0, 3), cuts)
    def test_any_bytes_are_rows_or_an_error_of_the_family(
        self, dataset: Dataset, junk: bytes, lines: int, sizes: list[int]
    ) -> None:
        data = b"\n".join([*REPORTS[dataset].splitlines()[:lines], junk])
        for consume in (read, check):
            try:
                consume(data, dataset, sizes)
            except ApnsError as error:
                assert len(str(error)) < 1000  # noqa: PT017

    @given(
        datasets,
        st.lists(
            st.lists(st.text(alphabet='0123456789-,"\r\n ab\x00', max_size=8), min_size=4, max_size=5), max_size=4
        ),
        cuts,
    )
    def test_chunking_never_decides_whether_it_can_be_read(
        self, dataset: Dataset, lines: list[list[str]], sizes: list[int]
    ) -> None:
        text = REPORTS[dataset].decode().splitlines()[0] + "\n" + "\n".join(",".join(line) for line in lines)
        outcomes = []
        for some in ((), sizes, [1] * len(text)):
            try:
                outcomes.append(read(text.encode(), dataset, some))
            except ApnsReportError as error:
                outcomes.append(type(error))  # type: ignore[arg-type]
        assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_signed_url_in_what_is_no_report_is_not_shown() -> None:
    page = b"<a href='https://store.example.com/x.csv?Signature=s3cret'>moved</a>\n"
    for look in (lambda: read(page, Dataset.APPLICATION), lambda: check(page, None, [])):
        with pytest.raises(ApnsReportError, match=r"begins with .*store\.example\.com") as raised:
            look()
        assert "s3cret" not in str(raised.value)


class TestCsvCheck:
    """A look at a report that is passed on byte for byte."""

    @given(datasets, cuts)
    def test_apples_csv_passes_in_any_chunks(self, dataset: Dataset, sizes: list[int]) -> None:
        check(REPORTS[dataset], dataset, sizes)
        check(REPORTS[dataset], None, sizes)

    @pytest.mark.parametrize(
        ("data", "told"),
        [
            (b"", "is not the CSV of"),
            (b"<html>Sign in</html>", "begins with '<html>Sign in</html>'"),
            (b"<html>\n<body>", "begins with '<html>"),
            (b'{"status": "FAILED"}\n', "is not the CSV of"),
            (DELIVERY, "lacks the columns"),
            (APPLICATION[:-2].rpartition(b",")[0], "last line has 4 of 5 columns"),
            (APPLICATION + b"2026-", "last line has 1 of 5 columns"),
            (APPLICATION.decode().encode("utf-16"), "is not the CSV of|is no UTF-8"),
            (b"x" * (2 << 20), "is no CSV: it begins with 'xxx"),
            (APPLICATION.replace(b"\n", b"\r"), "no CSV"),
        ],
    )
    def test_anything_else_does_not(self, data: bytes, told: str) -> None:
        for sizes in ((), [1000] * (len(data) // 1000), [3] * (len(data) % 4000)):
            with pytest.raises(ApnsReportError, match=told):
                check(data, Dataset.APPLICATION, sizes)

    @given(datasets, st.data(), cuts)
    def test_a_row_that_is_cut_is_noticed_before_its_last_column(
        self, dataset: Dataset, data: st.DataObject, sizes: list[int]
    ) -> None:
        report = REPORTS[dataset]
        last_line = report.rstrip(b"\n").rfind(b"\n") + 1
        end = data.draw(st.integers(last_line + 1, report.rfind(b",")))
        with pytest.raises(ApnsReportError, match="cut short"):
            check(report[:end], dataset, sizes)


class TestColumns:
    def test_normalised_names(self) -> None:
        names = {dataset: [snake_case(name) for name, _ in columns] for dataset, columns in APPLE_COLUMNS.items()}
        assert names == {
            Dataset.APPLICATION: [
                "date",
                "broadcasts_published",
                "broadcasts_delivered",
                "total_subscriptions",
                "unique_subscribers",
            ],
            Dataset.CHANNEL: ["date", "broadcasts_published", "broadcasts_delivered", "total_subscriptions"],
            Dataset.DELIVERY: ["date", "push_type", "status", "count"],
        }

    @pytest.mark.parametrize("dataset", Dataset)
    def test_withheld_is_documented_where_it_can_be(self, dataset: Dataset) -> None:
        assert (Column("withheld", "boolean") in documented_columns(dataset)) is has_withheld(dataset)
        assert has_withheld(dataset) is (dataset is not Dataset.DELIVERY)

    @given(st.text())
    def test_any_name_becomes_a_column_name(self, name: str) -> None:
        assert snake_case(name).isascii()
        assert snake_case(name).replace("_", "").isalnum()


COLUMNS = (
    Column("date", "date"),
    Column("app_id", "string"),
    Column("count", "count"),
    Column("withheld", "boolean"),
    Column("note", "string"),
)
# Without NUL, which Python 3.10 neither reads from a CSV nor writes into one.
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
table = st.lists(
    st.tuples(st.dates(), texts, st.none() | st.integers(0, 2**63 - 1), st.booleans(), st.none() | texts),
    max_size=8,
)


def written(rows: Iterable[Row], output_format: str, columns: tuple[Column, ...] = COLUMNS) -> bytes:
    handle = io.BytesIO()
    rows = list(rows)
    assert write_report(iter(rows), columns, handle, output_format) == len(rows)
    return handle.getvalue()


class TestWriting:
    @given(table)
    def test_parquet_reads_back(self, rows: list[Row]) -> None:
        data = written(rows, "parquet")
        read_back = pyarrow.parquet.read_table(io.BytesIO(data))
        assert [tuple(row.values()) for row in read_back.to_pylist()] == rows
        assert {field.name: str(field.type) for field in read_back.schema} == {
            "date": "date32[day]",
            "app_id": "string",
            "count": "int64",
            "withheld": "bool",
            "note": "string",
        }
        metadata = pyarrow.parquet.ParquetFile(io.BytesIO(data)).metadata
        for group in range(metadata.num_row_groups):
            assert metadata.row_group(group).column(0).compression == "ZSTD"

    @given(table)
    def test_jsonl_reads_back(self, rows: list[Row]) -> None:
        lines = written(rows, "jsonl").decode().split("\n")
        assert lines.pop() == ""
        assert [tuple(json.loads(line).values()) for line in lines] == [(str(row[0]), *row[1:]) for row in rows]

    @given(table)
    def test_csv_reads_back(self, rows: list[Row]) -> None:
        text = written(rows, "csv").decode()
        header, *lines = csv.reader(io.StringIO(text, newline=""))
        assert header == [column.name for column in COLUMNS]
        assert lines == [
            [str(day), app, "" if count is None else str(count), "true" if withheld else "false", note or ""]
            for day, app, count, withheld, note in rows
        ]

    def test_csv_has_lf_line_ends_and_empty_fields_for_null(self) -> None:
        assert (
            written([(date(2026, 3, 1), "app", None, True, None)], "csv")
            == b"date,app_id,count,withheld,note\n2026-03-01,app,,true,\n"
        )

    def test_jsonl_has_real_nulls_and_booleans(self) -> None:
        assert (
            written([(date(2026, 3, 1), "ä", None, True, None)], "jsonl")
            == '{"date":"2026-03-01","app_id":"ä","count":null,"withheld":true,"note":null}\n'.encode()
        )

    @pytest.mark.parametrize("output_format", ["csv", "jsonl", "parquet"])
    def test_no_rows(self, output_format: str) -> None:
        data = written([], output_format)
        if output_format == "parquet":
            assert pyarrow.parquet.read_table(io.BytesIO(data)).column_names == [column.name for column in COLUMNS]
        else:
            assert data == (b"date,app_id,count,withheld,note\n" if output_format == "csv" else b"")

    @pytest.mark.parametrize("output_format", ["csv", "jsonl", "parquet"])
    def test_more_rows_than_one_batch(self, output_format: str) -> None:
        columns = (Column("count", "count"),)
        data = written(((n,) for n in range(120_001)), output_format, columns)
        if output_format == "parquet":
            assert pyarrow.parquet.read_table(io.BytesIO(data))["count"].to_pylist() == list(range(120_001))
        else:
            assert data.count(b"\n") == 120_001 + (output_format == "csv")

    @pytest.mark.parametrize("output_format", ["csv", "jsonl", "parquet"])
    def test_known_formats(self, output_format: str) -> None:
        assert check_output_format(output_format) == output_format

    @pytest.mark.parametrize("output_format", ["", "CSV", "xlsx", None])
    def test_another_format(self, output_format: Any) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=r"one of \('csv', 'jsonl', 'parquet'\)"):
            check_output_format(output_format)

    def test_without_pyarrow_the_error_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ApnsInvalidRequestError, match=r"pip install 'airflow-provider-apns\[parquet\]'"):
            check_output_format("parquet")
        assert check_output_format("csv") == "csv"
