"""One program for test_ten_thousand.py, run in a process of its own so that its memory is its own.

    python -m tests.integration.batch_job operator URL OUTPUT    what a worker and a triggerer do, one after the other
    python -m tests.integration.batch_job bare URL OUTPUT        the shortest aiohttp script that downloads as much

Prints what it measured, as JSON. URL is an emulator's.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

CONCURRENCY = 32
DAYS = 30


def main(kind: str, url: str, output: str) -> dict[str, Any]:
    connection = ask(f"{url}/_emulator/connection")
    channel_ids = ask(f"{url}/_emulator/channels")
    yesterday = datetime.now(timezone.utc).date() - timedelta(days=1)
    start, end = str(yesterday - timedelta(days=DAYS - 1)), str(yesterday)
    measure = {"operator": operator, "bare": bare}[kind]
    return measure(connection, channel_ids, start, end, output)


def ask(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def peak_mb() -> float:
    """This program's own peak; getrusage() would count the process that started it, too."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def operator(connection: Any, channel_ids: list[str], start: str, end: str, output: str) -> dict[str, Any]:
    os.environ["AIRFLOW_CONN_APNS_DEFAULT"] = json.dumps(connection)
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
    from airflow.providers.common.compat.sdk import ObjectStoragePath, TaskDeferred
    from cryptography.fernet import Fernet

    from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
    from airflow_provider_apns.triggers.apns import ApnsBatchTrigger

    task = ApnsToObjectStorageOperator(
        task_id="export",
        dataset="channel",
        first_day=start,
        last_day=end,
        channel_ids=channel_ids,
        path=output,
        max_concurrency=CONCURRENCY,
    )
    # Airflow loads the file systems and lineage hooks of all providers, once in a process.
    _ = ObjectStoragePath("file:///").fs
    get_hook_lineage_collector()
    seconds, mark, airflow = [], time.process_time(), peak_mb()

    def lap() -> None:
        nonlocal mark
        seconds.append(round(time.process_time() - mark, 2))
        mark = time.process_time()

    try:
        task.execute({})
    except TaskDeferred as deferral:
        _, arguments = deferral.trigger.serialize()
    lap()

    async def wait() -> Any:
        # Without the seconds that a deferred task gives the scheduler: they are no work.
        async for event in ApnsBatchTrigger(**(arguments | {"first_delay": 0.0})).run():
            return event.payload

    event = asyncio.run(wait())
    lap()
    summary = task.execute_complete({}, event)
    lap()
    # As Airflow keeps them: the trigger's arguments encrypted, the event and the XCom as JSON.
    encrypted = Fernet(Fernet.generate_key()).encrypt(json.dumps(arguments).encode())
    sizes = {"trigger": len(encrypted), "event": len(json.dumps(event)), "xcom": len(json.dumps(summary))}
    used = round(peak_mb() - airflow)
    return {"seconds": sum(seconds), "phases": seconds, "rows": summary["rows"], "bytes": sizes, "megabytes": used}


def bare(connection: Any, channel_ids: list[str], start: str, end: str, output: str) -> dict[str, Any]:
    import aiohttp

    token = {"X-Apple-CloudKit-Management-Token": connection["password"]}
    app = f"teams/{connection['login']}/appId/{connection['extra']['app_id']}"
    target = f"{connection['host']}/v1/dataExports/apns/{app}/datasetName/broadcastchannelmetrics/request"
    body = {"startDate": start, "endDate": end, "dataDownloadUrlExpiresInMinutes": 60}

    async def export(session: aiohttp.ClientSession, channel_id: str) -> int:
        async with session.post(target, json={**body, "channelId": channel_id}, headers=token) as answer:
            status_url = (await answer.json())["statusUrl"]
        async with session.get(status_url, headers=token) as answer:
            data_url = (await answer.json())["downloadDetails"]["dataUrl"]
        async with session.get(data_url) as answer:
            return (await answer.read()).count(b"\n") - 1

    async def everything() -> int:
        left = iter(channel_ids)
        async with aiohttp.ClientSession() as session:

            async def take() -> int:
                return sum([await export(session, channel_id) for channel_id in left])

            return sum(await asyncio.gather(*(take() for _ in range(CONCURRENCY))))

    started = time.process_time()
    rows = asyncio.run(everything())
    return {"seconds": round(time.process_time() - started, 2), "rows": rows}


if __name__ == "__main__":
    sys.stdout.write(f"\n{json.dumps(main(*sys.argv[1:]))}\n")
