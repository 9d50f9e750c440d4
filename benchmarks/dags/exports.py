"""One export in three tasks and in one, and by the http provider's means, whose sensor hands on the signed URL."""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import DAG as AirflowDag
from airflow.sdk import PokeReturnValue

from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

FIRST, LAST, LAKE = (os.environ[name] for name in ("BENCH_FIRST", "BENCH_LAST", "BENCH_LAKE"))
CHANNELS = json.loads(os.environ["BENCH_CHANNELS"])
TOKEN = {"X-Apple-CloudKit-Management-Token": "{{ conn.apns_default.password }}"}
DAG = partial(AirflowDag, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc))


def status_path(response: Any) -> str:
    return urlsplit(response.json()["statusUrl"]).path


def is_ready(response: Any) -> PokeReturnValue:
    answer = response.json()
    if answer["status"] != "SUCCESS":
        return PokeReturnValue(is_done=False)
    url = urlsplit(answer["downloadDetails"]["dataUrl"])
    return PokeReturnValue(is_done=True, xcom_value=f"{url.path}?{url.query}")


with DAG("three_tasks"):
    requested = ApnsRequestExportOperator(
        task_id="request", dataset="channel", channel_id=CHANNELS[0], first_day=FIRST, last_day=LAST
    )
    ready = ApnsExportSensor(task_id="wait", status_url=requested.output)
    ApnsDownloadExportOperator(task_id="download", status_url=ready.output, path=f"{LAKE}/three_tasks.csv")

with DAG("one_task"):
    ApnsToObjectStorageOperator(
        task_id="export",
        dataset="channel",
        channel_ids=[CHANNELS[1]],
        first_day=FIRST,
        last_day=LAST,
        path=f"{LAKE}/one_task.csv",
    )

with DAG("http_three_tasks"):
    export = {"startDate": FIRST, "endDate": LAST, "dataDownloadUrlExpiresInMinutes": 60, "channelId": CHANNELS[2]}
    posted = HttpOperator(
        task_id="request",
        endpoint=os.environ["BENCH_REQUEST_PATH"],
        data=json.dumps(export),
        headers={**TOKEN, "Content-Type": "application/json"},
        response_filter=status_path,
    )
    waited = HttpSensor(
        task_id="wait",
        endpoint=posted.output,
        headers=TOKEN,
        response_check=is_ready,
        poke_interval=15,
        mode="reschedule",
    )
    HttpOperator(task_id="download", method="GET", endpoint=waited.output)
