"""Batches that tests ask an emulator for."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow_provider_apns.batches.batch import Batch
from airflow_provider_apns.batches.requesting import Requester
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.protocol.days import Days
from tests.unit.helpers import day

WEEK = Days.parse(day(-7), day(-1))


def wanting(*channels: str | None, days: Days = WEEK) -> Batch:
    return Batch("x.csv", dict.fromkeys(channels or (None,), frozenset(days)), datetime.now(timezone.utc))


def requester(hook: ApnsAsyncHook, apple: Emulator, batch: Batch, max_concurrency: int = 10) -> Requester:
    dataset = Dataset.DELIVERY if None in batch.wanted else Dataset.CHANNEL
    return Requester(hook, dataset, apple.app_id, batch.begun_at, max_concurrency)


async def requested(hook: ApnsAsyncHook, apple: Emulator, *channels: str, max_concurrency: int = 10) -> Batch:
    batch = wanting(*channels)
    return await requester(hook, apple, batch, max_concurrency).request(batch)
