"""
# A chart of a path that is kept complete

The first DAG keeps one Parquet object per day. Its asset event names the days whose numbers are new or have changed,
and starts the second DAG. The second DAG loads all objects into DuckDB, prints them, and draws a chart of published and
delivered broadcasts and of subscribers.

It needs `pip install 'airflow-provider-apns[parquet]' duckdb matplotlib`.
"""

from __future__ import annotations

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG, Asset, ObjectStoragePath, task

from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

LAKE = os.environ.get("APNS_EXAMPLE_LAKE", "file:///tmp/apns")

application_metrics = Asset(f"{LAKE}/application")

with DAG(
    dag_id="apns_kept_complete",
    schedule="0 6 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": pendulum.duration(minutes=10)},
    doc_md=__doc__,
    tags=["apns", "example"],
) as export_dag:
    ApnsToObjectStorageOperator(
        task_id="application_metrics",
        dataset="application",
        path=f"{LAKE}/application/day={{date}}/metrics.parquet",
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
    def draw() -> str:
        """Load all days into DuckDB, print them, draw them, and return the picture's path."""
        import duckdb
        import matplotlib as mpl
        import pyarrow
        import pyarrow.parquet

        mpl.use("Agg")
        from matplotlib import pyplot

        objects = []
        for path in ObjectStoragePath(f"{LAKE}/application").glob("day=*/metrics.parquet"):
            with path.open("rb") as file:
                objects.append(pyarrow.parquet.read_table(file))
        stored = pyarrow.concat_tables(objects, promote_options="default")
        metrics = (
            duckdb.from_arrow(stored)
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
