"""A whole Airflow on loopback: every component a process of its own, as in a real deployment.

    with AirflowDeployment(tmp_path, dags_folder=dags, env={"AIRFLOW_CONN_APNS_DEFAULT": uri}) as airflow:
        run = airflow.trigger("my_dag", conf={"day": "2026-01-01"})
        assert airflow.wait_for_run(run) == "success"
        assert airflow.deferrals(run, "wait") == 1
        airflow.metadata.xcom(run, "download")

Works with Airflow 2.11 and 3. SQLite is enough here; ``sql_alchemy_conn`` and ``env`` take it further.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from tests.support.metadata import Metadata, Run
from tests.support.ports import free_ports

AIRFLOW_3 = not version("apache-airflow").startswith("2.")
AIRFLOW_3_0 = version("apache-airflow").startswith("3.0.")

# Job types as the components write them into the database with each heartbeat.
JOBS = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob", "dag-processor": "DagProcessorJob"}


class AirflowDeployment:
    """Scheduler, triggerer and, on Airflow 3, API server and DAG processor, over one AIRFLOW_HOME.

    :param home: becomes AIRFLOW_HOME; nothing is written elsewhere
    :param dags_folder: where the DAG files are, by default ``home / "dags"``
    :param env: environment variables of every process: configuration, connections
    :param sql_alchemy_conn: the metadata database, by default SQLite in ``home``
    """

    def __init__(
        self,
        home: Path,
        *,
        dags_folder: Path | None = None,
        env: Mapping[str, str] | None = None,
        sql_alchemy_conn: str | None = None,
    ) -> None:
        self.home = home
        self.dags_folder = dags_folder or home / "dags"
        self.dags_folder.mkdir(parents=True, exist_ok=True)
        self.output = home / "output"
        self.output.mkdir(parents=True, exist_ok=True)
        self.fernet_key = base64.urlsafe_b64encode(os.urandom(32)).decode()
        database = sql_alchemy_conn or f"sqlite:///{home / 'airflow.db'}"
        self.metadata = Metadata(database)
        api_port, worker_log_port, trigger_log_port = free_ports(3)
        self.url = f"http://127.0.0.1:{api_port}"
        # The caller's own Airflow must not shine through.
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_")} | {
            "AIRFLOW_HOME": str(home),
            # Airflow 2's executors start `airflow` by its name.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags_folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__FERNET_KEY": self.fernet_key,
            # Airflow 2 refuses to run tasks side by side on SQLite.
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor" if AIRFLOW_3 or sql_alchemy_conn else "SequentialExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            # Airflow 3's supervisor may see only after this time that its task is gone. Until then the scheduler fails
            # a task that has deferred and is queued again: a trigger here had better wait two seconds or more.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # DAG files that a test writes or changes while Airflow runs are seen within seconds.
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "2",
            **(env or {}),
        }
        self.commands = {"scheduler": ["scheduler"], "triggerer": ["triggerer"]}
        if AIRFLOW_3:
            api_server = ["api-server", "--host", "127.0.0.1", "--port", str(api_port), "--workers", "1"]
            self.commands |= {"api-server": api_server, "dag-processor": ["dag-processor"]}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> AirflowDeployment:
        self.migrate()
        try:
            for name in self.commands:
                self.start(name)
            self.wait_until_healthy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def cli(self, *arguments: str) -> str:
        """Run an ``airflow`` command in this deployment; return its standard output."""
        command = [sys.executable, "-m", "airflow", *arguments]
        outcome = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        if outcome.returncode:
            raise RuntimeError(f"airflow {' '.join(arguments)} failed:\n{outcome.stdout}{outcome.stderr}")
        return outcome.stdout

    def migrate(self) -> None:
        """Make the metadata database."""
        (self.output / "db-migrate.txt").write_text(self.cli("db", "migrate"))

    def start(self, name: str) -> None:
        """Start a component in a process group of its own; its output is added to ``output/NAME.txt``."""
        with (self.output / f"{name}.txt").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", *self.commands[name]],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """End a component with SIGKILL, with every process under it: what a power cut does to it."""
        self._signal([name], signal.SIGKILL)
        self._processes.pop(name).wait()

    def stop(self) -> None:
        """End every process that this deployment has started; what does not go in ten seconds is killed."""
        _, left = psutil.wait_procs(self._signal(list(self._processes), signal.SIGTERM), timeout=10)
        for process in {*left, *(below for above in left for below in _below(above))}:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        self._processes.clear()

    def _signal(self, names: list[str], number: signal.Signals) -> list[psutil.Process]:
        """Signal components and all below them: tasks lead process groups of their own and may outlive a parent."""
        components = [
            psutil.Process(self._processes[name].pid) for name in names if self._processes[name].poll() is None
        ]
        processes = [process for component in components for process in (component, *_below(component))]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return processes

    def wait_until_healthy(self, timeout: float = 120) -> None:
        """Return when every component has sent a heartbeat and the API server answers."""
        started = {name: psutil.Process(process.pid).create_time() for name, process in self._processes.items()}
        for name in started:
            alive = self._api_answers if name == "api-server" else lambda n=name: self._beats(n, started[n])
            self.wait_for(f"the {name} to be healthy", alive, timeout=timeout)

    def wait_for_dag(self, dag_id: str, timeout: float = 60) -> None:
        """Return when the DAG processor has stored the DAG; a DAG file that cannot be read is an error at once."""

        def stored() -> bool:
            if errors := self.metadata.import_errors():
                raise RuntimeError("\n".join(errors))
            # Airflow 2 writes the one some time after the other.
            query = "SELECT 1 FROM dag JOIN serialized_dag USING (dag_id) WHERE dag_id = :dag_id"
            return bool(self.metadata.query(query, dag_id=dag_id))

        self.wait_for(f"{dag_id} to be stored", stored, timeout=timeout)

    def trigger(self, dag_id: str, *, logical_date: datetime | None = None, conf: dict[str, Any] | None = None) -> Run:
        """Unpause the DAG and start a run of it."""
        self.wait_for_dag(dag_id)
        if self.metadata.query("SELECT 1 FROM dag WHERE dag_id = :dag_id AND is_paused", dag_id=dag_id):
            self.cli("dags", "unpause", dag_id)
        run = Run(dag_id, f"manual__{uuid.uuid4().hex}")
        arguments = ["dags", "trigger", dag_id, "--run-id", run.run_id, "--conf", json.dumps(conf or {})]
        if logical_date:
            arguments += ["--logical-date" if AIRFLOW_3 else "--exec-date", logical_date.isoformat()]
        self.cli(*arguments)
        return run

    def wait_for_run(self, run: Run, timeout: float = 180) -> str:
        """Return ``success`` or ``failed``, whichever the run comes to."""
        self.wait_for(
            f"{run.dag_id} to finish",
            lambda: self.metadata.run_state(run) in ("success", "failed"),
            timeout=timeout,
            on_timeout=lambda: "\n".join(map(str, self.metadata.task_instances(run))),
        )
        return str(self.metadata.run_state(run))

    def wait_for_task(self, run: Run, task_id: str, state: str, *, map_index: int = -1, timeout: float = 60) -> None:
        """Return when a task instance has come to a state, such as ``deferred``."""

        def there() -> bool:
            states = {(task.task_id, task.map_index): task.state for task in self.metadata.task_instances(run)}
            return states.get((task_id, map_index)) == state

        self.wait_for(f"{task_id} to be {state}", there, timeout=timeout)

    def task_log(self, run: Run, task_id: str, *, map_index: int = -1) -> str:
        """Return all that a task instance has logged, over all its tries, in the worker and in the triggerer."""
        folder = self.home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}" / f"task_id={task_id}"
        if map_index >= 0:
            folder /= f"map_index={map_index}"
        return "".join(path.read_text() for path in sorted(folder.glob("attempt=*.log*")))

    def deferrals(self, run: Run, task_id: str, *, map_index: int = -1) -> int:
        """Return how often a task instance has given its worker slot back, by its log: the database keeps no count."""
        return self.task_log(run, task_id, map_index=map_index).count("Pausing task as DEFERRED")

    def wait_for(
        self, what: str, condition: Callable[[], bool], *, timeout: float, on_timeout: Callable[[], str] = str
    ) -> None:
        """Return when the condition holds; a component that ends meanwhile is an error at once, with its output."""
        deadline = time.monotonic() + timeout
        while not condition():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"The {name} ended with {process.returncode}:\n{self._tail(name)}")
            if time.monotonic() > deadline:
                tails = "\n".join(f"--- {name}\n{self._tail(name)}" for name in self._processes)
                raise TimeoutError(f"Waited {timeout:g} s in vain for {what}\n{on_timeout()}\n{tails}")
            time.sleep(0.2)

    def _tail(self, name: str) -> str:
        return (self.output / f"{name}.txt").read_text(errors="replace")[-3000:]

    def _api_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/version", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _beats(self, name: str, since: float) -> bool:
        """Tell whether a component has sent a heartbeat since then: one that was killed has left an old one behind."""
        rows = self.metadata.query(
            "SELECT MAX(latest_heartbeat) FROM job WHERE job_type = :job AND state = 'running'", job=JOBS[name]
        )
        beat = rows[0][0]
        if isinstance(beat, str):  # SQLite has no type for timestamps
            beat = datetime.fromisoformat(beat)
        return bool(beat and (beat if beat.tzinfo else beat.replace(tzinfo=timezone.utc)).timestamp() >= since)


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []
