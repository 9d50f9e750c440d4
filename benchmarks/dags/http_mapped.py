"""Channels by the http provider's means: three mapped tasks for each. Its sensor hands on the signed URL as an XCom."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import DAG, PokeReturnValue

FIRST, LAST, PATH = (os.environ[name] for name in ("BENCH_FIRST", "BENCH_LAST", "BENCH_REQUEST_PATH"))
CHANNELS = json.loads(os.environ["BENCH_CHANNELS"])
TOKEN = {"X-Apple-CloudKit-Management-Token": "{{ conn.apns_default.password }}"}


def body(channel_id: str) -> str:
    return json.dumps(
        {"startDate": FIRST, "endDate": LAST, "dataDownloadUrlExpiresInMinutes": 60, "channelId": channel_id}
    )


def status_path(response: Any) -> str:
    return urlsplit(response.json()["statusUrl"]).path


def is_ready(response: Any) -> PokeReturnValue:
    answer = response.json()
    if answer["status"] != "SUCCESS":
        return PokeReturnValue(is_done=False)
    url = urlsplit(answer["downloadDetails"]["dataUrl"])
    return PokeReturnValue(is_done=True, xcom_value=f"{url.path}?{url.query}")


with DAG(
    "http_mapped",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    max_active_tasks=16,
):
    request = HttpOperator.partial(
        task_id="request",
        endpoint=PATH,
        headers={**TOKEN, "Content-Type": "application/json"},
        response_filter=status_path,
    ).expand(data=[body(channel_id) for channel_id in CHANNELS])
    wait = HttpSensor.partial(
        task_id="wait", headers=TOKEN, response_check=is_ready, poke_interval=2, mode="reschedule"
    ).expand(endpoint=request.output)
    HttpOperator.partial(task_id="download", method="GET").expand(endpoint=wait.output)
