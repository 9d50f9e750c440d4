from __future__ import annotations

import sys
from typing import Any

import pytest

from airflow_provider_apns.exceptions import ApnsInvalidRequestError
from airflow_provider_apns.reports.formats import read_format


@pytest.mark.parametrize(
    ("path", "output_format", "found"),
    [
        ("s3://bucket/{date}.csv", None, "csv"),
        ("out/report.v2.JSONL", None, "jsonl"),
        ("{channel_id}.parquet", "parquet", "parquet"),
        ("out/report.csv.gz", "csv", "csv"),
        ("out.csv/report", "jsonl", "jsonl"),
        ("out/csv", "parquet", "parquet"),
    ],
)
def test_the_suffix_names_the_format_unless_it_is_given(path: str, output_format: str | None, found: str) -> None:
    assert read_format(path, output_format) == found


@pytest.mark.parametrize(
    ("path", "output_format", "told"),
    [
        ("out/report", None, "'out/report' does not say its format: end it in .csv, .jsonl or .parquet, or set"),
        ("out/report.txt", None, "does not say its format"),
        ("out.csv/report", None, "does not say its format"),
        ("out.csv/", None, "does not say its format"),
        ("out/csv", None, "does not say its format"),
        ("out/report.csv", "parquet", "'parquet' contradicts the suffix of path 'out/report.csv'"),
        ("out/report", "xlsx", "must be one of csv, jsonl, parquet, not 'xlsx'"),
        ("out/report.csv", "CSV", "must be one of"),
        ("out/report.csv", "", "must be one of"),
        ("out/report", 7, "must be one of"),
    ],
)
def test_anything_else_is_a_clear_error(path: str, output_format: Any, told: str) -> None:
    with pytest.raises(ApnsInvalidRequestError, match=told):
        read_format(path, output_format)


def test_without_pyarrow_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ApnsInvalidRequestError, match=r"pip install 'airflow-provider-apns\[parquet\]'"):
        read_format("out.parquet", None)
    assert read_format("out.csv", None) == "csv"
