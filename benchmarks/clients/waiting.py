"""Waits for many exports in one event loop, as a triggerer does, by one of several ways."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.clients.measure import TOKEN_HEADER, given, log_as_in_airflow, say
from benchmarks.waiting import BATCH, IN_STEP, OURS, SPREAD, UNCOUNTED

INTERVAL = 1.0

Wait = Callable[[str], Awaitable[None]]


async def events(trigger: Any) -> None:
    """Run a trigger to its end, as a triggerer does."""
    async for event in trigger.run():
        if isinstance(event.payload, dict) and ("error" in event.payload or event.payload.get("status") == "error"):
            raise RuntimeError(str(event.payload)[:500])


def ours(server: dict[str, Any], **options: Any) -> Wait:
    """The trigger, as the sensor defers to it."""
    from airflow_provider_apns.triggers.apns import ApnsExportTrigger

    def wait(url: str) -> Awaitable[None]:
        return events(ApnsExportTrigger(status_url=url, apns_conn_id="apns_default", poke_interval=INTERVAL, **options))

    return wait


def bare(server: dict[str, Any], jitter: float) -> Wait:
    """The limit: nothing but the requests, from one pool; in step, unless a part of each pause is left to chance."""
    import aiohttp

    headers = {TOKEN_HEADER: server["connection"]["password"]}
    session: aiohttp.ClientSession | None = None

    async def wait(url: str) -> None:
        nonlocal session
        session = session or aiohttp.ClientSession()
        while True:
            async with session.get(url, headers=headers) as answer:
                if (await answer.json())["status"] == "SUCCESS":
                    return
            await asyncio.sleep(INTERVAL * random.uniform(1 - jitter, 1))

    return wait


def http(server: dict[str, Any]) -> Wait:
    """HttpEventTrigger, the http provider's way to poll."""
    from airflow.providers.http.triggers.http import HttpEventTrigger

    os.environ["AIRFLOW_CONN_HTTP_DEFAULT"] = json.dumps({"conn_type": "http", "host": server["url"]})

    def wait(url: str) -> Awaitable[None]:
        return events(
            HttpEventTrigger(
                response_check_path="benchmarks.clients.waiting.is_ready",
                method="GET",
                endpoint=urlsplit(url).path,
                headers={TOKEN_HEADER: server["connection"]["password"]},
                poll_interval=INTERVAL,
            )
        )

    return wait


async def is_ready(response: Any) -> bool:
    return bool(response.json()["status"] == "SUCCESS")


def dbt(server: dict[str, Any]) -> Wait:
    """The trigger of dbt Cloud's provider, which looks at the same exports as at its runs."""
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    connection = {"conn_type": "dbt_cloud", "host": urlsplit(server["url"]).netloc, "login": "1", "password": "token"}
    os.environ["AIRFLOW_CONN_DBT_CLOUD_DEFAULT"] = json.dumps(connection)

    def wait(url: str) -> Awaitable[None]:
        return events(
            DbtCloudRunJobTrigger(
                conn_id="dbt_cloud_default",
                run_id=url.rpartition("/")[2],
                end_time=time.time() + 3600,
                poll_interval=INTERVAL,
                account_id=1,
            )
        )

    return wait


WAYS: dict[str, Callable[..., Wait]] = {
    OURS: ours,
    SPREAD: lambda server: bare(server, jitter=0.2),
    IN_STEP: lambda server: bare(server, jitter=0),
    "HttpEventTrigger": http,
    "dbt-cloud's trigger": dbt,
}


def batch_trigger(server: dict[str, Any]) -> Any:
    """Return what our operator defers to, once it has requested the exports of all channels."""
    from airflow.sdk.exceptions import TaskDeferred

    from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

    today = datetime.now(timezone.utc).date()
    task = ApnsToObjectStorageOperator(
        task_id="channels",
        dataset="channel",
        first_day=str(today - timedelta(days=7)),
        last_day=str(today - timedelta(days=1)),
        channel_ids=server["channel_ids"],
        path=str(Path("channels.csv").absolute()),
        poke_interval=INTERVAL,
    )
    try:
        task.execute({})
    except TaskDeferred as deferred:
        return deferred.trigger
    raise AssertionError("It did not defer.")


class StartLine:
    """
    Holds everybody in a sleep between two looks until each has looked so often; from there on the CPU time counts.

    So what a trigger costs to start (its connection looked up) and what a pool costs to fill are told apart from what
    each further poll costs, which is what waiting longer costs. All ways sleep between two looks.

    :param exports: how many there are.
    :param looks: after how many looks they are held.
    """

    def __init__(self, exports: int, looks: int) -> None:
        self._exports = exports
        self._looks = looks
        self._sleeps: Counter[asyncio.Task[Any] | None] = Counter()
        self._arrived = 0
        self._open = asyncio.Event()
        self.cpu = 0.0

    def __enter__(self) -> StartLine:
        self._sleep = asyncio.sleep
        asyncio.sleep = self._held  # type: ignore[assignment]
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.sleep = self._sleep

    async def _held(self, delay: float, result: Any = None) -> Any:
        task = asyncio.current_task()
        self._sleeps[task] += bool(delay)
        if delay and self._sleeps[task] == self._looks:
            self._arrived += 1
            if self._arrived == self._exports:
                gc.collect()  # of what came before the line
                self.cpu = time.process_time()
                self._open.set()
            await self._open.wait()
        return await self._sleep(delay, result)


async def poll(wait: Wait, urls: list[str]) -> dict[str, float]:
    """Wait for all exports; return the CPU time until each was asked for twice, and that of the polls from then on."""
    begun = time.process_time()
    with StartLine(len(urls), UNCOUNTED) as line:
        await asyncio.gather(*map(wait, urls))
    return {"start": line.cpu - begun, "polls": time.process_time() - line.cpu}


async def block(wait: Wait, urls: list[str], batch: Any = None) -> dict[str, float]:
    """Wait for one export, so that all is loaded, then for all others; return the longest block in milliseconds."""
    first, *others = urls
    await wait(first)
    gc.collect()
    longest = 0.0

    async def watch(pause: float = 0.005) -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(pause)
            longest = max(longest, time.perf_counter() - before - pause)

    watching = asyncio.ensure_future(watch())
    await (events(batch) if batch else asyncio.gather(*map(wait, others)))
    watching.cancel()
    return {"blocked": longest * 1000}


def main(server: dict[str, Any], measure: str, way: str) -> None:
    # What a triggerer has in memory, whatever it waits for: the garbage collector goes through all of it.
    import airflow.jobs.triggerer_job_runner  # noqa: F401

    log_as_in_airflow("triggerer.log")
    urls = server["status_urls"]
    if way == BATCH:
        measured = block(ours(server), urls, batch_trigger(server))
    else:
        # All ways poll at once, so that each counted poll is a later one of an open connection.
        options = {"first_delay": 0} if (measure, way) == ("poll", OURS) else {}
        measured = {"poll": poll, "block": block}[measure](WAYS[way](server, **options), urls)
    # A triggerer's first full collection, of all that it has loaded, is long over when an export waits.
    gc.collect()
    say(**asyncio.run(measured))


if __name__ == "__main__":
    main(**given())
