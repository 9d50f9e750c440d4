"""
# A trailing window, and a chart of it

Events reach Apple late, so yesterday's numbers still grow. The first DAG therefore exports the last four weeks every
morning and overwrites one Parquet object per day: whatever was late is in the next morning's objects. (The same
request within 24 hours brings no newer data, by Apple's rule; this one has other days every morning.)

Its asset event starts the second DAG, which loads the Parquet into DuckDB and draws a chart of published, delivered
and subscribers. It needs `pip install 'airflow-provider-apns[parquet]' duckdb matplotlib`.
"""

from __future__ import annotations

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG, Asset, ObjectStoragePath, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

LAKE = os.environ.get("APNS_EXAMPLE_LAKE", "file:///tmp/apns")

# The last complete day: the one on which the run's data interval began; for a run without one, the day before the run.
LAST_DAY = (
    "(data_interval_start if data_interval_start is defined else dag_run.run_after - macros.timedelta(days=1)) | ds"
)

application_metrics = Asset(f"{LAKE}/trailing")

with DAG(
    dag_id="apns_trailing_window",
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 3, "retry_delay": pendulum.duration(minutes=5)},
    doc_md=__doc__,
    tags=["apns", "example"],
) as export_dag:
    ApnsToObjectStorageOperator(
        task_id="application_metrics",
        dataset="application",
        start_date=f"{{{{ macros.ds_add({LAST_DAY}, -27) }}}}",
        end_date=f"{{{{ {LAST_DAY} }}}}",
        path=f"{LAKE}/trailing/day={{date}}/metrics.parquet",
        output_format="parquet",
        outlets=[application_metrics],
    )

with DAG(
    dag_id="apns_chart",
    schedule=[application_metrics],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    doc_md=__doc__,
    tags=["apns", "example"],
) as chart_dag:

    @task
    def draw(triggering_asset_events=None, triggering_dataset_events=None) -> str:
        """Load the days of the event into DuckDB, print them, draw them, and return the picture's path."""
        import tempfile

        import duckdb
        import matplotlib as mpl
        import pyarrow.parquet

        mpl.use("Agg")
        from matplotlib import pyplot

        events = triggering_asset_events or triggering_dataset_events
        extra = next(iter(events.values()))[-1].extra
        with tempfile.TemporaryDirectory() as folder:
            for day in extra["days"]:
                with ObjectStoragePath(extra["path"].replace("{date}", day)).open("rb") as file:
                    pyarrow.parquet.write_table(pyarrow.parquet.read_table(file), f"{folder}/{day}.parquet")
            metrics = (
                duckdb.read_parquet(f"{folder}/*.parquet")
                .order("date")
                .project("date, broadcasts_published, broadcasts_delivered, total_subscriptions, unique_subscribers")
            )
            print(metrics)
            days = metrics.fetchall()
            names = metrics.columns

        columns = {name: [day[index] for day in days] for index, name in enumerate(names)}
        figure, axes = pyplot.subplots(3, sharex=True, figsize=(9, 8), layout="constrained")
        for axis, name in zip(
            axes, ("broadcasts_published", "broadcasts_delivered", "unique_subscribers"), strict=True
        ):
            axis.plot(columns["date"], columns[name], marker="o", color="#0a66c2")
            axis.set_title(name.replace("_", " ").capitalize())
            axis.grid(alpha=0.3)
        figure.autofmt_xdate()
        picture = ObjectStoragePath(f"{LAKE}/chart.png")
        with picture.open("wb") as file:
            figure.savefig(file, dpi=120)
        return str(picture)

    draw()
