from __future__ import annotations

import base64

import pytest

from airflow_provider_apns.batches import requesting
from airflow_provider_apns.batches.batch import Failure
from airflow_provider_apns.batches.failures import Failures, check_failures
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import (
    ApnsChannelsError,
    ApnsNotFoundError,
    ApnsRefusedError,
    ApnsServiceError,
    ApnsTokenError,
)
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
from airflow_provider_apns.protocol.days import Days
from tests.unit.batches.orders import requested, requester, wanting
from tests.unit.helpers import day

UNKNOWN = base64.b64encode(b"no such channel!").decode()


async def test_all_in_order(apple: Emulator, hook: ApnsAsyncHook) -> None:
    batch = await requested(hook, apple, *apple.channel_ids, max_concurrency=4)
    assert batch.channels == list(apple.channel_ids)
    assert len(set(batch.status_urls)) == len(apple.channel_ids) == apple.ledger.posts
    assert apple.ledger.max_in_flight <= 4


async def test_unknown_channels_are_all_named(apple: Emulator, hook: ApnsAsyncHook) -> None:
    batch = await requested(hook, apple, UNKNOWN, apple.channel_ids[0], "AAAA")
    assert batch.missing == (UNKNOWN, "AAAA")
    assert batch.channels == [apple.channel_ids[0]]


async def test_404_without_a_channel_is_an_error(apple: Emulator, hook: ApnsAsyncHook) -> None:
    apple.inject("request:404")
    with pytest.raises(ApnsNotFoundError):
        await requested(hook, apple)


async def test_what_concerns_the_whole_task_ends_the_batch(apple: Emulator, hook: ApnsAsyncHook) -> None:
    apple.rotate_token("another-token")
    with pytest.raises(ApnsTokenError):
        await requested(hook, apple, *apple.channel_ids, max_concurrency=2)
    assert apple.ledger.posts < len(apple.channel_ids)


async def test_a_failed_export_is_asked_for_in_two_other_ways(apple: Emulator, hook: ApnsAsyncHook) -> None:
    batch = await requested(hook, apple, *apple.channel_ids[:3])
    asking, seen = requester(hook, apple, batch), set(batch.status_urls)
    for tries in (1, 2):
        batch = await asking.heal(batch, [batch.channels.index(apple.channel_ids[1])])
        (other,) = [export for export in batch.exports if export.channel_id == apple.channel_ids[1]]
        assert (other.tries, other.status_url in seen) == (tries, False)
        seen.add(other.status_url)
    batch = await asking.heal(batch, [batch.channels.index(apple.channel_ids[1])])
    assert batch.channels == [apple.channel_ids[0], apple.channel_ids[2]]
    assert f"nor {requesting.MAX_OTHER_WAYS} others" in batch.failed[apple.channel_ids[1]].reason
    assert apple.ledger.exports_created == 5


async def test_a_day_that_became_too_old_while_the_task_ran_is_left_to_a_retry(
    apple: Emulator, hook: ApnsAsyncHook
) -> None:
    yesterday = wanting(None, days=Days.parse(day(-31), day(-2)))
    with pytest.raises(ApnsServiceError, match=f"Apple has deleted {day(-31)} since the task started"):
        await requester(hook, apple, yesterday).request(yesterday)


class TestFailures:
    def test_a_channel_of_its_own_is_collected_and_an_export_without_one_is_raised(self) -> None:
        failures = Failures()
        failures.add("AAAA", ApnsRefusedError("no"))
        assert failures.channels == {"AAAA": Failure("no", retryable=False)}
        with pytest.raises(ApnsRefusedError):
            failures.add(None, ApnsRefusedError("no"))

    def test_nothing_but_failures_for_a_while_are_the_services(self) -> None:
        failures = Failures()
        for number in range(100):
            failures.add(str(number), ApnsServiceError("broken"))
            failures.succeeded()
        for number in range(100, 119):
            failures.add(str(number), ApnsServiceError("broken"))
        with pytest.raises(ApnsServiceError, match="broken"):
            failures.add("119", ApnsServiceError("broken"))

    @pytest.mark.parametrize(("decision", "requested"), [("fail", 3), ("skip", 2)])
    def test_they_are_named_unless_others_are_left_and_they_may_be_skipped(self, decision: str, requested: int) -> None:
        with pytest.raises(ApnsChannelsError, match=rf"2 of {requested} channels .*\nBBBB: .*\(404\)\.\nCCCC: no\n"):
            check_failures(("BBBB",), {"CCCC": Failure("no", retryable=False)}, requested, decision)
        check_failures(("BBBB",), {"CCCC": Failure("no", retryable=False)}, 3, "skip")
        check_failures((), {}, 3, decision)

    @pytest.mark.parametrize(("missing", "second"), [((), True), ((), False), (("BBBB",), True)])
    def test_a_retry_helps_if_it_can_fix_all(self, missing: tuple[str, ...], second: bool) -> None:
        failed = {"CCCC": Failure("busy", retryable=True), "DDDD": Failure("no", retryable=second)}
        with pytest.raises(ApnsChannelsError) as raised:
            check_failures(missing, failed, 9, "fail")
        assert raised.value.retryable == (second and not missing)

    def test_the_first_hundred_are_named(self) -> None:
        with pytest.raises(ApnsChannelsError, match="and 50 more") as raised:
            check_failures(tuple(map(str, range(150))), {}, 200, "fail")
        assert len(str(raised.value).splitlines()) == 100 + 3
