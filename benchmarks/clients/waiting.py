"""Waits for many exports in one event loop, as a triggerer does, by one of several ways."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from benchmarks.clients.measure import LoopWatch, given, log_as_in_airflow, memory, objects, say

Wait = Callable[[str], Awaitable[None]]

HEADER = "X-Apple-CloudKit-Management-Token"


async def _events(trigger: Any) -> None:
    """Run a trigger to its end, as a triggerer does."""
    async for event in trigger.run():
        if isinstance(event.payload, dict) and ("error" in event.payload or event.payload.get("status") == "error"):
            raise RuntimeError(str(event.payload)[:500])


def ours(server: dict[str, Any], interval: float) -> Wait:
    import airflow_provider_apns.hooks.apns  # noqa: F401 - loaded once in a process, as the others' libraries are
    from airflow_provider_apns.triggers.apns import ApnsExportTrigger

    def wait(url: str) -> Awaitable[None]:
        trigger = ApnsExportTrigger(status_url=url, apns_conn_id="apns_default", poke_interval=interval, first_delay=0)
        return _events(trigger)

    return wait


def bare(server: dict[str, Any], interval: float, jitter: float = 0.0) -> Wait:
    """The limit: nothing but the requests, from one pool; in step, unless a part of each pause is left to chance."""
    import aiohttp

    headers = {HEADER: server["connection"]["password"]}
    session: aiohttp.ClientSession | None = None

    async def wait(url: str) -> None:
        nonlocal session
        session = session or aiohttp.ClientSession()
        while True:
            async with session.get(url, headers=headers) as answer:
                if (await answer.json())["status"] == "SUCCESS":
                    return
            await asyncio.sleep(interval * random.uniform(1 - jitter, 1))

    return wait


def spread(server: dict[str, Any], interval: float) -> Wait:
    """The same limit where the polls are spread, as ours are."""
    return bare(server, interval, jitter=0.2)


def http(server: dict[str, Any], interval: float) -> Wait:
    """HttpEventTrigger, the http provider's way to poll."""
    from airflow.providers.http.triggers.http import HttpEventTrigger

    headers = {HEADER: server["connection"]["password"]}
    os.environ["AIRFLOW_CONN_HTTP_DEFAULT"] = json.dumps({"conn_type": "http", "host": server["url"]})

    def wait(url: str) -> Awaitable[None]:
        trigger = HttpEventTrigger(
            response_check_path="benchmarks.clients.ready.is_ready",
            method="GET",
            endpoint=urlsplit(url).path,
            headers=headers,
            poll_interval=interval,
        )
        return _events(trigger)

    return wait


def dbt(server: dict[str, Any], interval: float) -> Wait:
    """The trigger of dbt Cloud's provider, which looks at the same exports as at its runs."""
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    connection = {"conn_type": "dbt_cloud", "host": urlsplit(server["url"]).netloc, "login": "1", "password": "token"}
    os.environ["AIRFLOW_CONN_DBT_CLOUD_DEFAULT"] = json.dumps(connection)

    def wait(url: str) -> Awaitable[None]:
        trigger: Any = DbtCloudRunJobTrigger(
            conn_id="dbt_cloud_default",
            run_id=url.rpartition("/")[2],  # type: ignore[arg-type]
            end_time=time.time() + 3600,
            poll_interval=interval,
            account_id=1,
        )
        return _events(trigger)

    return wait


def batch(server: dict[str, Any], interval: float) -> Callable[[Sequence[str]], Awaitable[None]]:
    """One trigger for all exports of a task."""
    from airflow_provider_apns.batches import Batch
    from airflow_provider_apns.exports import Window
    from airflow_provider_apns.triggers.apns import ApnsBatchTrigger

    today = datetime.now(tz=timezone.utc).date()
    week = Window(today - timedelta(days=7), today - timedelta(days=1))

    def wait(urls: Sequence[str]) -> Awaitable[None]:
        packed = Batch(week, tuple(zip(server["channel_ids"], urls, strict=True))).pack()
        trigger = ApnsBatchTrigger(
            exports=str(packed), apns_conn_id="apns_default", poke_interval=interval, max_concurrency=64, first_delay=0
        )
        return _events(trigger)

    return wait


def request(server: dict[str, Any], interval: float) -> Callable[[Sequence[str]], Awaitable[None]]:
    """One trigger that asks for all exports, too, as that of a task which is started from its trigger."""
    from airflow_provider_apns.triggers.apns import ApnsRequestTrigger

    today = datetime.now(tz=timezone.utc).date()

    def wait(urls: Sequence[str]) -> Awaitable[None]:
        trigger = ApnsRequestTrigger(
            dataset="channel",
            export_start_date=str(today - timedelta(days=7)),
            export_end_date=str(today - timedelta(days=1)),
            channel_ids=str(server["channel_ids"]),  # as a template renders to
            app_id=None,
            on_missing_channel="fail",
            apns_conn_id="apns_default",
            poke_interval=interval,
            max_concurrency=64,
        )
        return _events(trigger)

    return wait


BATCHES = {"batch": batch, "request": request}
WAYS = {"ours": ours, "spread": spread, "bare": bare, "http": http, "dbt": dbt}


class Lines:
    """
    Lets nobody look at an export once more until each has been looked at as often, for the first few looks.

    So what a trigger costs to start (its connection looked up) and what a pool costs to fill are told apart from what
    each further poll costs, which is what waiting longer costs. All ways sleep between two looks: there is the line.

    :param exports: how many there are.
    :param looks: after how many looks there is a line.
    """

    def __init__(self, exports: int, looks: int) -> None:
        self._exports = exports
        self._arrived: list[set[asyncio.Task[Any] | None]] = [set() for _ in range(looks)]
        self._open = [asyncio.Event() for _ in range(looks)]
        self.cpu: list[float] = []

    def __enter__(self) -> Lines:
        self._sleep = sleep = asyncio.sleep

        async def held(delay: float, result: Any = None) -> Any:
            if delay and not self._open[-1].is_set():
                await self._hold(asyncio.current_task())
            return await sleep(delay, result)

        asyncio.sleep = held  # type: ignore[assignment]
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.sleep = self._sleep

    async def _hold(self, task: asyncio.Task[Any] | None) -> None:
        line = next(number for number, arrived in enumerate(self._arrived) if task not in arrived)
        self._arrived[line].add(task)
        if len(self._arrived[line]) == self._exports:
            gc.collect()  # what came before has left it
            self.cpu.append(time.process_time())
            self._open[line].set()
        await self._open[line].wait()


async def poll(way: str, server: dict[str, Any], interval: float) -> dict[str, float]:
    """
    Wait for all exports; return the CPU time until each was asked for twice, and that of the polls from the third on.

    Where triggers do not begin at the same instant, connections are opened for the second poll, too.
    """
    wait = WAYS[way](server, interval)
    begun, wall = time.process_time(), time.perf_counter()
    with Lines(len(server["status_urls"]), looks=2) as lines:
        await asyncio.gather(*map(wait, server["status_urls"]))
    filled = lines.cpu[-1]
    return {
        "start": filled - begun,
        "polls": time.process_time() - filled,
        "wall": time.perf_counter() - wall,
    }


async def grow(
    way: str, server: dict[str, Any], interval: float, at_once: int, pool: int, traced: bool
) -> dict[str, float]:
    """
    Return how much memory each of a thousand further exports takes: of the process, or of Python's objects if traced.

    A fifth of the exports is there before them, to fill the allocator's arenas, and the pool of connections, for which
    as many begin together as it has.
    """
    wait, urls = WAYS[way](server, interval), server["status_urls"]
    few = len(urls) // 5
    tasks: list[asyncio.Future[None]] = []
    size = objects if traced else memory

    async def begin(some: Sequence[str], together: int) -> None:
        for start in range(0, len(some), together):
            tasks.extend(asyncio.ensure_future(wait(url)) for url in some[start : start + together])
            await asyncio.sleep(0.6)  # longer than an answer takes
        await asyncio.sleep(4)

    if traced:
        tracemalloc.start()
    await begin(urls[:pool], pool or 1)
    await begin(urls[pool:few], 50)
    waiting = size()
    await begin(urls[few:], at_once)
    after = size()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {"each": (after - waiting) / (len(urls) - few)}


async def block(way: str, server: dict[str, Any], interval: float) -> dict[str, float]:
    """Wait for one export, so that all is loaded, then for all others; return the longest block of the loop."""
    wait = WAYS["ours" if way in BATCHES else way](server, interval)
    first, *urls = server["status_urls"]
    await wait(first)
    gc.collect()
    with LoopWatch() as watch:
        watching = asyncio.ensure_future(watch.watch())
        if way in BATCHES:
            await BATCHES[way](server, interval)([first, *urls])
        else:
            await asyncio.gather(*map(wait, urls))
        watching.cancel()
    return watch.figures()


def main() -> None:
    # What a triggerer has in memory, whatever it waits for: the garbage collector goes through all of it.
    import airflow.jobs.triggerer_job_runner  # noqa: F401

    arguments = given()
    log_as_in_airflow("triggerer.log")
    # A triggerer's first full collection, of all that it has loaded, is long over when an export waits.
    gc.collect()
    measure = {"poll": poll, "grow": grow, "block": block}[arguments.pop("measure")]
    say(**asyncio.run(measure(**arguments)))


if __name__ == "__main__":
    main()
