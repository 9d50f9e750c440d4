from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_apns.batches.layout import Layout
from airflow_provider_apns.batches.loops import run_in_thread
from airflow_provider_apns.batches.publishing import Destination, Written, changed_days, merge
from airflow_provider_apns.exceptions import ApnsStorageError, ApnsWriteError
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.reports.columns import Column, Row, normalised_columns
from airflow_provider_apns.reports.tables import Table

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(3)]
# In this order they are neither sorted nor safe as file names.
CHANNELS = ("zz8AAA==", "+/8AAA==", "AAAAAAA=")
COLUMNS = normalised_columns(Dataset.CHANNEL)


def row(day: date, channel_id: str, count: int | None = 1, app_id: str = "com.example.app") -> Row:
    return (day, app_id, channel_id, count, 2, 3, False)


def table(*rows: Row) -> Table:
    made = Table(COLUMNS)
    made.add(rows, COLUMNS)
    made.sort()
    return made


ALL = table(*(row(day, channel) for channel in CHANNELS for day in DAYS))


def written(rows: Table, template: str) -> list[Written]:
    destination = Destination(Layout(template), "csv", Dataset.CHANNEL)
    keys = destination.layout.keys(dict.fromkeys(CHANNELS, DAYS))

    async def write() -> list[Written]:
        return [one async for one in destination.write(rows, keys, DAYS)]

    return run_in_thread(write)


def read(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="") as file:
        return [(line["date"], line["channel_id"]) for line in csv.DictReader(file)]


def test_one_object(tmp_path: Path) -> None:
    (result,) = written(ALL, f"{tmp_path}/all.csv")
    assert (result.path, result.rows, result.days) == (f"{tmp_path}/all.csv", 9, set(DAYS))
    assert result.size == (tmp_path / "all.csv").stat().st_size
    assert read(tmp_path / "all.csv") == [(str(day), channel) for day in DAYS for channel in sorted(CHANNELS)]


def test_one_object_per_day(tmp_path: Path) -> None:
    results = written(ALL, f"{tmp_path}/{{date}}.csv")
    assert [(result.rows, result.days) for result in results] == [(3, {day}) for day in reversed(DAYS)]
    for day in DAYS:
        assert read(tmp_path / f"{day}.csv") == [(str(day), channel) for channel in sorted(CHANNELS)]


def test_a_day_or_channel_without_rows_has_an_object_too(tmp_path: Path) -> None:
    results = written(table(row(FIRST, "zz8AAA==")), f"{tmp_path}/{{date}}/{{channel_id}}.csv")
    assert len(results) == 9
    assert [result.path for result in results if result.rows] == [f"{tmp_path}/2026-03-01/zz8AAA.csv"]
    assert read(tmp_path / "2026-03-03" / "AAAAAAA.csv") == []


@settings(max_examples=25)
@given(st.sets(st.tuples(st.sampled_from(DAYS), st.sampled_from(CHANNELS))))
def test_no_row_is_lost_and_none_comes_twice(picks: set[tuple[date, str]]) -> None:
    import tempfile

    for template in ("{date}-{channel_id}.csv", "{date}.csv", "{channel_id}.csv", "all.csv"):
        with tempfile.TemporaryDirectory() as folder:
            results = written(table(*(row(*pick) for pick in picks)), f"{folder}/{template}")
            read_back = [line for result in results for line in read(Path(result.path))]
        assert sorted(read_back) == sorted((str(day), channel) for day, channel in picks)


rows = st.builds(row, st.sampled_from(DAYS), st.sampled_from(CHANNELS), st.integers(1, 3), st.sampled_from(["a", "b"]))


@given(st.lists(rows, unique_by=lambda row: row[:3]), st.lists(rows, unique_by=lambda row: row[:3]))
def test_merging_takes_what_is_new_and_keeps_the_rest(fresh: list[Row], stored: list[Row]) -> None:
    merged, kept = merge(table(*fresh), table(*stored))
    assert {line[:3] for line in merged.rows} == {line[:3] for line in (*fresh, *stored)}
    assert set(fresh) <= set(merged.rows)
    assert kept == len(merged.rows) - len(fresh)
    assert merged.rows == table(*merged.rows).rows
    changed = changed_days(merged, table(*stored))
    for day in DAYS:
        before, after = ({line for line in lines if line[0] == day} for lines in (stored, merged.rows))
        assert (day in changed) is (before != after)


def test_a_stored_column_that_the_new_report_lacks_stays() -> None:
    stored = Table((*COLUMNS, Column("environment", "string")))
    stored.add([(*row(DAYS[0], "AAAAAAA="), "production")], stored.columns)
    merged, kept = merge(table(row(DAYS[1], "AAAAAAA=")), stored)
    assert kept == 1
    assert [line[-1] for line in merged.rows] == ["production", None]


def test_a_failing_store_is_told_by_the_objects_path(tmp_path: Path) -> None:
    (tmp_path / "2026-03-02").write_text("a file where a folder should be")
    with pytest.raises((ApnsWriteError, ApnsStorageError, OSError), match="2026-03-02"):
        written(ALL, f"{tmp_path}/{{date}}/report.csv")


def test_any_object_in_the_way_is_named(tmp_path: Path) -> None:
    destination = Destination(Layout(f"{tmp_path}/{{date}}/{{channel_id}}.csv"), "csv", Dataset.CHANNEL)
    keys = destination.layout.keys(dict.fromkeys(CHANNELS, DAYS))
    destination.check_free(keys)
    in_the_way = tmp_path / "2026-03-03" / "zz8AAA.csv"
    in_the_way.parent.mkdir()
    in_the_way.touch()
    with pytest.raises(ApnsStorageError, match=f"{in_the_way} already exists"):
        destination.check_free(keys)
