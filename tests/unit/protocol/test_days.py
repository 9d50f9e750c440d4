from __future__ import annotations

import contextlib
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import ApnsInvalidRequestError
from airflow_provider_apns.protocol.days import Days, read_day
from tests.unit.helpers import DAY, TODAY

NO_DAYS = """
yesterday None 2026-02-30 2026-3-9 09.03.2026 20260309 2026-W11-1 2026-03-09T25:00 ２０２６-03-09
9999-12-31T23:59:59-12:00 0001-01-01T00:00:00+14:00
"""  # noqa: RUF001

dates = st.dates(date(2000, 1, 1), date(2100, 12, 31))


class TestReadDay:
    @pytest.mark.parametrize(
        "value",
        [
            "2026-03-09",
            " 2026-03-09\n",
            "2026-03-09 00:00:00+00:00",
            "2026-03-09T10:00",
            "2026-03-09T23:30:00.123456Z",
            "2026-03-10T01:00:00+02:00",
            date(2026, 3, 9),
            datetime(2026, 3, 9, 23, 59),
            datetime(2026, 3, 10, 1, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 3, 8, 20, tzinfo=timezone(timedelta(hours=-5))),
        ],
    )
    def test_a_day_as_dag_authors_and_templates_write_it(self, value: str | date) -> None:
        assert read_day(value, "first_day") == date(2026, 3, 9)

    @pytest.mark.parametrize(
        "value",
        [*NO_DAYS.split(), "", "{{ ds }}", "2026-03-09T10:00/2026-03-10T10:00", 20260309, None, True],
    )
    def test_what_is_no_day_is_named_in_the_error(self, value: Any) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="last_day must be a"):
            read_day(value, "last_day")

    @given(st.dates())
    def test_every_day_reads_back(self, day: date) -> None:
        assert read_day(day.isoformat(), "x") == day

    @given(st.datetimes(timezones=st.timezones() | st.just(timezone.utc)))
    def test_a_moment_is_on_its_utc_day_or_on_none(self, moment: datetime) -> None:
        try:
            expected: date | None = moment.astimezone(timezone.utc).date()
        except OverflowError:
            expected = None
        if expected is None:
            with pytest.raises(ApnsInvalidRequestError):
                read_day(moment, "x")
        else:
            assert read_day(moment, "x") == expected

    @given(st.text(max_size=60) | st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\x20-\x7e]{0,20}", fullmatch=True))
    def test_any_text_is_a_day_or_a_clear_error(self, text: str) -> None:
        with contextlib.suppress(ApnsInvalidRequestError):
            assert type(read_day(text, "x")) is date


def apple_takes(days: Days, today: date) -> bool:
    """Apple's rules in one line, for one request."""
    return today - 30 * DAY <= days.first < days.last <= today - DAY


class TestDays:
    @given(dates, st.integers(-40, 5), st.integers(-40, 5))
    def test_what_is_read_is_what_apple_can_deliver_and_single_days(self, today: date, first: int, last: int) -> None:
        ends = today + first * DAY, today + last * DAY
        if -30 <= first <= last <= -1:
            assert Days.read(*ends, today) == Days(*ends)
        else:
            with pytest.raises(ApnsInvalidRequestError):
                Days.read(*ends, today)

    @given(dates, st.integers(-30, -1), st.integers(0, 29))
    def test_apple_takes_every_way_to_ask_for_days(self, today: date, first: int, length: int) -> None:
        meant = Days.read(today + first * DAY, min(today + (first + length) * DAY, today - DAY), today)
        ways = list(meant.ways_to_ask(today))
        assert len(set(ways)) == len(ways) >= 3
        for windows in ways:
            assert all(apple_takes(window, today) for window in windows)
            assert set(meant) <= {day for window in windows for day in window}
            assert len(windows) == 1 or sum(map(len, windows)) == len(meant)
        assert ways[0] == (meant,) or (len(meant), len(ways[0][0])) == (1, 2)

    @pytest.mark.parametrize("today", [date(2024, 3, 1), date(2026, 1, 1), date(2026, 3, 30), date(2027, 12, 31)])
    def test_a_single_day_comes_with_the_day_before_which_is_settled(self, today: date) -> None:
        for day in Days.available(today):
            oldest = day == today - 30 * DAY
            plainest = next(Days(day, day).ways_to_ask(today))
            assert plainest == ((Days(day, day + DAY) if oldest else Days(day - DAY, day)),)

    @pytest.mark.parametrize(
        ("first", "last", "told"),
        [
            ("2026-03-05", "2026-03-04", "last_day 2026-03-04 is before first_day 2026-03-05"),
            ("2026-03-05", "2026-03-10", "last_day 2026-03-10 is not over yet.*the newest is 2026-03-09"),
            ("2026-03-05", "2026-03-10", r"In Airflow 3 .*macros\.ds_add\(ds, -1\)"),
            ("2026-02-07", "2026-03-05", "first_day 2026-02-07 is more than 30 days ago.*oldest .* is 2026-02-08"),
            ("soon", "2026-03-05", "first_day must be a day"),
            ("2026-03-05", "later", "last_day must be a day"),
        ],
    )
    def test_says_what_is_wrong(self, first: str, last: str, told: str) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=told):
            Days.read(first, last, TODAY)

    def test_are_consecutive(self) -> None:
        days = Days.parse("2026-02-27", "2026-03-02")
        assert [str(day) for day in days] == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
        assert str(days) == "2026-02-27 to 2026-03-02"
        assert len(days) == 4
        assert date(2026, 3, 2) in days
        assert date(2026, 3, 3) not in days
        assert "2026-03-02" not in days
