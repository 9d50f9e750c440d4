"""The same export in three tasks and in one, begun in a worker and begun in the triggerer."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG

from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

FIRST, LAST, LAKE = (os.environ[name] for name in ("BENCH_FIRST", "BENCH_LAST", "BENCH_LAKE"))
ALWAYS: dict[str, Any] = {"schedule": None, "start_date": datetime(2026, 1, 1, tzinfo=timezone.utc)}


def three_tasks(status_url: str | None = None, **sensor: Any) -> None:
    request = ApnsRequestExportOperator(task_id="request", dataset="application", start_date=FIRST, end_date=LAST)
    wait = ApnsExportSensor(task_id="wait", status_url=status_url or request.output, **sensor)
    download = ApnsDownloadExportOperator(
        task_id="download", status_url=wait.output, path=f"{LAKE}/{{{{ dag.dag_id }}}}.csv"
    )
    request >> wait >> download


with DAG("three_tasks", **ALWAYS):
    three_tasks()

with DAG("three_tasks_in_triggerer", **ALWAYS):
    three_tasks(
        "{{ ti.xcom_pull(task_ids='request', map_indexes=-1) }}", start_from_trigger=True, end_from_trigger=True
    )

for suffix, options in (("", {}), ("_in_triggerer", {"start_from_trigger": True})):
    with DAG(f"one_task{suffix}", **ALWAYS):
        ApnsToObjectStorageOperator(
            task_id="export",
            dataset="application",
            start_date=FIRST,
            end_date=LAST,
            path=f"{LAKE}/one_task{suffix}.csv",
            **options,
        )
