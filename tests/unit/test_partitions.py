from __future__ import annotations

import base64
import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_apns.batches import new_spool
from airflow_provider_apns.exceptions import ApnsInvalidRequestError, ApnsStorageError
from airflow_provider_apns.exports import Dataset, Window
from airflow_provider_apns.partitions import Layout, Written, check_destination, file_name_of, write_objects
from airflow_provider_apns.reports import Row
from airflow_provider_apns.spool import Spool

FIRST = date(2026, 3, 1)
WINDOW = Window(FIRST, FIRST + timedelta(days=2))
# In this order they are neither sorted nor safe as file names.
CHANNELS = ("zz8AAA==", "+/8AAA==", "AAAAAAA=")


def rows(channels: tuple[str, ...] = CHANNELS, days: int = 3) -> list[Row]:
    return [
        (FIRST + timedelta(days=offset), "com.example.app", channel, 1, 2, 3, False)
        for channel in channels
        for offset in range(days)
    ]


@pytest.fixture
def spool() -> Iterator[Spool]:
    with new_spool(Dataset.CHANNEL) as spool:
        yield spool


def written(spool: Spool, template: str, output_format: str = "csv") -> list[Written]:
    return list(write_objects(spool, Layout(template), WINDOW, CHANNELS, output_format))


def read(path: Path) -> list[tuple[str, str]]:
    with path.open(newline="") as file:
        return [(row["date"], row["channel_id"]) for row in csv.DictReader(file)]


class TestFileNames:
    @given(st.binary(min_size=1, max_size=24))
    def test_are_safe_and_lead_back_to_the_channel(self, raw: bytes) -> None:
        name = file_name_of(base64.b64encode(raw).decode())
        assert set(name).isdisjoint("+/=%?#& .")
        assert base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)) == raw


class TestLayout:
    @pytest.mark.parametrize(
        ("template", "partition", "path"),
        [
            ("s3://b/all.csv", (), "s3://b/all.csv"),
            ("s3://b/{date}.csv", ("date",), "s3://b/2026-03-01.csv"),
            ("s3://b/{channel_id}.csv", ("channel_id",), "s3://b/-_8AAA.csv"),
            ("s3://b/{channel_id}/{date}.csv", ("date", "channel_id"), "s3://b/-_8AAA/2026-03-01.csv"),
            ("s3://b/date={date}/{date}.csv", ("date",), "s3://b/date=2026-03-01/2026-03-01.csv"),
        ],
    )
    def test_placeholders(self, template: str, partition: tuple[str, ...], path: str) -> None:
        layout = Layout.read(template, None, Dataset.CHANNEL)
        assert layout.partition == partition
        values = {"date": FIRST, "channel_id": "+/8AAA=="}
        assert layout.path_of(tuple(values[name] for name in partition)) == path

    def test_keys_come_in_the_order_of_the_rows(self) -> None:
        keys = list(Layout("{date}/{channel_id}").keys(WINDOW, CHANNELS))
        assert keys == sorted(keys)  # type: ignore[type-var]
        assert len(keys) == 9
        assert list(Layout("x").keys(WINDOW, CHANNELS)) == [()]

    @pytest.mark.parametrize("dataset", [Dataset.APPLICATION, Dataset.DELIVERY])
    def test_an_object_per_channel_where_there_are_none(self, dataset: Dataset) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=f"the {dataset.short_name} dataset has no channels"):
            Layout.read("s3://b/{channel_id}.csv", None, dataset)

    @pytest.mark.parametrize("template", ["", "s3://b/{date}/"])
    def test_a_path_that_names_no_object(self, template: str) -> None:
        with pytest.raises(ApnsStorageError, match="names no object"):
            Layout.read(template, None, Dataset.CHANNEL)


class TestWriting:
    def test_one_object(self, spool: Spool, tmp_path: Path) -> None:
        spool.add(rows(), spool.columns)
        (result,) = written(spool, f"{tmp_path}/all.csv")
        assert (result.path, result.rows) == (f"{tmp_path}/all.csv", 9)
        assert result.size == (tmp_path / "all.csv").stat().st_size
        assert read(tmp_path / "all.csv") == sorted((str(row[0]), str(row[2])) for row in rows())

    def test_one_per_day(self, spool: Spool, tmp_path: Path) -> None:
        spool.add(rows(), spool.columns)
        assert [result.rows for result in written(spool, f"{tmp_path}/{{date}}.csv")] == [3, 3, 3]
        for offset in range(3):
            day = str(FIRST + timedelta(days=offset))
            assert read(tmp_path / f"{day}.csv") == [(day, channel) for channel in sorted(CHANNELS)]

    def test_one_per_channel(self, spool: Spool, tmp_path: Path) -> None:
        spool.add(rows(), spool.columns)
        written(spool, f"{tmp_path}/{{channel_id}}.csv")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["-_8AAA.csv", "AAAAAAA.csv", "zz8AAA.csv"]
        assert read(tmp_path / "-_8AAA.csv") == [(str(day), "+/8AAA==") for day in WINDOW.days()]

    @pytest.mark.parametrize("output_format", ["csv", "jsonl", "parquet"])
    def test_one_per_day_and_channel(self, spool: Spool, tmp_path: Path, output_format: str) -> None:
        spool.add(rows(), spool.columns)
        results = written(spool, f"{tmp_path}/{{channel_id}}/{{date}}", output_format)
        assert [result.rows for result in results] == [1] * 9
        assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 9

    def test_a_day_or_channel_without_rows_has_an_object_too(self, spool: Spool, tmp_path: Path) -> None:
        spool.add(rows(("zz8AAA==",), days=1), spool.columns)
        results = written(spool, f"{tmp_path}/{{date}}/{{channel_id}}.csv")
        assert {result.path.removeprefix(f"{tmp_path}/"): result.rows for result in results if result.rows} == {
            "2026-03-01/zz8AAA.csv": 1
        }
        assert len(results) == 9
        assert read(tmp_path / "2026-03-03" / "AAAAAAA.csv") == []

    @settings(max_examples=25)
    @given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(CHANNELS)), max_size=12))
    def test_no_row_is_lost_and_none_comes_twice(self, picks: list[tuple[int, str]]) -> None:
        import tempfile

        given_rows = [(FIRST + timedelta(days=offset), "app", channel, 1, 1, 1, False) for offset, channel in picks]
        with tempfile.TemporaryDirectory() as folder, new_spool(Dataset.CHANNEL) as spool:
            spool.add(given_rows, spool.columns)
            for template in ("{date}-{channel_id}", "{date}", "{channel_id}", "all"):
                results = written(spool, f"{folder}/{template}")
                read_back = [row for result in results for row in read(Path(result.path))]
                assert sorted(read_back) == sorted((str(row[0]), str(row[2])) for row in given_rows)

    def test_a_failing_store_is_told(self, spool: Spool, tmp_path: Path) -> None:
        spool.add(rows(), spool.columns)
        (tmp_path / "2026-03-02").write_text("a file where a folder should be")
        with pytest.raises(OSError, match="2026-03-02"):
            written(spool, f"{tmp_path}/{{date}}/report.csv")


class TestCheckDestination:
    def test_any_object_in_the_way_is_named(self, tmp_path: Path) -> None:
        layout = Layout(f"{tmp_path}/{{date}}/{{channel_id}}.csv")
        check_destination(layout, WINDOW, CHANNELS, overwrite=False)
        in_the_way = tmp_path / "2026-03-03" / "zz8AAA.csv"
        in_the_way.parent.mkdir()
        in_the_way.touch()
        with pytest.raises(ApnsStorageError, match=f"{in_the_way} exists already"):
            check_destination(layout, WINDOW, CHANNELS, overwrite=False)
        check_destination(layout, WINDOW, CHANNELS, overwrite=True)
