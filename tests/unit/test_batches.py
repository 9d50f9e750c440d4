from __future__ import annotations

import asyncio
import base64
import io
import logging
from collections.abc import AsyncIterator
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns import batches
from airflow_provider_apns.batches import (
    Batch,
    Order,
    Progress,
    check_missing,
    download_exports,
    for_each,
    new_spool,
    read_into,
    request_exports,
    wait_for_exports,
)
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import (
    ApnsExportFailedError,
    ApnsInvalidRequestError,
    ApnsNotFoundError,
    ApnsReportError,
    ApnsServiceError,
    ApnsTokenError,
)
from airflow_provider_apns.exports import Dataset, Window
from airflow_provider_apns.hooks.apns import ApnsAsyncHook
from tests.unit.helpers import day, today

WEEK = Window.parse(day(-7), day(-1))
UNKNOWN = base64.b64encode(b"no such channel!").decode()


DELIVERY = Order(Dataset.DELIVERY, WEEK)


async def requested(hook: ApnsAsyncHook, apple: Emulator, order: Order, max_concurrency: int = 10) -> Batch:
    return await request_exports(hook, order, app_id=apple.app_id, today=today(), max_concurrency=max_concurrency)


def channels(*channel_ids: str) -> Order:
    return Order(Dataset.CHANNEL, WEEK, channel_ids)


@pytest.fixture
async def hook(apple: Emulator) -> AsyncIterator[ApnsAsyncHook]:
    async with ApnsAsyncHook() as hook:
        yield hook


class TestBatch:
    @given(st.dates(), st.dates(), st.lists(st.tuples(st.none() | st.text(), st.text())), st.lists(st.text()))
    def test_packs_and_unpacks(
        self, start: date, end: date, exports: list[tuple[str | None, str]], missing: list[str]
    ) -> None:
        batch = Batch(Window(start, end), tuple(exports), tuple(missing))
        assert Batch.unpack(str(batch.pack())) == batch
        assert batch.status_urls == [url for _, url in exports]

    def test_ten_thousand_exports_stay_below_a_megabyte(self) -> None:
        import uuid

        exports = tuple(
            (
                base64.b64encode(uuid.uuid4().bytes).decode(),
                f"https://api.icloud.apple.com/v1/dataExports/apns/status/{uuid.uuid4()}",
            )
            for _ in range(10_000)
        )
        assert len(Batch(WEEK, exports).pack()) < 1_000_000


class TestOrder:
    def test_channels_are_asked_for_once_each(self) -> None:
        order = Order.read("channel", WEEK, ["AAAA", "BBBB", "AAAA"])
        assert order == channels("AAAA", "BBBB")

    @pytest.mark.parametrize(
        ("dataset", "channel_ids", "told"),
        [
            ("channel", None, "channel_ids is empty"),
            ("channel", [], "channel_ids is empty"),
            ("delivery", ["AAAA"], "not with 'delivery'"),
            ("news", None, "Unknown dataset"),
        ],
    )
    def test_what_does_not_go_together(self, dataset: str, channel_ids: list[str] | None, told: str) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=told):
            Order.read(dataset, WEEK, channel_ids)


class TestForEach:
    @pytest.mark.parametrize(("items", "limit"), [(0, 3), (1, 3), (10, 3), (3, 10)])
    async def test_all_are_done_and_never_more_at_once(self, items: int, limit: int) -> None:
        done, running, most = [], 0, 0

        async def work(item: int) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            done.append(item)

        await for_each(range(items), work, limit)
        assert sorted(done) == list(range(items))
        assert most == min(items, limit)

    async def test_the_first_failure_ends_all(self) -> None:
        begun, cancelled = [], []

        async def work(item: int) -> None:
            begun.append(item)
            if item == 2:
                raise ApnsNotFoundError("the third")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(item)
                raise

        with pytest.raises(ApnsNotFoundError, match="the third"):
            await for_each(range(100), work, 3)
        assert begun == [0, 1, 2]
        assert cancelled == [0, 1]

    async def test_who_ends_it_is_heard_whatever_fails_at_that_moment(self) -> None:
        async def work(item: int) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if item == 0:
                    raise ApnsServiceError("just before") from None
                raise

        ended = asyncio.ensure_future(for_each(range(3), work, 3))
        await asyncio.sleep(0.01)
        ended.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ended


async def test_progress_is_logged_every_few_seconds_not_for_every_export(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, now = asyncio.get_running_loop(), 0.0
    monkeypatch.setattr(loop, "time", lambda: now)
    caplog.set_level(logging.INFO)
    progress = Progress("%s of %s done.", 2000)
    for _ in range(2000):
        now += 0.01
        progress.step()
    monkeypatch.undo()
    messages = [record.getMessage() for record in caplog.records]
    assert 3 <= len(messages) <= 5
    assert messages[-1] == "2,000 of 2,000 done."


class TestRequesting:
    async def test_all_in_order(self, apple: Emulator, hook: ApnsAsyncHook) -> None:
        batch = await requested(hook, apple, channels(*apple.channel_ids), 4)
        assert [channel_id for channel_id, _ in batch.exports] == list(apple.channel_ids)
        assert len(set(batch.status_urls)) == len(apple.channel_ids) == apple.ledger.posts
        assert apple.ledger.max_in_flight <= 4

    async def test_unknown_channels_are_all_named(self, apple: Emulator, hook: ApnsAsyncHook) -> None:
        wanted = (UNKNOWN, apple.channel_ids[0], "AAAA")
        batch = await requested(hook, apple, channels(*wanted), 4)
        assert batch.missing == (UNKNOWN, "AAAA")
        assert [channel_id for channel_id, _ in batch.exports] == [apple.channel_ids[0]]

    async def test_404_without_a_channel_is_an_error(self, apple: Emulator, hook: ApnsAsyncHook) -> None:
        apple.inject("request:404")
        with pytest.raises(ApnsNotFoundError):
            await requested(hook, apple, DELIVERY, 4)

    async def test_a_lasting_error_ends_the_batch(self, apple: Emulator, hook: ApnsAsyncHook) -> None:
        apple.rotate_token("another-token")
        with pytest.raises(ApnsTokenError):
            await requested(hook, apple, channels(*apple.channel_ids), 2)
        assert apple.ledger.posts < len(apple.channel_ids)


class TestMissing:
    some = Batch(WEEK, (("AAAA", "https://a/1"),), ("BBBB", "CCCC"))

    def test_fail(self) -> None:
        with pytest.raises(ApnsNotFoundError, match=r"2 of 3 channels \(404\): BBBB, CCCC. Nothing was written"):
            check_missing(self.some, "fail")

    def test_skip(self, caplog: pytest.LogCaptureFixture) -> None:
        check_missing(self.some, "skip")
        assert "BBBB, CCCC" in caplog.text

    def test_skip_but_none_is_left(self) -> None:
        with pytest.raises(ApnsNotFoundError, match="2 of 2 channels"):
            check_missing(Batch(WEEK, (), ("BBBB", "CCCC")), "skip")

    @pytest.mark.parametrize("decision", ["fail", "skip"])
    def test_none_is_missing(self, decision: str) -> None:
        check_missing(Batch(WEEK, (("AAAA", "https://a/1"),)), decision)


class TestWaiting:
    async def test_until_all_are_ready(self, apple: Emulator, hook: ApnsAsyncHook) -> None:
        apple.configure(processing_polls=2)
        batch = await requested(hook, apple, channels(*apple.channel_ids))
        await wait_for_exports(hook, batch.status_urls, poke_interval=0.01, max_concurrency=3, first_delay=0)
        assert apple.ledger.gets == 3 * len(apple.channel_ids)

    async def test_those_that_are_ready_are_not_asked_for_again(self, apple: Emulator, hook: ApnsAsyncHook) -> None:
        batch = await requested(hook, apple, channels(*apple.channel_ids[:3]))
        apple.inject(f"status:unknown-status:match={apple.channel_ids[1]},times=2")
        await wait_for_exports(hook, batch.status_urls, poke_interval=0.01, max_concurrency=3, first_delay=0)
        assert apple.ledger.gets == 3 + 1 + 1

    @pytest.mark.parametrize("fate", ["fail", "expire"])
    async def test_one_that_fails_ends_it(self, apple: Emulator, hook: ApnsAsyncHook, fate: str) -> None:
        apple.configure(**{fate: [apple.channel_ids[2]]})
        batch = await requested(hook, apple, channels(*apple.channel_ids))
        with pytest.raises(ApnsExportFailedError) as raised:
            await wait_for_exports(hook, batch.status_urls, poke_interval=0.01, max_concurrency=3, first_delay=0)
        assert batch.status_urls[2] in str(raised.value)

    @pytest.fixture
    def waits(self, apple: Emulator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
        """Seconds that would have been waited, and how many looks there had been before."""
        waits: list[tuple[float, int]] = []

        async def sleep(seconds: float) -> None:
            waits.extend([(seconds, apple.ledger.gets)] if seconds else [])

        monkeypatch.setattr(batches.asyncio, "sleep", sleep)
        return waits

    async def test_the_first_look_is_not_at_once(
        self, apple: Emulator, hook: ApnsAsyncHook, waits: list[tuple[float, int]]
    ) -> None:
        batch = await requested(hook, apple, DELIVERY)
        await wait_for_exports(hook, batch.status_urls, poke_interval=60, max_concurrency=1)
        ((seconds, looks),) = waits
        assert 1 <= seconds <= 2
        assert looks == 0

    async def test_first_looks_after_a_restart_do_not_come_in_step(
        self, apple: Emulator, hook: ApnsAsyncHook, waits: list[tuple[float, int]]
    ) -> None:
        batch = await requested(hook, apple, DELIVERY)
        for _ in range(20):
            await wait_for_exports(hook, batch.status_urls, poke_interval=60, max_concurrency=1, first_delay=7)
        assert all(7 <= seconds <= 8.75 for seconds, _ in waits)
        assert len({seconds for seconds, _ in waits}) == 20

    @pytest.mark.parametrize("order", [DELIVERY, None], ids=["one export", "a batch"])
    async def test_it_waits_as_long_as_apple_asks(
        self, apple: Emulator, hook: ApnsAsyncHook, waits: list[tuple[float, int]], order: Order | None
    ) -> None:
        batch = await requested(hook, apple, order or channels(*apple.channel_ids))
        apple.inject("status:503:retry_after=900")
        await wait_for_exports(hook, batch.status_urls, poke_interval=60, max_concurrency=3)
        assert [900 <= seconds <= 901 for seconds, _ in waits] == [False, True]


class TestDownloading:
    @pytest.mark.parametrize(
        ("together", "small"), [(200, 1 << 16), (3, 1 << 16), (200, 0)], ids=["at the end", "by threes", "each at once"]
    )
    async def test_rows_of_all_channels(
        self, apple: Emulator, hook: ApnsAsyncHook, monkeypatch: pytest.MonkeyPatch, together: int, small: int
    ) -> None:
        monkeypatch.setattr(batches, "_READ_TOGETHER", together)
        monkeypatch.setattr(batches, "_SMALL", small)
        batch = await requested(hook, apple, channels(*apple.channel_ids))
        with new_spool(Dataset.CHANNEL) as spool:
            await download_exports(hook, batch, spool, dataset=Dataset.CHANNEL, app_id=apple.app_id, max_concurrency=3)
            rows = list(spool.read())
        assert [row[:3] for row in rows] == [
            (each, apple.app_id, channel_id) for each in WEEK.days() for channel_id in sorted(apple.channel_ids)
        ]
        assert apple.ledger.max_in_flight <= 10
        assert apple.ledger.downloads == len(apple.channel_ids)

    async def test_only_the_days_that_were_asked_for(self, apple: Emulator, hook: ApnsAsyncHook) -> None:
        single = Window.parse(day(-3), day(-3))
        batch = await requested(hook, apple, Order(Dataset.DELIVERY, single))
        with new_spool(Dataset.DELIVERY) as spool:
            await download_exports(hook, batch, spool, dataset=Dataset.DELIVERY, app_id="app", max_concurrency=1)
            rows = list(spool.read())
        assert {row[0] for row in rows} == {single.start}
        assert [column.name for column in spool.columns] == ["date", "app_id", "push_type", "status", "count"]


HEADER = "Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions"


class TestReadInto:
    def read(self, content: str) -> list[tuple[object, ...]]:
        with new_spool(Dataset.CHANNEL) as spool:
            window = Window(date(2026, 3, 1), date(2026, 3, 2))
            read_into(spool, io.BytesIO(content.encode()), Dataset.CHANNEL, window, "app", "AAAA")
            return list(spool.read())

    def test_labels_the_rows(self) -> None:
        assert self.read(f"{HEADER}\n2026-03-01,1,-1,3") == [(date(2026, 3, 1), "app", "AAAA", 1, None, 3, True)]

    def test_days_outside_are_left_out(self) -> None:
        lines = "\n".join(
            f"2026-{month}-{day_},1,2,3" for month, day_ in [("02", "28"), ("03", "01"), ("03", "02"), ("03", "03")]
        )
        assert [row[0] for row in self.read(f"{HEADER}\n{lines}")] == [date(2026, 3, 1), date(2026, 3, 2)]

    def test_a_report_without_rows(self) -> None:
        assert self.read(HEADER) == []

    def test_a_broken_report_names_the_channel(self) -> None:
        with pytest.raises(ApnsReportError, match="report of channel AAAA"):
            self.read(f"{HEADER}\n2026-03-01,x,2,3")

    def test_a_report_larger_than_one_piece(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(batches, "_IN_MEMORY", 100)
        assert len(self.read(HEADER + "\n2026-03-01,1,2,3" * 500)) == 500
