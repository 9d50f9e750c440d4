"""What is paid in task processes, counted on a whole Airflow: scheduler, triggerer, API server, DAG processor."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from benchmarks.process import ROOT, Bench
from benchmarks.report import Row
from tests.support.airflow_live import AirflowDeployment

SECONDS = 12
FIRST_LINE = "DAG bundles loaded: "  # what each process that works on a task logs once
GOALS = {"three_tasks": 4, "one_task": 2}


def measure(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    today = datetime.now(timezone.utc).date()
    with bench.server(channels=3, seconds=SECONDS, looks=0) as server:
        env = {
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_CONN_APNS_DEFAULT": json.dumps(server["connection"]),
            "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": server["url"]}),
            "BENCH_FIRST": str(today - timedelta(days=7)),
            "BENCH_LAST": str(today - timedelta(days=1)),
            "BENCH_LAKE": f"file://{bench.folder}/lake",
            "BENCH_CHANNELS": json.dumps(server["channel_ids"]),
            "BENCH_REQUEST_PATH": server["request_path"],
        }
        dags = ROOT / "benchmarks" / "dags"
        with AirflowDeployment(bench.folder / "live", dags_folder=dags, env=env) as airflow:
            starts = {dag_id: worker_starts(airflow, dag_id) for dag_id in (*GOALS, "http_three_tasks")}
    say(f"  starts of task processes: {starts}")
    return [
        Row(
            f"worker starts per export: {dag_id.replace('_', ' ')}",
            f"{goal}",
            f"{starts[dag_id]}",
            {"http, three tasks": f"{starts['http_three_tasks']}, its sensor's second poll finds the report"},
            starts[dag_id] <= goal,
            f"processes that worked on a task, as its log shows, for a report that takes {SECONDS} s, on a complete "
            "Airflow with the LocalExecutor. The http sensor can wait for such an answer only in a worker, and each "
            "poll takes another start",
        )
        for dag_id, goal in GOALS.items()
    ]


def worker_starts(airflow: AirflowDeployment, dag_id: str) -> int:
    run = airflow.trigger(dag_id)
    if (state := airflow.wait_for_run(run, timeout=180)) != "success":
        raise RuntimeError(f"{dag_id}: {state}: {airflow.metadata.task_instances(run)}")
    logs = (airflow.task_log(run, task.task_id) for task in airflow.metadata.task_instances(run))
    return sum(log.count(FIRST_LINE) for log in logs)
