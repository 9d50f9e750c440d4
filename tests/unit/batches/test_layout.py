from __future__ import annotations

import base64
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.batches.layout import Key, Layout
from airflow_provider_apns.exceptions import ApnsInvalidRequestError
from airflow_provider_apns.protocol.channel_ids import channel_id_of, file_name_of
from airflow_provider_apns.protocol.datasets import Dataset

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(3)]


@given(st.binary(min_size=1, max_size=24))
def test_a_channels_file_name_is_safe_and_leads_back_to_it(raw: bytes) -> None:
    channel_id = base64.b64encode(raw).decode()
    assert set(file_name_of(channel_id)).isdisjoint("+/=%?#& .")
    assert channel_id_of(file_name_of(channel_id)) == channel_id


@pytest.mark.parametrize(
    ("template", "key", "path"),
    [
        ("s3://b/all.csv", Key(), "s3://b/all.csv"),
        ("s3://b/{date}.csv", Key(FIRST), "s3://b/2026-03-01.csv"),
        ("s3://b/{channel_id}.csv", Key(None, "+/8AAA=="), "s3://b/-_8AAA.csv"),
        ("s3://b/{channel_id}/{date}.csv", Key(FIRST, "+/8AAA=="), "s3://b/-_8AAA/2026-03-01.csv"),
        ("s3://b/date={date}/{date}.csv", Key(FIRST), "s3://b/date=2026-03-01/2026-03-01.csv"),
        ("s3://b/{dataset}/app={app_id}/{date}.csv", Key(FIRST), "s3://b/channel/app=com.example.app/2026-03-01.csv"),
    ],
)
def test_placeholders(template: str, key: Key, path: str) -> None:
    assert Layout.read(template, Dataset.CHANNEL, "com.example.app").path_of(key) == path


def test_the_newest_day_is_written_first() -> None:
    keys = Layout("{channel_id}/{date}.csv").keys({"BBBB": DAYS, "AAAA": DAYS[:1]})
    assert keys == [Key(DAYS[2], "BBBB"), Key(DAYS[1], "BBBB"), Key(DAYS[0], "BBBB"), Key(DAYS[0], "AAAA")]
    assert Layout("{date}.csv").keys({"BBBB": DAYS, "AAAA": DAYS}) == [Key(day) for day in reversed(DAYS)]
    assert Layout("all.csv").keys({None: DAYS}) == [Key()]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("s3://b/{day}.csv", "unknown placeholder {day}"),
        ("s3://b/{Date}.csv", "unknown placeholder {Date}"),
        ("s3://b/{}.csv", "unknown placeholder {}"),
        ("s3://b/{{ ds }}.csv", "has a template in it"),
        ("s3://b/{channel_id}.csv", "the delivery dataset has no channels"),
    ],
)
def test_a_wrong_placeholder_is_named(path: str, told: str) -> None:
    with pytest.raises(ApnsInvalidRequestError, match=told):
        Layout.read(path, Dataset.DELIVERY, "com.example.app")
