from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import ApnsReportError
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.reports.columns import Row
from airflow_provider_apns.reports.reading import download_report, read_report
from tests.unit.helpers import SIGNED_URL, STATUS_URL, account, answer, result_of

APPLICATION = b"""Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions,Unique Subscribers
2026-03-01,3,2900,1000,700
2026-03-02,4,-1,-1,-1
"""
CHANNEL = b"""Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions
2026-03-01,3,-1,-1
"""
DELIVERY = b"""Push Type,Status,Date (UTC),Count
alert,delivered,2026-03-01,120
voip,stored,2026-03-01,-1
"""
REPORTS = {Dataset.APPLICATION: APPLICATION, Dataset.CHANNEL: CHANNEL, Dataset.DELIVERY: DELIVERY}
FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
ROWS: dict[Dataset, list[Row]] = {
    Dataset.APPLICATION: [(FIRST, 3, 2900, 1000, 700, False), (SECOND, 4, None, None, None, True)],
    Dataset.CHANNEL: [(FIRST, 3, None, None, True)],
    Dataset.DELIVERY: [(FIRST, "alert", "delivered", 120), (FIRST, "voip", "stored", None)],
}
HEADER = APPLICATION.splitlines()[0]

datasets = st.sampled_from(Dataset)


def rows_of(body: bytes, dataset: Dataset = Dataset.APPLICATION) -> list[Row]:
    return read_report(body, dataset, "report").rows


def with_column(*added: tuple[str, str]) -> bytes:
    """The application report with further columns, each with one value in all rows."""
    header, *lines = APPLICATION.decode().splitlines()
    names, values = (",".join(part) for part in zip(*added, strict=True))
    return "\n".join([f"{header},{names}", *(f"{line},{values}" for line in lines), ""]).encode()


class TestReading:
    @given(datasets, st.booleans(), st.booleans(), st.sampled_from(["\n", "\r\n", "\r", "\n\r\n"]), st.booleans())
    def test_bom_line_ends_and_the_last_newline_do_not_matter(
        self, dataset: Dataset, named: bool, bom: bool, line_end: str, last_newline: bool
    ) -> None:
        text = REPORTS[dataset].decode()
        text = (text if last_newline else text.rstrip()).replace("\n", line_end)
        body = text.encode("utf-8-sig" if bom else "utf-8")
        report = read_report(body, dataset if named else None, "report")
        assert (report.body, report.dataset, report.rows) == (body, dataset, ROWS[dataset])
        assert all(len(row) == len(report.columns) for row in report.rows)

    @given(st.permutations(range(5)))
    def test_reordered_columns(self, order: list[int]) -> None:
        lines = [line.split(",") for line in APPLICATION.decode().splitlines()]
        reordered = "\n".join(",".join(line[index] for index in order) for line in lines).encode()
        assert rows_of(reordered) == ROWS[Dataset.APPLICATION]

    def test_added_columns_pass_through(self) -> None:
        body = with_column(("Environment", "production"), ("Median Delay (ms)", "12.5"))
        report = read_report(body, Dataset.APPLICATION, "report")
        assert [column.name for column in report.columns][-3:] == ["withheld", "environment", "median_delay_ms"]
        assert report.rows == [(*row, "production", "12.5") for row in ROWS[Dataset.APPLICATION]]

    @pytest.mark.parametrize("body", [HEADER, HEADER + b"\n", HEADER + b"\r\n\r\n\n", b"\n" + HEADER])
    def test_a_header_without_rows_is_an_empty_report(self, body: bytes) -> None:
        assert rows_of(body) == []

    @pytest.mark.parametrize(
        ("body", "index", "value"),
        [
            (APPLICATION.replace(b"2900", b""), 2, None),  # null, but not withheld
            (APPLICATION.replace(b"2900", b" 2900 "), 2, 2900),
            (APPLICATION.replace(b"2900", str(2**63 - 1).encode()), 2, 2**63 - 1),
            (APPLICATION.replace(b"2026-03-01", b"2026-03-01T00:00:00Z"), 0, FIRST),
            (with_column(("Note", '"a ""b"", c"')), 6, 'a "b", c'),
            (with_column(("Note", '"two\r\nlines"')), 6, "two\r\nlines"),
        ],
    )
    def test_values(self, body: bytes, index: int, value: object) -> None:
        row = rows_of(body)[0]
        assert row[index] == value
        assert row[5] is False

    def test_downloads_it_first(self) -> None:
        ready = answer(body={"status": "SUCCESS", "downloadDetails": {"dataUrl": SIGNED_URL}})
        sent = [answer(200, body, {"Transfer-Encoding": "chunked"}) for body in (CHANNEL, CHANNEL[:-2])]
        assert result_of(download_report(account(), STATUS_URL, Dataset.CHANNEL, 1000), ready, sent[0]).body == CHANNEL
        with pytest.raises(
            ApnsReportError, match=f"Line 2 of the report of export {STATUS_URL} has '-' instead of a count"
        ):
            result_of(download_report(account(), STATUS_URL, None, 1000), ready, sent[1])


class TestUnreadable:
    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b"", "is empty: it does not even have a header"),
            (b"\n\r\n\n", "is empty: it does not even have a header"),
            (DELIVERY, "of the application dataset: it lacks the columns Broadcasts Published, Broadcasts Delivered"),
            (APPLICATION.replace(b"Unique Subscribers", b"Unique Users"), "lacks the column Unique Subscribers"),
            (b"<!DOCTYPE html>\n<html></html>\n", "begins with '<!DOCTYPE html>"),
            (b'{"status": "FAILED"}\n', "lacks the columns"),
            (with_column(("Date (UTC)", "x")), r"duplicate columns: Date \(UTC\)"),
            (b",".join(b"c%d" % n for n in range(300)), "it has 300 columns"),
            (APPLICATION + b"2026-03-03,1,2,3\n", "Line 4 of the report has 4 columns instead of 5"),
            (APPLICATION + b"2026-03-03,1,2,3,4,5\n", "Line 4 of the report has 6 columns instead of 5"),
            (with_column(("Note", '"two\nlines"')) + b"x", "Line 6 of the report has 1 columns instead of 6"),
            (APPLICATION.replace(b"2900", b"many"), "Line 2 of the report has 'many' instead of a count"),
            (APPLICATION.replace(b"2900", b"-2"), "has '-2' instead of a count"),
            (APPLICATION.replace(b"2900", b"2900.5"), "has '2900.5' instead of a count"),
            (APPLICATION.replace(b"2900", str(2**63).encode()), "instead of a count"),
            (APPLICATION.replace(b"2900", "٣".encode()), "instead of a count"),
            (APPLICATION.replace(b"2900", b"9" * 5000), "instead of a count"),
            (APPLICATION.replace(b"2026-03-02", b"2026-02-30"), r"Line 3 of the report: Date \(UTC\) must be a day"),
            (APPLICATION.replace(b"2026-03-02", b"9999-12-31T23:59-12:00"), r"Line 3 of the report: Date \(UTC\)"),
            (APPLICATION.decode().encode("utf-16"), "is not UTF-8 text"),
            (APPLICATION.decode().encode("utf-16-le"), "lacks the column|is not valid CSV"),
            (APPLICATION.replace(b"700", b"\xe9"), "is not UTF-8 text"),
            (APPLICATION.replace(b"700", b'"700'), "is not valid CSV near line 3"),
            (with_column(("Note", "x" * 200_000)), "is not valid CSV near line 2"),
        ],
    )
    def test_is_a_clear_error(self, body: bytes, told: str) -> None:
        with pytest.raises(ApnsReportError, match=told) as raised:
            rows_of(body)
        assert raised.value.retryable
        assert len(str(raised.value)) < 600

    @given(st.integers(1, 400), st.data())
    def test_all_rows_are_checked(self, rows: int, data: st.DataObject) -> None:
        lines = [HEADER, *[b"2026-03-01,1,2,3,4"] * rows]
        broken = data.draw(st.integers(1, rows))
        lines[broken] = b"2026-03-01,1,2,x,4"
        with pytest.raises(ApnsReportError, match=f"^Line {broken + 1} of the report has 'x' instead of a count"):
            rows_of(b"\n".join(lines))

    @given(datasets, st.data())
    def test_a_row_that_is_cut_is_noticed_before_its_last_column(self, dataset: Dataset, data: st.DataObject) -> None:
        body = REPORTS[dataset]
        last_line = body.rstrip(b"\n").rfind(b"\n") + 1
        with pytest.raises(ApnsReportError, match="columns instead of"):
            rows_of(body[: data.draw(st.integers(last_line + 1, body.rfind(b",")))], dataset)

    @given(datasets, st.binary(max_size=200) | st.text('0123456789-,"\r\n ab\x00').map(str.encode), st.integers(0, 3))
    def test_any_bytes_are_rows_or_a_short_error(self, dataset: Dataset, junk: bytes, lines: int) -> None:
        try:
            rows_of(b"\n".join([*REPORTS[dataset].splitlines()[:lines], junk]), dataset)
        except ApnsReportError as error:
            assert len(str(error)) < 1000  # noqa: PT017

    def test_a_signed_url_in_what_is_no_report_is_not_shown(self) -> None:
        with pytest.raises(ApnsReportError, match=r"begins with .*store\.example\.com") as raised:
            rows_of(f"<a href='{SIGNED_URL}'>moved</a>\n".encode())
        assert "s3cret" not in str(raised.value)
