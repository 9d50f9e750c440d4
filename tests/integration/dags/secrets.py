"""What test_secrets.py runs: every way of success and of failure that a task of this provider has.

Each task's id says how it has to end. The channels come in the order of ``CHANNEL_CASES`` in the test.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_apns.hooks import apns as hooks
from airflow_provider_apns.operators.apns import (
    ApnsDownloadExportOperator,
    ApnsListChannelsOperator,
    ApnsRequestExportOperator,
)
from airflow_provider_apns.protocol import retries
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

# A worker reads this file before it runs a task: no test waits for half a minute between two tries.
retries.retry_delay = lambda error, tries: 0.05
hooks.READ_TIMEOUT = 2.0

LAKE = os.environ.get("APNS_TEST_LAKE", "file:///tmp")
GOOD, FAILED, STALLED, *ODD = json.loads(os.environ.get("APNS_TEST_CHANNELS", '["AAAA", "AAAB", "AAAC", "AAAD"]'))
DAYS = {
    "first_day": "{{ macros.ds_add(dag_run.conf['today'], -3) }}",
    "last_day": "{{ macros.ds_add(dag_run.conf['today'], -1) }}",
}

with DAG(
    "secrets",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    default_args={"retries": 0},
) as dag:
    request = ApnsRequestExportOperator(task_id="request_success", dataset="application", **DAYS)
    wait = ApnsExportSensor(task_id="wait_success", status_url=request.output, poke_interval=1)
    poke = ApnsExportSensor(task_id="poke_success", status_url=request.output, poke_interval=1, deferrable=False)
    ApnsDownloadExportOperator(task_id="download_success", status_url=wait.output, path=f"{LAKE}/application.csv")

    channels = ApnsRequestExportOperator.partial(task_id="request_mapped_success", dataset="channel", **DAYS).expand(
        channel_id=[GOOD, *ODD]
    )
    ApnsDownloadExportOperator.partial(
        task_id="download_mapped", path=f"{LAKE}/mapped/{{{{ ti.map_index }}}}.csv", max_bytes=1 << 20
    ).expand(status_url=channels.output)
    failed = ApnsRequestExportOperator(
        task_id="request_of_failed_success", dataset="channel", channel_id=FAILED, **DAYS
    )
    ApnsExportSensor(task_id="wait_failed", status_url=failed.output, poke_interval=1)
    ApnsExportSensor(task_id="poke_failed", status_url=failed.output, poke_interval=1, deferrable=False)
    stalled = ApnsRequestExportOperator(
        task_id="request_of_stalled_success", dataset="channel", channel_id=STALLED, **DAYS
    )
    ApnsDownloadExportOperator(
        task_id="download_interrupted_failed",
        status_url=stalled.output,
        path=f"{LAKE}/stalled.csv",
        execution_timeout=timedelta(seconds=1),
    )

    ApnsToObjectStorageOperator(
        task_id="batch_success",
        dataset="channel",
        channel_ids=[GOOD],
        path=f"{LAKE}/batch.csv",
        poke_interval=1,
        **DAYS,
    )
    ApnsToObjectStorageOperator(
        task_id="batch_in_worker_failed",
        dataset="channel",
        channel_ids=[GOOD, *ODD],
        path=f"{LAKE}/never.csv",
        deferrable=False,
        poke_interval=1,
        **DAYS,
    )
    ApnsToObjectStorageOperator(
        task_id="batch_deferred_failed",
        dataset="channel",
        channel_ids=[GOOD, FAILED],
        path=f"{LAKE}/never.csv",
        poke_interval=1,
        **DAYS,
    )
    for reason, connection in {"refused": "apns_refused", "incomplete": "apns_incomplete"}.items():
        ApnsRequestExportOperator(
            task_id=f"request_{reason}_failed", dataset="application", apns_conn_id=connection, **DAYS
        )
    ApnsExportSensor(task_id="wait_with_refused_token_failed", status_url=wait.output, apns_conn_id="apns_refused")
    ApnsExportSensor(task_id="wait_elsewhere_failed", status_url="https://metrics.example.com/v1/status/1")

    again = {"retries": 1, "retry_delay": timedelta(0)}
    for name, connection in {
        "success": "apns_listing",
        "unavailable_failed": "apns_unavailable",
        "refused_failed": "apns_other_key",
        "broken_failed": "apns_broken_key",
    }.items():
        listing = ApnsListChannelsOperator(
            task_id=f"list_{name}", path=f"{LAKE}/{name}.jsonl", apns_conn_id=connection, **again
        )
        for way, deferrable in {"deferred": True, "in_worker": False}.items():
            listing >> ApnsToObjectStorageOperator(
                task_id=f"all_{way}_{name}",
                dataset="channel",
                channel_ids="all",
                path=f"{LAKE}/{way}_{name}.csv",
                apns_conn_id=connection,
                deferrable=deferrable,
                poke_interval=1,
                trigger_rule="all_done",
                **DAYS,
                **again,
            )
