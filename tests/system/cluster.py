"""Airflow on several machines, as far as one can be several: Celery workers, triggerers and all else as processes."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.airflow_live import AirflowDeployment
from tests.support.metadata import Run

WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
SLOTS = 4

# What docs/distributed.md recommends, some of it with shorter times, so that a death is seen soon.
SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    # No more than the workers can take: what waits stays in the scheduler, where no dying worker can take it along,
    # and task_queued_timeout measures what it is meant to measure.
    "AIRFLOW__CORE__PARALLELISM": str(len(WORKERS) * SLOTS),
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "1000",
    "AIRFLOW__CORE__MAX_ACTIVE_RUNS_PER_DAG": "1000",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(SLOTS),
    "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
    "AIRFLOW__CELERY__TASK_ACKS_LATE": "True",
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "86400",
    # A worker that dies takes along messages that it had fetched but not begun.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "5",
    # A task whose worker is dead.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "45",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
    # A triggerer that is dead: another takes its triggers.
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "5",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
}


class Cluster(AirflowDeployment):
    """
    Two Celery workers, two triggerers, a scheduler, a DAG processor and an API server.

    :param home: becomes AIRFLOW_HOME
    :param postgresql: port of the metadata database
    :param redis: port of the broker
    :param connections: the file of Airflow's local filesystem secrets backend, which holds every connection
    :param ca: the certificate authority that workers and triggerers trust
    """

    def __init__(self, home: Path, *, postgresql: int, redis: int, connections: Path, ca: Path) -> None:
        database = f"postgresql+psycopg2://airflow@127.0.0.1:{postgresql}/airflow"
        super().__init__(
            home,
            dags_folder=Path(__file__).parent / "dags",
            sql_alchemy_conn=database,
            env=SETTINGS
            | {
                "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{redis}/0",
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
                "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
                "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(connections)}),
                "AIRFLOW__CORE__HOSTNAME_CALLABLE": "getpass.getuser",
                "REQUESTS_CA_BUNDLE": str(ca),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        del self.commands["triggerer"]
        for name in TRIGGERERS:
            self.commands[name] = ["triggerer", "--skip-serve-logs"]
        for name in WORKERS:
            worker = ["celery", "worker", "--skip-serve-logs", "--celery-hostname", f"{name}@%h"]
            self.commands[name] = [*worker, "--pid", str(home / f"{name}.pid")]

    def start(self, name: str) -> None:
        """Start a component, which has its own name for a host name."""
        self.env["LOGNAME"] = name  # getpass.getuser() returns it
        super().start(name)

    def wait_until_healthy(self, timeout: float = 180) -> None:
        """Return when every component that was started is at work."""
        self.wait_for("the API server to answer", self._api_answers, timeout=timeout)
        for job in ("SchedulerJob", "DagProcessorJob"):
            self.wait_for(f"the {job} to begin", lambda job=job: self._beating(job) == 1, timeout=timeout)  # type: ignore[misc]
        triggerers = len(set(TRIGGERERS) & set(self._processes))
        self.wait_for("the triggerers", lambda: self._beating("TriggererJob") >= triggerers, timeout=timeout)
        for name in set(WORKERS) & set(self._processes):
            self.wait_for(f"the {name} to be ready", lambda n=name: self._is_ready(n), timeout=timeout)  # type: ignore[misc]

    def _is_ready(self, worker: str) -> bool:
        return " ready." in (self.output / f"{worker}.txt").read_text(errors="replace")

    def _beating(self, job: str) -> int:
        """Return how many jobs of a type have sent a heartbeat lately."""
        rows = self.metadata.query(
            "SELECT count(*) FROM job WHERE job_type = :job AND state = 'running'"
            " AND latest_heartbeat > now() - interval '15 seconds'",
            job=job,
        )
        return int(rows[0][0])

    def trigger_all(self, asked: list[tuple[str, dict[str, Any]]]) -> None:
        """Start DAG runs with these configurations, all at once, over the REST API."""
        for dag_id in {dag_id for dag_id, _ in asked}:
            self.wait_for_dag(dag_id)
            self._call("PATCH", f"dags/{dag_id}", {"is_paused": False})
        for dag_id, conf in asked:
            self._call(
                "POST", f"dags/{dag_id}/dagRuns", {"dag_run_id": conf["key"], "logical_date": None, "conf": conf}
            )

    def _call(self, method: str, path: str, body: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        url, data = f"{self.url}/api/v2/{path}", json.dumps(body).encode()
        urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=60).close()

    @cached_property
    def _token(self) -> str:
        with urllib.request.urlopen(f"{self.url}/auth/token", timeout=60) as answer:
            return str(json.load(answer)["access_token"])

    def states(self) -> Counter[str]:
        """Return how many task instances are in each state."""
        rows = self.metadata.query("SELECT coalesce(state, 'none'), count(*) FROM task_instance GROUP BY 1")
        return Counter(dict(rows))  # type: ignore[arg-type]

    def phase(self, run: Run) -> str:
        """Return the state of a run's only task, or ``resumed`` while it runs after its wait."""
        query = "SELECT state, next_method FROM task_instance WHERE dag_id = :dag_id AND run_id = :run_id"
        ((state, next_method),) = self.metadata.query(query, **run._asdict()) or [(None, None)]
        return "resumed" if state == "running" and next_method else str(state)

    def worker_of(self, run: Run) -> str:
        """Return the worker that has a run's only task."""
        ((name,),) = self.metadata.query("SELECT hostname FROM task_instance WHERE run_id = :id", id=run.run_id)
        return str(name)

    def triggerer_of(self, run: Run) -> str:
        """Return the triggerer that waits for a run's only task; nothing where none does yet."""
        rows = self.metadata.query(
            "SELECT job.hostname FROM task_instance ti JOIN trigger ON trigger.id = ti.trigger_id"
            " JOIN job ON job.id = trigger.triggerer_id WHERE ti.run_id = :id",
            id=run.run_id,
        )
        return str(rows[0][0]) if rows else ""
