"""What test_live.py runs beside the example DAGs: waits that end badly."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_apns.operators.apns import ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

BEGINNING = datetime(2026, 1, 1, tzinfo=timezone.utc)
RETRIES = {"retries": 3, "retry_delay": timedelta(seconds=1)}
DAYS = {"first_day": "{{ dag_run.conf['start'] }}", "last_day": "{{ dag_run.conf['end'] }}"}

with DAG("bad_ends", schedule=None, start_date=BEGINNING, default_args=RETRIES):
    # Exports of the connection `apns_slow` are never ready, those of `apns_failing` fail.
    for connection in ("apns_slow", "apns_failing"):
        request = ApnsRequestExportOperator(
            task_id=f"request_{connection}", dataset="application", apns_conn_id=connection, **DAYS
        )
        for name, options in {"wait": {}, "wait_softly": {"soft_fail": True}}.items():
            ApnsExportSensor(
                task_id=f"{name}_{connection}",
                status_url=request.output,
                apns_conn_id=connection,
                poke_interval=2,
                timeout=9,
                **options,
            )

with DAG("one_task_timeout", schedule=None, start_date=BEGINNING, default_args=RETRIES | {"retries": 0}):
    ApnsToObjectStorageOperator(
        task_id="export",
        dataset="application",
        path="{{ dag_run.conf['folder'] }}/never.csv",
        apns_conn_id="apns_slow",
        timeout=9,
        **DAYS,
    )

with DAG("many_channels", schedule=None, start_date=BEGINNING, default_args=RETRIES):
    ApnsToObjectStorageOperator(
        task_id="export",
        dataset="channel",
        channel_ids="{{ dag_run.conf['channel_ids'] }}",
        path="{{ dag_run.conf['folder'] }}/channels.parquet",
        output_format="parquet",
        max_concurrency=8,
        apns_conn_id="apns_foreign",
        **DAYS,
    )
