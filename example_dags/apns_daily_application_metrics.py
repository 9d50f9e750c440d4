"""
# Days by hand: three tasks

Request the app's metrics from Apple, wait until the report is built, and save Apple's CSV unchanged. The days follow
the run's data interval: each morning's file has the last two days that are over, because Apple does not export a single
day.

To keep a path complete without any of this, use one task, as in `example_dags/apns_one_task.py`.
"""

from __future__ import annotations

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor

LAKE = os.environ.get("APNS_EXAMPLE_LAKE", "file:///tmp/apns")

# The last day that is over: the day on which the run's data interval began, or the day before a run that has none.
LAST_DAY = (
    "(data_interval_start if data_interval_start is defined else dag_run.run_after - macros.timedelta(days=1)) | ds"
)

# In Airflow 3, "@daily" or a bare cron text gives a run no data interval, and its `ds` is the day of the run, which is
# not over. This timetable gives the run at 06:00 on the 24th the interval that began on the 23rd, on every Airflow.
with DAG(
    dag_id="apns_daily_application_metrics",
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3, "retry_delay": pendulum.duration(minutes=10)},
    doc_md=__doc__,
    tags=["apns", "example"],
) as dag:
    request = ApnsRequestExportOperator(
        task_id="request_export",
        dataset="application",
        first_day=f"{{{{ macros.ds_add({LAST_DAY}, -1) }}}}",
        last_day=f"{{{{ {LAST_DAY} }}}}",
    )
    wait = ApnsExportSensor(
        task_id="wait_for_export",
        status_url=request.output,
        timeout=6 * 60 * 60,
    )
    ApnsDownloadExportOperator(
        task_id="download_export",
        status_url=wait.output,
        path=f"{LAKE}/application/{{{{ {LAST_DAY} }}}}.csv",
    )
