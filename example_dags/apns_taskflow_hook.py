"""
# The hook, in TaskFlow

For those who prefer Python to operators: the same job with `ApnsHook` and `@task.sensor`. The last task reads the CSV
from the object store and answers two questions: how many messages were delivered per published broadcast, and whether
the number of the app's subscribers grows.
"""

from __future__ import annotations

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, PokeReturnValue, task

LAKE = os.environ.get("APNS_EXAMPLE_LAKE", "file:///tmp/apns")

with DAG(
    dag_id="apns_taskflow_hook",
    schedule="0 6 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3, "retry_delay": pendulum.duration(minutes=10)},
    doc_md=__doc__,
    tags=["apns", "example"],
) as dag:

    @task
    def yesterday() -> str:
        """Return the last day that is over, in UTC."""
        return pendulum.yesterday("UTC").to_date_string()

    @task
    def request(last_day: str) -> str:
        """Ask for the two weeks that end on a day, and return the status URL."""
        from airflow_provider_apns.hooks.apns import ApnsHook

        first_day = pendulum.parse(last_day).subtract(days=13).to_date_string()
        return ApnsHook().request_export("application", first_day, last_day).status_url

    @task.sensor(mode="reschedule", poke_interval=60, timeout=6 * 60 * 60)
    def wait(status_url: str) -> PokeReturnValue:
        """Ask once a minute whether Apple has built the report."""
        from airflow_provider_apns.hooks.apns import ApnsHook

        export = ApnsHook().get_export(status_url).check()
        return PokeReturnValue(is_done=export.is_ready, xcom_value=status_url)

    @task
    def download(status_url: str, last_day: str) -> str:
        """Write the CSV to the object store, and return its path."""
        from airflow_provider_apns.hooks.apns import ApnsHook

        return ApnsHook().download_export(status_url, f"{LAKE}/two-weeks/{last_day}.csv").path

    @task
    def summarise(path: str) -> dict[str, float]:
        """Compute deliveries per published broadcast, and how the subscribers have changed."""
        import csv

        days = list(csv.DictReader(ObjectStoragePath(path).read_text().splitlines()))
        # Apple withholds a count by writing -1, to keep people anonymous. It is not a number and must not be summed.
        known = [day for day in days if day["Broadcasts Delivered"] != "-1" and day["Unique Subscribers"] != "-1"]
        if not known:
            return {}
        published = sum(int(day["Broadcasts Published"]) for day in known)
        delivered = sum(int(day["Broadcasts Delivered"]) for day in known)
        first, last = int(known[0]["Unique Subscribers"]), int(known[-1]["Unique Subscribers"])
        summary = {
            "delivered_per_published": round(delivered / max(published, 1), 1),
            "subscribers_change_percent": round(100 * (last - first) / max(first, 1), 2),
        }
        print(summary)
        return summary

    last_day = yesterday()
    summarise(download(wait(request(last_day)), last_day))
