"""The main job in three tasks; the run's configuration says which report, and where to."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor

with DAG(
    "main_job",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    default_args={"retries": 3, "retry_delay": timedelta(seconds=1)},
) as dag:
    request = ApnsRequestExportOperator(
        task_id="request",
        dataset="{{ dag_run.conf['dataset'] }}",
        first_day="{{ dag_run.conf['start'] }}",
        last_day="{{ dag_run.conf['end'] }}",
        channel_id="{{ dag_run.conf.get('channel_id', '') }}",
    )
    wait = ApnsExportSensor(task_id="wait", status_url=request.output, poke_interval=2)
    ApnsDownloadExportOperator(
        task_id="download",
        status_url=wait.output,
        path="{{ dag_run.conf['folder'] }}/{{ dag_run.conf['dataset'] }}/{{ dag_run.conf['end'] }}.csv",
    )
