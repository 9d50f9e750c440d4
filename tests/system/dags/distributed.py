"""What `make test-distributed` runs: single exports in each of the ways that there are, and batches in one task."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

LAKE = "s3://store@metrics"
PATH = LAKE + "/{{ dag_run.conf['key'] }}"
DAYS = {"first_day": "{{ dag_run.conf['first_day'] }}", "last_day": "{{ dag_run.conf['last_day'] }}"}
WAIT = {"poke_interval": 10, "timeout": 1200}
EVERY_DAG = {
    "schedule": None,
    "start_date": pendulum.datetime(2026, 1, 1, tz="UTC"),
    # Each of the faults may cost a task one try, and each time that its supervisor cannot be heard another.
    "default_args": {"retries": 8, "retry_delay": timedelta(seconds=5)},
    "render_template_as_native_obj": True,
}

with DAG("three_tasks", **EVERY_DAG):
    request = ApnsRequestExportOperator(task_id="request", dataset="application", **DAYS)
    wait = ApnsExportSensor(task_id="wait", status_url=request.output, **WAIT)
    ApnsDownloadExportOperator(task_id="download", status_url=wait.output, path=PATH, dataset="application")

with DAG("mapped", **EVERY_DAG):

    @task
    def plan(dag_run=None) -> list[dict[str, object]]:
        """Return what each mapped task is to do."""
        return [
            {"channel_ids": export["channel_ids"], "path": f"{LAKE}/{export['key']}"}
            for export in dag_run.conf["exports"]
        ]

    ApnsToObjectStorageOperator.partial(task_id="export", dataset="channel", **DAYS, **WAIT).expand_kwargs(plan())

with DAG("batch", **EVERY_DAG):
    ApnsToObjectStorageOperator(
        task_id="export",
        dataset="channel",
        channel_ids="{{ dag_run.conf['channel_ids'] }}",
        path=PATH,
        output_format="{{ dag_run.conf['key'].rpartition('.')[2] }}",
        priority_weight=1000,  # the longest first
        **DAYS,
        **WAIT,
    )
