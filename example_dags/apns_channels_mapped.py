"""
# Channel metrics of a list of channels, by dynamic task mapping

Each channel is an export of its own, so each gets three tasks of its own, which save Apple's CSV unchanged. This works
for a handful of channels. For more, use one task, as `example_dags/apns_one_task.py` does. The list comes from the
Airflow variable `apns_channel_ids` (a JSON list), or from the environment variable `APNS_EXAMPLE_CHANNELS`, separated
by commas.
"""

from __future__ import annotations

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG, Variable, task

from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor

LAKE = os.environ.get("APNS_EXAMPLE_LAKE", "file:///tmp/apns")

with DAG(
    dag_id="apns_channels_mapped",
    schedule="0 6 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3, "retry_delay": pendulum.duration(minutes=10)},
    doc_md=__doc__,
    tags=["apns", "example"],
) as dag:

    @task
    def channels() -> list[str]:
        """Return the channels to export."""
        from_environment = [name for name in os.environ.get("APNS_EXAMPLE_CHANNELS", "").split(",") if name]
        return from_environment or Variable.get("apns_channel_ids", deserialize_json=True)

    @task
    def days() -> dict[str, str]:
        """Return the last two days that are over, in UTC: Apple exports no single day."""
        today = pendulum.today("UTC")
        return {"first": today.subtract(days=2).to_date_string(), "last": today.subtract(days=1).to_date_string()}

    @task
    def download_to(status_url: str, channel_id: str, day: str) -> dict[str, str]:
        """Pair an export with its destination; base64 has characters that do not work in file names."""
        name = channel_id.replace("+", "-").replace("/", "_").rstrip("=")
        return {"status_url": status_url, "path": f"{LAKE}/channels/{day}/{name}.csv"}

    channel_ids, two_days = channels(), days()
    request = ApnsRequestExportOperator.partial(
        task_id="request_export",
        dataset="channel",
        first_day=two_days["first"],
        last_day=two_days["last"],
    ).expand(channel_id=channel_ids)
    wait = ApnsExportSensor.partial(task_id="wait_for_export", timeout=6 * 60 * 60).expand(status_url=request.output)
    downloads = download_to.partial(day=two_days["last"]).expand_kwargs(
        channel_ids.zip(wait.output).map(lambda pair: {"channel_id": pair[0], "status_url": pair[1]})
    )
    ApnsDownloadExportOperator.partial(task_id="download_export").expand_kwargs(downloads)
