"""What is paid in task processes, counted on a whole Airflow: scheduler, triggerer, API server, DAG processor."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta

from benchmarks.process import ROOT, Bench
from benchmarks.report import Row
from tests.support.airflow_live import AirflowDeployment
from tests.support.metadata import Run

CHANNELS = 100
PROCESSING_SECONDS = 12

SHAPES = {
    "three_tasks": "three tasks",
    "three_tasks_in_triggerer": "three tasks, sensor in the triggerer alone",
    "one_task": "one task",
    "one_task_in_triggerer": "one task, started from the trigger",
}
GOALS = {"three_tasks_in_triggerer": 2, "three_tasks": 4, "one_task": 2, "one_task_in_triggerer": 1}


def measure(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    with bench.server("emulator", channels=CHANNELS, processing_seconds=PROCESSING_SECONDS) as server:
        connection = server["connection"]
        app = f"teams/{connection['login']}/appId/{connection['extra']['app_id']}"
        today = date.today()
        env = {
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_CONN_APNS_DEFAULT": json.dumps(connection),
            "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": server["url"]}),
            "BENCH_FIRST": (today - timedelta(days=7)).isoformat(),
            "BENCH_LAST": (today - timedelta(days=1)).isoformat(),
            "BENCH_LAKE": f"file://{bench.folder}/lake",
            "BENCH_CHANNELS": json.dumps(server["channel_ids"]),
            "BENCH_REQUEST_PATH": f"v1/dataExports/apns/{app}/datasetName/broadcastchannelmetrics/request",
        }
        dags = ROOT / "benchmarks" / "dags"
        with AirflowDeployment(bench.folder / "live", dags_folder=dags, env=env) as airflow:
            starts = {shape: worker_starts(airflow, run_to_success(airflow, shape)) for shape in SHAPES}
            run = run_to_success(airflow, "http_mapped", timeout=900)
            starts["http_mapped"], seconds = worker_starts(airflow, run), duration(airflow, run)
    say(f"  starts of task processes: {starts}; http's mapped DAG took {seconds:.0f} s")
    return [*starts_rows(starts), mapped_row(starts["http_mapped"] / CHANNELS, seconds / CHANNELS)]


def run_to_success(airflow: AirflowDeployment, dag_id: str, timeout: float = 180) -> Run:
    run = airflow.trigger(dag_id)
    if (state := airflow.wait_for_run(run, timeout=timeout)) != "success":
        raise RuntimeError(f"{dag_id}: {state}: {airflow.metadata.task_instances(run)}")
    return run


def worker_starts(airflow: AirflowDeployment, run: Run) -> int:
    return sum(
        airflow.worker_starts(run, task.task_id, map_index=task.map_index)
        for task in airflow.metadata.task_instances(run)
    )


def duration(airflow: AirflowDeployment, run: Run) -> float:
    """Return the seconds from the first task's start to the last one's end."""
    ((seconds,),) = airflow.metadata.query(
        "SELECT (julianday(MAX(end_date)) - julianday(MIN(start_date))) * 86400 FROM task_instance"
        " WHERE dag_id = :dag_id AND run_id = :run_id",
        **run._asdict(),
    )
    return float(seconds)


def starts_rows(starts: Mapping[str, int]) -> list[Row]:
    return [
        Row(
            f"worker starts per export: {what}",
            f"{GOALS[shape]}",
            f"{starts[shape]}",
            {
                "fivetran-async (by its code)": "2 for one that waits and downloads nothing",
                "Campaign Manager (by its code)": "4 tasks, and one more start for each look of its sensor",
                "http, three tasks (counted)": f"{starts['http_mapped'] / CHANNELS:.3g}, and one more for each look at "
                "a report that is not ready",
            },
            starts[shape] <= GOALS[shape],
            "processes that worked on a task, counted in its log, on a whole Airflow with the LocalExecutor",
        )
        for shape, what in SHAPES.items()
    ]


def mapped_row(starts: float, seconds: float) -> Row:
    return Row(
        "a channel in the http provider's mapped three-task DAG",
        "-",
        "see 10,000 channels in one task, divided by 10,000",
        {f"http, {CHANNELS} channels": f"{seconds:.2f} s and {starts:.3g} worker starts per channel"},
        note=f"the wall time of the whole DAG run divided by {CHANNELS}, on SQLite with four tasks at once; beyond "
        "1,024 channels Airflow's default limit of mapped tasks ends it",
    )
