"""What test_kills_live.py runs on a whole deployment: tasks that wait in the triggerer for half a minute."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

LAKE = os.environ.get("APNS_TEST_LAKE", "file:///tmp")
DAYS = {"first_day": "{{ dag_run.conf['start'] }}", "last_day": "{{ dag_run.conf['end'] }}"}

with DAG("kills", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
    request = ApnsRequestExportOperator(task_id="request", dataset="application", **DAYS)
    wait = ApnsExportSensor(task_id="wait", status_url=request.output, poke_interval=1)
    ApnsDownloadExportOperator(task_id="download", status_url=wait.output, path=f"{LAKE}/three-tasks.csv")
    ApnsToObjectStorageOperator(
        task_id="one_task", dataset="delivery", path=f"{LAKE}/one-task.csv", poke_interval=1, **DAYS
    )

# One waits in the triggerer, the other in its worker.
for dag_id, deferrable in {"kills_keep_complete": True, "kills_in_worker": False}.items():
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
        ApnsToObjectStorageOperator(
            task_id="keep",
            dataset="channel",
            channel_ids=json.loads(os.environ.get("APNS_TEST_CHANNELS", '["AAAA"]')),
            path=f"{LAKE}/keep/{{date}}.csv",
            poke_interval=1,
            deferrable=deferrable,
            retries=1,
            retry_delay=timedelta(seconds=1),
        )
