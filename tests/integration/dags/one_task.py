"""The whole job in one task, with the operator's arguments from the environment variable ``ONE_TASK`` (JSON)."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

DEFAULTS = {"dataset": "application", "first_day": "{{ ds }}", "last_day": "{{ ds }}", "path": "/dev/null"}
ARGUMENTS = DEFAULTS | json.loads(os.environ.get("ONE_TASK", "{}"))

with DAG(
    "one_task",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    default_args={"retries": 3, "retry_delay": timedelta(seconds=1)},
) as dag:
    ApnsToObjectStorageOperator(task_id="export", outlets=[Asset("file:///lake/metrics")], **ARGUMENTS)

with DAG("one_task_after_another", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag_after:

    @task
    def channels(dag_run=None) -> list[str]:
        return dag_run.conf["channel_ids"]

    ApnsToObjectStorageOperator(task_id="export", **(ARGUMENTS | {"channel_ids": channels()}))
