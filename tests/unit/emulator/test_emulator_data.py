"""The numbers: the same every time, and like those of a real app."""

from __future__ import annotations

import base64
import csv
import io
from datetime import date, timedelta

import pytest

from airflow_provider_apns.emulator.data import Numbers, Query, channel_ids
from airflow_provider_apns.emulator.settings import APPLICATION, CHANNEL, DATASETS, DELIVERY

TODAY = date(2026, 3, 10)
MONTH = (TODAY - timedelta(days=30), TODAY - timedelta(days=1))
NUMBERS = Numbers(seed=0, app_id="com.example.app")
CHANNELS = channel_ids(0, "com.example.app", 500)


def rows(query, numbers=NUMBERS):
    return list(csv.DictReader(io.StringIO(bytes(numbers.csv(query, TODAY)).decode())))


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_columns_are_apples_in_apples_order(dataset):
    text = bytes(NUMBERS.csv(Query(dataset, *MONTH, CHANNELS[0]), TODAY)).decode()
    assert text.splitlines()[0] == ",".join(dataset.columns)
    assert text.endswith("\n")
    assert "\r" not in text


def test_there_is_one_row_a_day():
    days = [row["Date (UTC)"] for row in rows(Query(APPLICATION, *MONTH))]
    assert days == [str(MONTH[0] + timedelta(days=n)) for n in range(30)]


def test_a_day_has_the_same_numbers_in_every_window():
    narrow = rows(Query(CHANNEL, MONTH[0] + timedelta(days=3), MONTH[0] + timedelta(days=4), CHANNELS[0]))
    assert narrow == rows(Query(CHANNEL, *MONTH, CHANNELS[0]))[3:5]


def test_seed_app_channel_and_dataset_all_matter():
    one = bytes(NUMBERS.csv(Query(CHANNEL, *MONTH, CHANNELS[0]), TODAY))
    assert one == bytes(Numbers(0, "com.example.app").csv(Query(CHANNEL, *MONTH, CHANNELS[0]), TODAY))
    assert one != bytes(NUMBERS.csv(Query(CHANNEL, *MONTH, CHANNELS[1]), TODAY))
    assert one != bytes(Numbers(1, "com.example.app").csv(Query(CHANNEL, *MONTH, CHANNELS[0]), TODAY))
    assert one != bytes(Numbers(0, "com.example.other").csv(Query(CHANNEL, *MONTH, CHANNELS[0]), TODAY))


def test_nothing_is_known_of_days_longer_ago_than_asked_for():
    assert len(rows(Query(APPLICATION, *MONTH), Numbers(0, "com.example.app", days=10))) == 10


def test_small_channels_are_withheld_and_large_ones_are_plausible():
    withheld = 0
    for channel in CHANNELS:
        for row in rows(Query(CHANNEL, *MONTH, channel)):
            published, delivered, subscriptions = (
                int(row[name]) for name in ("Broadcasts Published", "Broadcasts Delivered", "Total Subscriptions")
            )
            assert published >= 0
            if subscriptions == -1:
                withheld += 1
                assert delivered == -1
            else:
                assert 0 <= delivered <= published * subscriptions
    assert 0.05 < withheld / (30 * len(CHANNELS)) < 0.4


def test_the_app_has_a_week():
    published = {n: [] for n in range(7)}
    for row in rows(Query(APPLICATION, *MONTH)):
        published[date.fromisoformat(row["Date (UTC)"]).weekday()].append(int(row["Broadcasts Published"]))
    workdays = [count for n in range(5) for count in published[n]]
    weekend = published[5] + published[6]
    assert sum(weekend) / len(weekend) < sum(workdays) / len(workdays)


def test_fewer_people_than_subscriptions():
    for row in rows(Query(APPLICATION, *MONTH)):
        assert 0 < int(row["Unique Subscribers"]) < int(row["Total Subscriptions"])


def test_delivery_counts_are_rounded_and_mostly_delivered():
    table = rows(Query(DELIVERY, *MONTH))
    assert {row["Status"] for row in table} == {"delivered", "stored", "discarded", "expired"}
    assert {"alert", "background", "liveactivity", "voip"} <= {row["Push Type"] for row in table}
    assert all(int(row["Count"]) % 10 == 0 for row in table)
    delivered = sum(int(row["Count"]) for row in table if row["Status"] == "delivered")
    assert 0.8 < delivered / sum(int(row["Count"]) for row in table) < 0.95


def test_late_events_make_recent_days_grow_and_leave_older_ones_alone():
    first = bytes(NUMBERS.csv(Query(APPLICATION, *MONTH), TODAY)).splitlines()
    later = bytes(NUMBERS.csv(Query(APPLICATION, *MONTH), TODAY + timedelta(days=1))).splitlines()
    assert first[2:-2] == later[1:-2]
    assert first[-2:] != later[-2:]


def test_channel_identifiers_are_awkward_for_file_names():
    assert len(set(CHANNELS)) == len(CHANNELS)
    assert all(len(base64.b64decode(each, validate=True)) == 16 for each in CHANNELS)
    assert set("+/=") <= set(CHANNELS[0])
    assert CHANNELS[:3] == channel_ids(0, "com.example.app", 3)


@pytest.mark.parametrize(
    ("trait", "beginning"),
    [
        ("bom", b"\xef\xbb\xbfDate (UTC),"),
        ("crlf", b"Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions\r\n"),
        ("reordered", b"Total Subscriptions,Broadcasts Delivered,Broadcasts Published,Date (UTC)\n"),
        ("extra", b"Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions,Environment\n"),
    ],
)
def test_the_csv_can_depart_from_the_documented_form(trait, beginning):
    numbers = Numbers(0, "com.example.app", traits=frozenset([trait]))
    text = bytes(numbers.csv(Query(CHANNEL, *MONTH, CHANNELS[0]), TODAY))
    assert text.startswith(beginning)
    assert len(text.splitlines()) == 31


def test_a_csv_can_have_no_rows():
    numbers = Numbers(0, "com.example.app", traits=frozenset(["header-only"]))
    assert bytes(numbers.csv(Query(DELIVERY, *MONTH), TODAY)) == b"Push Type,Status,Date (UTC),Count\n"
