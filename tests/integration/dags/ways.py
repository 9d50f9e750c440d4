"""What test_ways_to_run.py runs in every way: three tasks and one task, for each place where a connection can be.

As a program, it runs itself with ``dag.test()``.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime, timezone
from functools import cache
from importlib import import_module

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.protocol import retries
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
from airflow_provider_apns.triggers import apns as triggers

PLACES = ("environment", "database", "backend")
LAKE = os.environ.get("WAYS_LAKE", "/tmp")
REPORT = {
    "dataset": "application",
    "first_day": os.environ.get("WAYS_FIRST_DAY", ""),
    "last_day": os.environ.get("WAYS_LAST_DAY", ""),
}

if "WAYS_LAKE" in os.environ:  # In a process of its own, not where all DAGs of the folder are only looked at.
    with suppress(ImportError):
        # What `dag.test()` needs for each task takes seconds to build; Airflow 3.3 keeps it.
        supervisor = import_module("airflow.sdk.execution_time.supervisor")
        supervisor.in_process_api_server = cache(supervisor.in_process_api_server)
    # Where there is no scheduler, a resumed task cannot come too early for it.
    delay = float(os.environ.get("WAYS_FIRST_DELAY", "0.1"))
    triggers._WaitingTrigger.__init__.__kwdefaults__["first_delay"] = delay
    retries.FIRST_POLL_DELAY = 0.1

with DAG("ways", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
    for place in PLACES:
        connection = {"apns_conn_id": f"apns_{place}"}
        request = ApnsRequestExportOperator(task_id=f"request_{place}", **REPORT, **connection)
        for way, deferrable in {"deferred": True, "in_worker": False}.items():
            options = {"deferrable": deferrable, "poke_interval": 1, **connection}
            wait = ApnsExportSensor(task_id=f"wait_{way}_{place}", status_url=request.output, **options)
            ApnsDownloadExportOperator(
                task_id=f"download_{way}_{place}",
                status_url=wait.output,
                path=f"{LAKE}/{place}/three_tasks_{way}.csv",
                **connection,
            )
            ApnsToObjectStorageOperator(
                task_id=f"one_task_{way}_{place}", path=f"{LAKE}/{place}/one_task_{way}.csv", **REPORT, **options
            )

if __name__ == "__main__":
    dag.test()
