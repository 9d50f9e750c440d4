"""
# A path that is kept complete

The first task is all that an app's metrics need. Because it names no days, it exports those of Apple's last 30 days
that are missing from its path, and those whose numbers are still changing. Every run does the same work, however it
starts.

The second task does the same for a list of channels. The list comes from the Airflow variable `apns_channel_ids` (a
JSON list), or from the environment variable `APNS_EXAMPLE_CHANNELS`, separated by commas.
"""

from __future__ import annotations

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG, Variable, task

from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

LAKE = os.environ.get("APNS_EXAMPLE_LAKE", "file:///tmp/apns")

with DAG(
    dag_id="apns_one_task",
    schedule="0 6 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": pendulum.duration(minutes=10)},
    doc_md=__doc__,
    tags=["apns", "example"],
) as dag:
    ApnsToObjectStorageOperator(
        task_id="application_metrics",
        dataset="application",
        path=f"{LAKE}/{{dataset}}/app={{app_id}}/day={{date}}/metrics.parquet",
    )

    @task
    def channels() -> list[str]:
        """Return the channels to export."""
        from_environment = [name for name in os.environ.get("APNS_EXAMPLE_CHANNELS", "").split(",") if name]
        return from_environment or Variable.get("apns_channel_ids", deserialize_json=True)

    ApnsToObjectStorageOperator(
        task_id="channel_metrics",
        dataset="channel",
        channel_ids=channels(),
        on_channel_error="skip",
        path=f"{LAKE}/{{dataset}}/app={{app_id}}/day={{date}}/metrics.parquet",
    )
