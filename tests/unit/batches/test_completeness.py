from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.batches.completeness import (
    is_settled,
    lost_days,
    new_channels,
    stored_days,
    wanted_days,
)
from airflow_provider_apns.batches.coverage import Coverage, calendar, coverage, is_complete
from airflow_provider_apns.batches.layout import Key

TODAY = date(2026, 3, 31)
NOON = datetime(2026, 3, 31, 12, tzinfo=timezone.utc)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.mark.parametrize(
    ("written", "settled"),
    [
        (datetime(2026, 3, 13, 23, 59, 59, tzinfo=timezone.utc), False),
        (datetime(2026, 3, 14, tzinfo=timezone.utc), True),
        (datetime(2026, 3, 14, 1, tzinfo=timezone(timedelta(hours=2))), False),
        (None, True),
    ],
    ids=["a second early", "three days after the day's end", "in another time zone", "unknown to the store"],
)
def test_a_day_is_settled_when_it_was_written_three_days_after_its_end(written: datetime | None, settled: bool) -> None:
    assert is_settled(date(2026, 3, 10), written, settle_days=3) is settled


def test_an_empty_path_wants_all_of_apples_days() -> None:
    assert wanted_days({}, TODAY, 3) == {ago(n) for n in range(1, 31)}


@given(
    st.dictionaries(st.integers(1, 90).map(ago), st.none() | st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 31)))
)
def test_wanted_are_apples_days_that_are_not_stored_or_not_settled(naive: dict[date, datetime | None]) -> None:
    stored = {day: moment and moment.replace(tzinfo=timezone.utc) for day, moment in naive.items()}
    wanted = wanted_days(stored, TODAY, 3)
    for day in (ago(n) for n in range(1, 31)):
        assert (day in wanted) is (day not in stored or not is_settled(day, stored[day], 3))
    assert wanted <= {ago(n) for n in range(1, 31)}


def test_lost_are_days_too_old_for_apple_after_a_stored_one() -> None:
    assert lost_days({ago(60), ago(58), ago(33)}, TODAY) == [ago(n) for n in (59, *range(57, 33, -1), 32, 31)]
    assert lost_days({ago(12)}, TODAY) == []
    assert lost_days({ago(131), ago(30)}, TODAY) == [ago(n) for n in range(90, 30, -1)]
    assert lost_days(set(), TODAY) == []


def test_a_day_of_several_objects_was_written_when_its_first_one_was() -> None:
    later = NOON + timedelta(hours=1)
    objects = {
        Key(ago(1), "AAAA"): later,
        Key(ago(1), "BBBB"): NOON,
        Key(ago(2), "AAAA"): None,
        Key(None, "AAAA"): NOON,
    }
    assert stored_days(objects) == {ago(1): NOON, ago(2): None}


def test_channels_are_looked_for_in_as_few_days_as_will_do() -> None:
    looked_at: list[date] = []
    content = {ago(1): {"A"}, ago(2): {"A", "B"}, ago(3): {"C"}}

    def channels_of(day: date) -> set[str]:
        looked_at.append(day)
        return content[day]

    assert new_channels(["A", "B"], dict.fromkeys(content), channels_of) == set()
    assert looked_at == [ago(1), ago(2)]
    assert new_channels(["C", "D"], dict.fromkeys(content), channels_of) == {"D"}


def test_the_calendar_shows_each_day_of_the_last_60() -> None:
    stored = {ago(n): NOON for n in range(1, 50) if n not in (10, 40)}
    days = coverage(stored, TODAY, settle_days=3)
    assert len(days) == 60
    assert {n: days[ago(n)] for n in (1, 4, 5, 10, 40, 55)} == {
        1: Coverage.STORED,
        4: Coverage.SETTLED,
        5: Coverage.SETTLED,
        10: Coverage.MISSING,
        40: Coverage.LOST,
        55: Coverage.BEFORE,
    }
    assert not is_complete(days)
    assert is_complete(coverage({ago(n): NOON for n in range(1, 31)}, TODAY, 3))
    lines = calendar(days).splitlines()
    assert lines[0].split() == ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"]
    assert lines[1].startswith("2026-01-26")
    assert lines[-5:] == [
        "#  44 stored and settled",
        "+   3 stored, not settled",
        "?   1 missing: Apple still has the data",
        "x   1 lost: Apple has deleted the data",
        ".  11 before the first stored day",
    ]
