from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import ApnsReportError, ApnsServiceError, ApnsTokenError
from airflow_provider_apns.protocol.retries import (
    MAX_BACKOFF,
    MAX_RETRY_AFTER,
    MAX_TRIES,
    Patience,
    poll_delay,
    read_retry_after,
    retry_after_of,
    retry_delay,
    should_retry,
    spread,
)
from tests.unit.helpers import NOW, answer

BUSY = ApnsServiceError("Busy.", slow_down=True)
BROKEN = ApnsServiceError("No answer.")
NO_WAIT = ["Tue, 10 Mar 2026 18:00:59 GMT", "Tue, 10 Mar 2099 18:00:59 GMT", "Wed, 31 Feb 2026 00:00:00 GMT"]


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0),
            (" 7 ", 7),
            ("1.5", 1.5),
            ("86400", 86_400),
            ("Tue, 10 Mar 2026 18:01:30 GMT", 30),
            ("Tue, 10 Mar 2026 18:01:30 -0000", 30),
            ("Tue, 10 Mar 2026 19:01:30 +0100", 30),
        ],
    )
    def test_seconds_or_a_date(self, value: str, seconds: float) -> None:
        assert read_retry_after(value, NOW) == seconds

    @pytest.mark.parametrize("value", [None, "", "-1", "86401", "1e9", "soon", "inf", "NaN", "٣", "9" * 5000, *NO_WAIT])
    def test_what_is_not_sensible_says_nothing(self, value: str | None) -> None:
        assert read_retry_after(value, NOW) is None

    @given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d [-+]?[A-Z0-9]{0,6}"))
    @example("Mon, 01 Jan 0001 00:00:00 +2359")
    @example("Fri, 31 Dec 9999 23:59:59 -2359")
    def test_any_text_is_a_sensible_wait_or_none(self, text: str) -> None:
        seconds = read_retry_after(text, NOW)
        assert seconds is None or 0 <= seconds <= 86_400

    @pytest.mark.parametrize("date", [None, "Tue, 10 Mar 2026 18:01:00 GMT", "Tue, 10 Mar 2026 18:00:50 GMT", "soon"])
    def test_a_date_is_by_the_servers_own_clock(self, date: str | None) -> None:
        headers = {"RETRY-AFTER": "Tue, 10 Mar 2026 18:01:20 GMT"} | ({"Date": date} if date else {})
        assert retry_after_of(answer(503, headers=headers)) == (30 if date and ":50" in date else 20)


class TestDelays:
    @pytest.mark.parametrize(
        ("error", "retried"),
        [
            (ApnsServiceError("x"), True),
            (ApnsReportError("x"), True),
            (ApnsServiceError("x", retry_after=MAX_RETRY_AFTER), True),
            (ApnsServiceError("x", retry_after=MAX_RETRY_AFTER + 1), False),
            (ApnsTokenError("x"), False),
            (ValueError("x"), False),
            (KeyboardInterrupt(), False),
        ],
    )
    def test_what_is_tried_again(self, error: BaseException, retried: bool) -> None:
        assert should_retry(error) is retried

    @given(st.floats(0, MAX_RETRY_AFTER), st.integers(1, 50))
    def test_retry_after_is_obeyed(self, asked: float, tries: int) -> None:
        assert asked <= retry_delay(ApnsServiceError("x", retry_after=asked), tries) <= asked + 1

    @given(st.integers(1, 100_000))
    def test_backoff_grows_and_is_capped(self, tries: int) -> None:
        expected = min(MAX_BACKOFF, 2 ** (tries - 1))
        assert expected * 0.8 <= retry_delay(BROKEN, tries) <= expected * 1.2

    def test_clients_do_not_come_back_in_step(self) -> None:
        for error in (BROKEN, ApnsServiceError("x", retry_after=5)):
            assert len({retry_delay(error, 3) for _ in range(20)}) > 10

    @given(st.floats(0, 300))
    def test_a_spread_delay_is_never_shorter(self, delay: float) -> None:
        assert delay <= spread(delay) <= 1.25 * delay

    @given(st.integers(0, 100_000), st.floats(0.01, 3600))
    def test_polls_slow_down_to_the_ceiling(self, polls: int, ceiling: float) -> None:
        longest = min(ceiling, 2 * 1.5 ** min(polls, 50))
        delays = [poll_delay(polls, ceiling) for _ in range(100)]
        assert 0.8 * longest <= min(delays) <= max(delays) <= longest
        assert max(Counter(round(delay / longest, 3) for delay in delays).values()) < 20  # not in step
        assert poll_delay(0, 60) <= 2 < 0.8 * 60 <= poll_delay(20, 60)


class TestPatience:
    @given(st.integers(1, 20), st.integers(0, 5))
    def test_ends_with_the_last_try_and_its_error(self, tries: int, answers: int) -> None:
        patience = Patience(tries, answers)
        for _ in range(tries - 1):
            patience.delay_after(BROKEN, answers)
        with pytest.raises(ApnsServiceError) as raised:
            patience.delay_after(BUSY, answers)
        assert raised.value is BUSY

    def test_backs_off(self) -> None:
        patience = Patience()
        delays = [patience.delay_after(BROKEN) for _ in range(MAX_TRIES - 1)]
        assert delays == sorted(delays)
        assert 50 < sum(delays) < 76

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), max_size=60))
    def test_tries_count_only_while_the_batch_stands_still(self, failures: list[tuple[bool, int]]) -> None:
        patience, answers, still = Patience(3), 0, 0
        for slow_down, further in failures:
            answers += further
            still = 1 if slow_down and further else still + 1
            error = BUSY if slow_down else BROKEN
            if still < 3:
                assert patience.delay_after(error, answers) > 0
            else:
                with pytest.raises(ApnsServiceError):
                    patience.delay_after(error, answers)
                break

    def test_a_server_that_lets_others_through_is_asked_on_and_on(self) -> None:
        patience = Patience()
        delays = [patience.delay_after(BUSY, answers) for answers in range(1, 2000)]
        assert 0.8 * MAX_BACKOFF <= min(delays[5:]) <= max(delays) <= 1.2 * MAX_BACKOFF

    @given(st.floats(MAX_RETRY_AFTER, 86_400, exclude_min=True), st.integers(0, 5))
    def test_a_wait_that_is_too_long_for_one_call_ends_it(self, asked: float, failed: int) -> None:
        patience = Patience()
        for _ in range(failed):
            patience.delay_after(BROKEN)
        with pytest.raises(ApnsServiceError):
            patience.delay_after(ApnsServiceError("Busy.", retry_after=asked, slow_down=True), answers=1)

    def test_a_further_try_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        Patience().delay_after(ApnsServiceError("Busy.", retry_after=20))
        assert caplog.messages[0].startswith("Busy. Trying again in 2")
        assert caplog.messages[0].endswith(" s (try 2).")
