from __future__ import annotations

import os
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import fsspec
import pytest

from airflow_provider_apns.batches.layout import Key
from airflow_provider_apns.batches.listing import list_objects, modified_at
from airflow_provider_apns.exceptions import ApnsStorageError
from airflow_provider_apns.protocol.days import Days

MARCH = Days(date(2026, 3, 1), date(2026, 3, 31))
FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)
WRITTEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc)


class Counting:
    """A local file system that counts its listings."""

    def __init__(self) -> None:
        self._fs = fsspec.filesystem("file")
        self.listed: list[str] = []

    def ls(self, path: str, detail: bool) -> Any:
        self.listed.append(path)
        return self._fs.ls(path, detail=detail)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fs, name)


class Refusing(Counting):
    """A store with the right to write, and no other."""

    def ls(self, path: str, detail: bool) -> Any:
        raise PermissionError("Access Denied")


def test_without_the_right_to_list_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        ApnsStorageError, match=rf"^{tmp_path} cannot be listed \(Access Denied\)\. To keep a path complete"
    ):
        list_objects(Refusing(), f"{tmp_path}/{{date}}.csv", MARCH)


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (WRITTEN.timestamp(),) * 2)


@pytest.mark.parametrize(
    ("path", "names", "keys", "listings"),
    [
        ("{date}.csv", ["2026-03-01.csv", "2026-03-02.csv"], [Key(FIRST), Key(SECOND)], 1),
        ("day={date}/m.csv", ["day=2026-03-01/m.csv", "day=2026-03-02/other.csv"], [Key(FIRST)], 3),
        ("a/{date}/b/{date}.csv", ["a/2026-03-01/b/2026-03-01.csv", "a/2026-03-02/b/2026-03-01.csv"], [Key(FIRST)], 3),
        ("{channel_id}-{date}.csv", ["-_8-2026-03-01.csv"], [Key(FIRST, "+/8=")], 1),
        (
            "channel={channel_id}/{date}.csv",
            ["channel=AAAA/2026-03-01.csv", "channel=BBBB/2026-03-02.csv"],
            [Key(FIRST, "AAAA"), Key(SECOND, "BBBB")],
            3,
        ),
    ],
)
def test_objects_are_found_with_one_listing_for_each_folder(
    tmp_path: Path, path: str, names: list[str], keys: list[Key], listings: int
) -> None:
    write(tmp_path, *names, "2026-04-01.csv", "day=2026-04-01/m.csv", "2026-03-99.csv", "notes.txt")
    fs = Counting()
    assert list_objects(fs, f"{tmp_path}/{path}", MARCH) == dict.fromkeys(keys, WRITTEN)
    assert len(fs.listed) == listings


@pytest.mark.parametrize("path", ["{date}.csv", "day={date}/m.csv", "channel={channel_id}/{date}.csv"])
def test_of_earlier_days_the_newest_is_found_and_no_other_is_looked_at(tmp_path: Path, path: str) -> None:
    days = [date(2026, 2, 28), date(2026, 2, 27), date(2025, 2, 28)]
    write(tmp_path, *(path.format(date=day, channel_id="AAAA") for day in [*days, SECOND]))
    fs = Counting()
    found = list_objects(fs, f"{tmp_path}/{path}", MARCH)
    assert [key.day for key in found] == [SECOND, days[0]]
    assert len(fs.listed) <= 3


def test_a_folder_with_the_name_of_an_object_is_none(tmp_path: Path) -> None:
    (tmp_path / "2026-03-01.csv").mkdir()
    assert list_objects(fsspec.filesystem("file"), f"{tmp_path}/{{date}}.csv", MARCH) == {}


def test_nothing_is_stored_where_there_is_no_folder(tmp_path: Path) -> None:
    assert list_objects(fsspec.filesystem("file"), f"{tmp_path}/none/{{date}}.csv", MARCH) == {}


@pytest.mark.parametrize(
    "entry",
    [
        {"LastModified": WRITTEN},
        {"last_modified": WRITTEN},
        {"mtime": WRITTEN.timestamp()},
        {"mtime": "2026-03-04T05:06:07.000Z", "updated": "2027-01-01T00:00:00Z"},
        {"modified": datetime(2026, 3, 4, 5, 6, 7)},
    ],
    ids=["S3", "Azure", "local", "Google", "naive"],
)
def test_each_store_has_its_own_name_for_when_an_object_was_written(entry: dict[str, Any]) -> None:
    assert modified_at(None, entry) == WRITTEN


def test_a_store_that_does_not_tell_when_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    class Silent(fsspec.AbstractFileSystem):  # type: ignore[misc]
        protocol = "silent"

        def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
            return [{"name": f"{path}/{day}.csv", "type": "file", "size": 1} for day in MARCH]

    found = list_objects(Silent(), "bucket/{date}.csv", MARCH)
    assert set(found.values()) == {None}
    assert caplog.text.count("does not say when objects were written") == 1
