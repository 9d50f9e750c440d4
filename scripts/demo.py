"""`make demo`: a path that keeps itself complete, from the emulator through a real Airflow to a table and a chart.

A DAG exports thirty days of Parquet into a folder, and its asset event starts the DAG that draws a chart. Then some
days are deleted, and the DAG's next run fills them. Everything is in `.demo/` afterwards, logs included, and nothing
keeps running.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path

from airflow_provider_apns.__main__ import main as command
from airflow_provider_apns.emulator import Emulator
from tests.support.airflow_live import AirflowDeployment
from tests.support.metadata import Run

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
DAG = "apns_kept_complete"
DELETED = slice(8, 13)


def main() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
    lake = HOME / "lake"
    with Emulator(processing_seconds=3) as apple:
        say(f"The emulator of Apple's service listens on {apple.url}")
        say("Starting Airflow: API server, scheduler, DAG processor, triggerer …")
        env = {"AIRFLOW_CONN_APNS_DEFAULT": apple.connection_json, "APNS_EXAMPLE_LAKE": f"file://{lake}"}
        with AirflowDeployment(HOME / "airflow", dags_folder=ROOT / "example_dags", env=env) as airflow:
            for dag_id in ("apns_chart", DAG):
                airflow.wait_for_dag(dag_id)
                airflow.cli("dags", "unpause", dag_id)
            say(f"Running the DAG {DAG}: request, wait (deferred), download, one Parquet object per day")
            finish(airflow, first_run(airflow, DAG))
            say("Its asset event starts the DAG apns_chart")
            chart = first_run(airflow, "apns_chart")
            finish(airflow, chart)
            log = airflow.task_log(chart, "draw")
            delete_days(lake)
            say(f"Running {DAG} again: it exports what is missing, and the days whose numbers still grow")
            finish(airflow, airflow.trigger(DAG))
    show_coverage(lake)
    print(table(log))
    print(f"\nThe Parquet objects are in {lake / 'application'}, one per day.")
    print(f"The chart is {lake / 'chart.png'}")


def say(text: str) -> None:
    print(f"» {text}", flush=True)


def finish(airflow: AirflowDeployment, run: Run) -> None:
    state = airflow.wait_for_run(run)
    if state != "success":
        sys.exit(f"{run.dag_id} ended as {state}; its logs are in {airflow.home / 'logs'}")


def first_run(airflow: AirflowDeployment, dag_id: str) -> Run:
    """Return the run that the schedule, or an asset event, starts."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if rows := airflow.metadata.query("SELECT run_id FROM dag_run WHERE dag_id = :dag_id", dag_id=dag_id):
            return Run(dag_id, rows[0][0])
        time.sleep(0.5)
    sys.exit(f"No run of {dag_id} was started within a minute; the logs are in {airflow.home / 'logs'}")


def delete_days(lake: Path) -> None:
    """Delete some days' objects, as an accident would."""
    days = sorted((lake / "application").iterdir())[DELETED]
    say(f"Deleting {len(days)} days, from {days[0].name} to {days[-1].name}")
    for day in days:
        shutil.rmtree(day)
    show_coverage(lake)


def show_coverage(lake: Path) -> None:
    path = f"file://{lake}/application/day={{date}}/metrics.parquet"
    say(f"python -m airflow_provider_apns coverage '{path}'")
    command(["coverage", path])
    print()


def table(log: str) -> str:
    """Find the table that the task printed in its log, whose lines may be JSON."""
    lines = re.findall(r"[┌│├└][^\n\"\\]*[┐│┤┘]", log)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
