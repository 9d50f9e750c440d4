"""Exports 10,000 channels: our operator in one task, or nothing but the requests."""

from __future__ import annotations

import asyncio
import shutil
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import aiohttp
import airflow.sdk

from benchmarks.clients.measure import TOKEN_HEADER, forget_peak, given, log_as_in_airflow, memory, say

LOOKS = 3
ONE_MORE = "AAAAAAAAAAAAAAAAAAAAAA=="


def ours(
    server: dict[str, Any], first: date, last: date, max_concurrency: int, channel_ids: list[str], poke_interval: float
) -> None:
    """Run the operator with days by hand, into one object."""
    path = Path(f"{len(channel_ids)}.csv").absolute()
    path.unlink(missing_ok=True)  # else the next round would merge its rows with what this one has stored
    rows = export(
        channel_ids,
        first_day=str(first),
        last_day=str(last),
        path=str(path),
        max_concurrency=max_concurrency,
        poke_interval=poke_interval,
    )
    assert rows == len(channel_ids) * ((last - first).days + 1)


def keep(
    server: dict[str, Any], first: date, last: date, max_concurrency: int, channel_ids: list[str], poke_interval: float
) -> None:
    """Let the operator keep a path complete that has nothing yet."""
    shutil.rmtree(str(len(channel_ids)), ignore_errors=True)
    rows = keep_on(server, first, last, max_concurrency, channel_ids, poke_interval)
    assert rows == len(channel_ids) * 30


def keep_on(
    server: dict[str, Any], first: date, last: date, max_concurrency: int, channel_ids: list[str], poke_interval: float
) -> int:
    """Let it keep on, with nothing to do but the three days that are not settled."""
    path = Path(str(len(channel_ids)), "{date}.csv").absolute()
    return export(channel_ids, path=str(path), max_concurrency=max_concurrency, poke_interval=poke_interval)


def export(channel_ids: list[str], **arguments: Any) -> int:
    """Run the operator as a worker does: it looks until an export is ready, and once more for a fresh download URL."""
    from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

    task = ApnsToObjectStorageOperator(
        task_id="channels", dataset="channel", channel_ids=channel_ids, deferrable=False, **arguments
    )
    summary = task.execute({})
    assert summary["channels_exported"] == len(channel_ids)
    rows: int = summary["rows"]
    return rows


def bare(
    server: dict[str, Any], first: date, last: date, max_concurrency: int, channel_ids: list[str], poke_interval: float
) -> None:
    """The limit: a script that asks, looks and downloads, and throws away what it gets."""
    headers = {TOKEN_HEADER: server["connection"]["password"]}
    url = f"{server['url']}{server['request_path']}"
    days = {"startDate": str(first), "endDate": str(last), "dataDownloadUrlExpiresInMinutes": 60}
    left = iter(channel_ids)

    async def take(session: aiohttp.ClientSession) -> None:
        for channel_id in left:
            async with session.post(url, json={**days, "channelId": channel_id}, headers=headers) as answer:
                status_url = (await answer.json())["statusUrl"]
            for _ in range(LOOKS):
                async with session.get(status_url, headers=headers) as answer:
                    state = await answer.json()
            async with session.get(state["downloadDetails"]["dataUrl"]) as answer:
                await answer.read()

    async def everything() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*(take(session) for _ in range(max_concurrency)))

    asyncio.run(everything())


def find_object_stores() -> None:
    """Let Airflow load the file systems and lineage hooks of all providers, as it does once in a process."""
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    _ = airflow.sdk.ObjectStoragePath("file:///").fs
    get_hook_lineage_collector()


def main(server: dict[str, Any], way: str, days: int, max_concurrency: int, poke_interval: float) -> None:
    log_as_in_airflow("worker.log")
    find_object_stores()
    today = datetime.now(timezone.utc).date()
    first, last = today - timedelta(days=days), today - timedelta(days=1)
    work = {"ours": ours, "keep": keep, "keep on": keep_on, "bare": bare}[way]
    forget_peak()
    before = memory("VmRSS")
    # Loads what is loaded once in a process.
    work(server, first, last, 1, [ONE_MORE], poke_interval)
    cpu, wall = time.process_time(), time.perf_counter()
    work(server, first, last, max_concurrency, server["channel_ids"], poke_interval)
    say(
        wall=time.perf_counter() - wall,
        cpu=time.process_time() - cpu,
        memory=memory("VmHWM") - before,
    )


if __name__ == "__main__":
    main(**given())
