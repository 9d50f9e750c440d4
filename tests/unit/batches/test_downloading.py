from __future__ import annotations

from airflow_provider_apns.batches.downloading import download_exports
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.protocol.days import Days
from tests.unit.batches.orders import WEEK, requested, requester, wanting
from tests.unit.helpers import day


async def test_rows_of_all_channels(apple: Emulator, hook: ApnsAsyncHook) -> None:
    batch = await requested(hook, apple, *apple.channel_ids)
    table, after = await download_exports(hook, batch, Dataset.CHANNEL, apple.app_id, 3)
    assert after == batch
    assert [row[:3] for row in table.rows] == [
        (each, apple.app_id, channel_id) for each in WEEK for channel_id in sorted(apple.channel_ids)
    ]
    assert apple.ledger.downloads == len(apple.channel_ids)
    assert apple.ledger.max_in_flight <= 10


async def test_only_the_days_that_are_wanted(apple: Emulator, hook: ApnsAsyncHook) -> None:
    batch = wanting(days=Days.parse(day(-3), day(-3)))
    batch = await requester(hook, apple, batch).request(batch)
    table, _ = await download_exports(hook, batch, Dataset.DELIVERY, apple.app_id, 1)
    assert {str(row[0]) for row in table.rows} == {day(-3)}
    assert [column.name for column in table.columns] == ["date", "app_id", "push_type", "status", "count"]


async def test_a_report_that_cannot_be_read_is_its_channels_failure(
    apple: Emulator, hook: ApnsAsyncHook, short_waits: list[float]
) -> None:
    batch = await requested(hook, apple, *apple.channel_ids)
    bad = apple.channel_ids[4]
    apple.inject(f"download:wrong-columns:times=forever,match={bad}")
    table, after = await download_exports(hook, batch, Dataset.CHANNEL, apple.app_id, 3)
    assert after.failed.keys() == {bad}
    assert batch.status_urls[4] in after.failed[bad].reason
    assert bad not in after.channels
    assert {row[2] for row in table.rows} == set(apple.channel_ids) - {bad}
