"""
# One task for the whole job

`ApnsToObjectStorageOperator` requests, waits (deferred, without a worker slot), downloads and writes Parquet with
normalised columns. Its `start_date` and `end_date` may be the same day, which Apple itself refuses. The second task
does the same for all channels of the app at once, one export each; the list comes from the Airflow variable
`apns_channel_ids` (a JSON list), or from the environment variable `APNS_EXAMPLE_CHANNELS`, separated by commas.
"""

from __future__ import annotations

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG, Variable, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

LAKE = os.environ.get("APNS_EXAMPLE_LAKE", "file:///tmp/apns")

# The last complete day: the one on which the run's data interval began; for a run without one, the day before the run.
LAST_DAY = (
    "(data_interval_start if data_interval_start is defined else dag_run.run_after - macros.timedelta(days=1)) | ds"
)

with DAG(
    dag_id="apns_one_task",
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3, "retry_delay": pendulum.duration(minutes=5)},
    doc_md=__doc__,
    tags=["apns", "example"],
) as dag:
    ApnsToObjectStorageOperator(
        task_id="application_metrics",
        dataset="application",
        start_date=f"{{{{ {LAST_DAY} }}}}",
        end_date=f"{{{{ {LAST_DAY} }}}}",
        path=f"{LAKE}/application/day={{date}}/metrics.parquet",
        output_format="parquet",
    )

    @task
    def channels() -> list[str]:
        """Return the channels to export."""
        from_environment = [name for name in os.environ.get("APNS_EXAMPLE_CHANNELS", "").split(",") if name]
        return from_environment or Variable.get("apns_channel_ids", deserialize_json=True)

    ApnsToObjectStorageOperator(
        task_id="channel_metrics",
        dataset="channel",
        start_date=f"{{{{ {LAST_DAY} }}}}",
        end_date=f"{{{{ {LAST_DAY} }}}}",
        channel_ids=channels(),
        on_missing_channel="skip",
        path=f"{LAKE}/channels/day={{date}}/metrics.parquet",
        output_format="parquet",
    )
