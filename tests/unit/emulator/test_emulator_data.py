"""The numbers: the same every time, and like those of a real app."""

from __future__ import annotations

import base64
import csv
import io
from datetime import date, timedelta

import pytest

from airflow_provider_apns.emulator.apple import Query
from airflow_provider_apns.emulator.apple.app import App
from airflow_provider_apns.emulator.datasets import APPLICATION, CHANNEL, DATASETS, DELIVERY

TODAY = date(2026, 3, 10)
MONTH = (TODAY - timedelta(days=30), TODAY - timedelta(days=1))
APP = App(0, "com.example.app", channels=500)
CHANNELS = APP.channel_ids
PUSH_TYPES = {
    "alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location", "mdm",
    "pushtotalk", "voip", "widgets",
}  # fmt: skip


def rows(query, app=APP, as_of=TODAY):
    return list(csv.DictReader(io.StringIO(app.csv(query, as_of).decode())))


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_columns_are_apples_in_apples_order(dataset):
    text = APP.csv(Query(dataset, *MONTH, CHANNELS[0]), TODAY).decode()
    assert text.splitlines()[0] == ",".join(dataset.columns)
    assert text.endswith("\n")
    assert "\r" not in text


def test_there_is_one_row_a_day():
    days = [row["Date (UTC)"] for row in rows(Query(APPLICATION, *MONTH))]
    assert days == [str(MONTH[0] + timedelta(days=n)) for n in range(30)]


def test_a_day_has_the_same_numbers_in_every_window():
    narrow = rows(Query(CHANNEL, MONTH[0] + timedelta(days=3), MONTH[0] + timedelta(days=4), CHANNELS[1]))
    assert narrow == rows(Query(CHANNEL, *MONTH, CHANNELS[1]))[3:5]


def test_seed_app_and_channel_all_matter():
    query, other = (Query(CHANNEL, *MONTH, channel) for channel in CHANNELS[:2])
    one = APP.csv(query, TODAY)
    assert one == App(0, "com.example.app").csv(query, TODAY)
    for app, asked in ((APP, other), (App(1, "com.example.app"), query), (App(0, "com.example.other"), query)):
        assert one != app.csv(asked, TODAY)


def test_nothing_is_known_of_days_longer_ago_than_asked_for():
    assert len(rows(Query(APPLICATION, *MONTH), App(0, "com.example.app", days=10))) == 10


def test_small_channels_are_withheld_and_large_ones_are_plausible():
    withheld = 0
    for channel in CHANNELS:
        for row in rows(Query(CHANNEL, *MONTH, channel)):
            published, delivered, subscriptions = (int(row[name]) for name in CHANNEL.columns[1:])
            if -1 in (published, delivered, subscriptions):
                withheld += 1
                assert (published, delivered, subscriptions) == (-1, -1, -1)
            else:
                assert 0 <= delivered <= published * subscriptions
    assert 0.05 < withheld / (30 * len(CHANNELS)) < 0.4


def test_the_app_has_a_week_and_fewer_people_than_subscriptions():
    workdays, weekend = [], []
    for row in rows(Query(APPLICATION, *MONTH)):
        day = date.fromisoformat(row["Date (UTC)"])
        (weekend if day.weekday() > 4 else workdays).append(int(row["Broadcasts Published"]))
        assert 0 < int(row["Unique Subscribers"]) < int(row["Total Subscriptions"])
    assert sum(weekend) / len(weekend) < sum(workdays) / len(workdays)


def test_delivery_counts_are_of_all_push_types_rounded_and_mostly_delivered():
    table = rows(Query(DELIVERY, *MONTH))
    assert {row["Push Type"] for row in table} == PUSH_TYPES
    assert {row["Status"].lower().split()[0] for row in table} == {"delivered", "stored", "discarded"}
    assert all(int(row["Count"]) % 10 == 0 for row in table)
    delivered = sum(int(row["Count"]) for row in table if row["Status"].lower().startswith("delivered"))
    assert 0.8 < delivered / sum(int(row["Count"]) for row in table) < 0.95


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_a_day_grows_for_three_days_after_its_end_and_then_stays(dataset):
    column = -1 if dataset is DELIVERY else 2
    day = TODAY
    query = Query(dataset, day - timedelta(days=1), day, CHANNELS[0] if dataset is CHANNEL else None)
    reports = [
        [row for row in rows(query, as_of=day + timedelta(days=later)) if row["Date (UTC)"] == str(day)]
        for later in range(1, 6)
    ]
    counts = [[int(row[dataset.columns[column]]) for row in report] for report in reports]
    for earlier, later in ((0, 1), (1, 2)):
        pairs = list(zip(counts[earlier], counts[later], strict=True))
        assert all(before <= after for before, after in pairs)
        assert sum(before < after for before, after in pairs) > len(pairs) / 2
    assert reports[2] == reports[3] == reports[4]


def test_channel_identifiers_are_awkward_for_file_names():
    assert len(set(CHANNELS)) == len(CHANNELS)
    assert all(len(base64.b64decode(each, validate=True)) == 16 for each in CHANNELS)
    assert set("+/=") <= set(CHANNELS[0])
    assert CHANNELS[:3] == App(0, "com.example.app", channels=3).channel_ids


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
    app = App(0, "com.example.app", traits=frozenset([trait]))
    text = app.csv(Query(CHANNEL, *MONTH, CHANNELS[0]), TODAY)
    assert text.startswith(beginning)
    assert len(text.splitlines()) == 31


def test_a_csv_can_have_no_rows():
    app = App(0, "com.example.app", traits=frozenset(["header-only"]))
    assert app.csv(Query(DELIVERY, *MONTH), TODAY) == b"Push Type,Status,Date (UTC),Count\n"
