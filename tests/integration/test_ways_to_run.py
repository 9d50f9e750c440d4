"""Every way in which people run a task, with the connection in each place where Airflow can have it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_provider_apns.emulator import Emulator
from tests.integration.dags.ways import PLACES
from tests.support.airflow_live import AIRFLOW_3_0, AirflowDeployment

pytestmark = pytest.mark.integration

DAG_FILE = Path(__file__).parent / "dags" / "ways.py"
LOGICAL_DATE = "2026-01-02"
# Each finds what it needs in the run before, and may drop what it left there itself.
TASKS = (
    *("one_task_deferred", "one_task_in_worker"),
    *("download_deferred", "download_in_worker", "wait_deferred", "wait_in_worker", "request"),
)

# Runs `airflow` several times, with arguments in JSON: loading it takes longest.
AIRFLOW = """
import json, sys
from airflow.__main__ import main

for arguments in json.loads(sys.argv[1]):
    sys.argv = ["airflow", *arguments]
    main()
"""


class World(NamedTuple):
    """For each place an app of its own, whose connection is nowhere else."""

    apple: dict[str, Emulator]
    lake: Path
    env: dict[str, str]

    def check(self, posts: int = 3, gets: int = 8) -> None:
        """Each place's two jobs of three tasks and two of one have looked, downloaded and written; then begin anew."""
        for place, apple in self.apple.items():
            ledger = apple.ledger
            assert (place, ledger.posts, ledger.gets, ledger.downloads) == (place, posts, gets, 4)
            assert ledger.violations == []
            ledger.clear()
        files = [str(path.relative_to(self.lake)) for path in self.lake.rglob("*.csv")]
        names = [f"{job}_{way}.csv" for job in ("one_task", "three_tasks") for way in ("deferred", "in_worker")]
        assert sorted(files) == sorted(f"{place}/{name}" for place in PLACES for name in names)
        shutil.rmtree(self.lake)


@pytest.fixture
def world(tmp_path: Path, yesterday: date) -> Iterator[World]:
    with ExitStack() as stack:
        apple = {place: stack.enter_context(Emulator()) for place in PLACES}
        backend = tmp_path / "backend.json"
        backend.write_text(json.dumps({"apns_backend": json.loads(apple["backend"].connection_json)}))
        env = {
            "WAYS_LAKE": str(tmp_path / "lake"),
            "WAYS_FIRST_DAY": str(yesterday - timedelta(days=1)),
            "WAYS_LAST_DAY": str(yesterday),
            "AIRFLOW_CONN_APNS_ENVIRONMENT": apple["environment"].connection_json,
            "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(backend)}),
        }
        yield World(apple, tmp_path / "lake", env)


@pytest.mark.main_job
@pytest.mark.usefixtures("airflow_db")
def test_without_a_scheduler(world: World, airflow_home: Path) -> None:
    dag_file = shutil.copy(DAG_FILE, airflow_home / "dags")
    connection = world.apple["database"].connection_json
    test_dag = ["dags", "test", "ways", LOGICAL_DATE]
    run(
        world, "-c", AIRFLOW, json.dumps([["connections", "add", "apns_database", "--conn-json", connection], test_dag])
    )
    world.check()

    test_tasks = [
        ["tasks", "test", "ways", f"{task_id}_{place}", LOGICAL_DATE] for place in PLACES for task_id in TASKS
    ]
    run(world, "-c", AIRFLOW, json.dumps(test_tasks))
    # Airflow 3.0 resumes what the run before has deferred, and does not begin anew.
    world.check(*([2, 6] if AIRFLOW_3_0 else []))

    run(world, dag_file)
    world.check()


def run(world: World, *arguments: str) -> None:
    """Run a program in a process of its own, as people do, to a good end."""
    program = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | world.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert program.returncode == 0, program.stdout


@pytest.mark.live
@pytest.mark.slow
def test_a_live_deployment(world: World, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(DAG_FILE, dags)
    # The scheduler fails a task that is resumed before it has seen that the worker which deferred it is gone.
    env = world.env | {"WAYS_FIRST_DELAY": "3"}
    with AirflowDeployment(tmp_path / "airflow", dags_folder=dags, env=env) as airflow:
        airflow.cli("connections", "add", "apns_database", "--conn-json", world.apple["database"].connection_json)
        run = airflow.trigger("ways")
        assert airflow.wait_for_run(run) == "success", airflow.metadata.task_instances(run)
    world.check()
