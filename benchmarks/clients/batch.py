"""Exports 10,000 channels: our operator in one task, or nothing but the requests."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.clients.measure import LoopWatch, forget_peak, given, log_as_in_airflow, memory, say

HEADER = "X-Apple-CloudKit-Management-Token"
STATUS_LOOKS = 3


def days() -> tuple[str, str]:
    """Return the first and last day of the reports."""
    today = date.today()
    return (today - timedelta(days=7)).isoformat(), (today - timedelta(days=1)).isoformat()


def ours(server: dict[str, Any], concurrency: int, pauses: bool = False) -> None:
    """
    Run the operator as a worker does, without ``pauses`` between two looks at an export.

    Each of them is looked at until it is ready, twice here, and once more for a fresh download URL.
    """
    from airflow_provider_apns import exports
    from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

    if not pauses:
        exports.FIRST_POLL_DELAY = 0.0
    first, last = days()
    task = ApnsToObjectStorageOperator(
        task_id="channels",
        dataset="channel",
        start_date=first,
        end_date=last,
        channel_ids=server["channel_ids"],
        path=str(Path("channels.csv").absolute()),
        max_concurrency=concurrency,
        deferrable=False,
    )
    summary = task.execute({})  # type: ignore[arg-type]
    assert summary["channels_exported"] == len(server["channel_ids"])


def bare(server: dict[str, Any], concurrency: int, pauses: bool = False) -> None:
    """The limit: a script that asks, looks and downloads, and throws away what it gets."""
    import aiohttp

    connection = server["connection"]
    headers = {HEADER: connection["password"]}
    app = f"/v1/dataExports/apns/teams/{connection['login']}/appId/{connection['extra']['app_id']}"
    url = f"{server['url']}{app}/datasetName/broadcastchannelmetrics/request"
    first, last = days()

    async def export(session: aiohttp.ClientSession, channel_id: str) -> None:
        body = {"startDate": first, "endDate": last, "dataDownloadUrlExpiresInMinutes": 60, "channelId": channel_id}
        async with session.post(url, json=body, headers=headers) as answer:
            status_url = (await answer.json())["statusUrl"]
        for _ in range(STATUS_LOOKS):
            async with session.get(status_url, headers=headers) as answer:
                state = await answer.json()
        async with session.get(state["downloadDetails"]["dataUrl"]) as answer:
            await answer.read()

    async def everything() -> None:
        left = iter(server["channel_ids"])
        async with aiohttp.ClientSession() as session:

            async def take() -> None:
                for channel_id in left:
                    await export(session, channel_id)

            await asyncio.gather(*(take() for _ in range(concurrency)))

    asyncio.run(everything())


def find_object_stores() -> None:
    """
    Let Airflow do what it does once in a process for any task that writes to an object store.

    It loads the file systems and lineage hooks of all providers that are installed: seconds, with a few large ones.
    """
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
    from airflow.sdk import ObjectStoragePath

    _ = ObjectStoragePath("file:///").fs
    get_hook_lineage_collector()


def main() -> None:
    arguments = given()
    way, watched = {"ours": ours, "bare": bare}[arguments["way"]], arguments.get("watched", False)
    log_as_in_airflow("worker.log")
    import aiohttp  # noqa: F401 - both need it, and neither shall pay for loading it
    import airflow.sdk  # noqa: F401

    if arguments["way"] == "ours":
        import airflow_provider_apns.batches
        import airflow_provider_apns.hooks.apns
        import airflow_provider_apns.partitions  # noqa: F401

        find_object_stores()
    forget_peak()
    before, cpu, wall = memory(), time.process_time(), time.perf_counter()
    with LoopWatch() if watched else nullcontext() as watch:
        way(arguments["server"], arguments["concurrency"], arguments.get("pauses", False))
    figures = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "memory": memory("VmHWM") - before,
    }
    say(**figures, **(watch.figures() if watch else {}))


if __name__ == "__main__":
    main()
