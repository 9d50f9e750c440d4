"""Whatever dies when, on a whole deployment: another takes over, and Apple is asked for nothing twice."""

from __future__ import annotations

import csv
import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from airflow_provider_apns.emulator import Emulator
from tests.support.airflow_live import AirflowDeployment

pytestmark = [pytest.mark.integration, pytest.mark.live, pytest.mark.slow]

DAG_FILE = Path(__file__).parent / "dags" / "kills.py"


class World(NamedTuple):
    """A deployment, what it asks, and where it writes."""

    airflow: AirflowDeployment
    apple: Emulator
    lake: Path

    def wait_for_looks(self, exports: int) -> None:
        """Return when so many exports have been looked at."""

        def looked() -> bool:
            return (
                len({record.export_id for record in self.apple.ledger.records if record.endpoint == "status"})
                == exports
            )

        self.airflow.wait_for(f"looks at {exports} exports", looked, timeout=60)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    lake, folder = tmp_path / "lake", tmp_path / "dags"
    folder.mkdir()
    shutil.copy(DAG_FILE, folder)
    with Emulator(channels=3, processing_seconds=25) as apple:
        env = {
            "AIRFLOW_CONN_APNS_DEFAULT": apple.connection_json,
            "APNS_TEST_CHANNELS": json.dumps(apple.channel_ids),
            "APNS_TEST_LAKE": f"file://{lake}",
            # When the others see that a triggerer is dead.
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
        }
        with AirflowDeployment(tmp_path / "airflow", dags_folder=folder, env=env) as airflow:
            yield World(airflow, apple, lake)


def test_another_triggerer_takes_over(world: World, yesterday: date) -> None:
    airflow, apple, lake = world
    first, last = str(yesterday - timedelta(days=2)), str(yesterday)
    run = airflow.trigger("kills", conf={"start": first, "end": last})
    airflow.wait_for_task(run, "wait", "deferred", timeout=120)
    airflow.wait_for_task(run, "one_task", "deferred", timeout=120)
    world.wait_for_looks(2)
    airflow.kill("triggerer")
    asked = apple.ledger.posts
    apple.stop()
    airflow.start("triggerer")
    time.sleep(5)
    apple.restart()
    assert airflow.wait_for_run(run, timeout=300) == "success"
    # Nothing was done twice.
    assert apple.ledger.posts == asked == 2
    assert apple.ledger.downloads == 2
    assert airflow.deferrals(run, "wait") == airflow.deferrals(run, "one_task") == 1
    assert (lake / "three-tasks.csv").read_bytes() == apple.csv("application", first, last)
    rows = len(apple.csv("delivery", first, last).splitlines())
    assert len((lake / "one-task.csv").read_bytes().splitlines()) == rows


def test_a_path_is_complete_after_triggerer_and_worker_were_killed(world: World, yesterday: date) -> None:
    airflow, apple, lake = world
    run = airflow.trigger("kills_keep_complete")
    airflow.wait_for_task(run, "keep", "deferred", timeout=120)
    world.wait_for_looks(3)
    airflow.kill("triggerer")
    airflow.start("triggerer")
    apple.inject("download:stall:times=3,seconds=60")
    airflow.wait_for("the downloads to begin", lambda: apple.ledger.in_flight == 3, timeout=120)
    (worker,) = clients_of(apple.port)
    worker.kill()
    assert list(lake.rglob("*.csv")) == []

    assert airflow.wait_for_run(run, timeout=300) == "success"
    (task,) = airflow.metadata.task_instances(run)
    assert task.try_number == 2
    # The retry asks the same, so it is answered with the same exports.
    assert (apple.ledger.posts, apple.ledger.exports_created) == (6, 3)
    files = {path.stem: path for path in (lake / "keep").iterdir()}
    assert sorted(files) == [str(yesterday - timedelta(days=n)) for n in range(29, -1, -1)]
    for path in files.values():
        with path.open(newline="") as file:
            assert [row["channel_id"] for row in csv.DictReader(file)] == sorted(apple.channel_ids)


def test_a_task_that_is_marked_as_failed_ends_at_once(world: World) -> None:
    airflow, apple, lake = world
    run = airflow.trigger("kills_in_worker")
    world.wait_for_looks(3)
    (worker,) = clients_of(apple.port)
    with urllib.request.urlopen(f"{airflow.url}/auth/token") as answer:
        headers = {"Authorization": f"Bearer {json.load(answer)['access_token']}", "Content-Type": "application/json"}
    url = f"{airflow.url}/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/keep"
    body = json.dumps({"new_state": "failed"}).encode()
    urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PATCH")).close()
    # A heartbeat comes every second, and Airflow would send SIGKILL five seconds after one that finds the task failed.
    airflow.wait_for("the task to end", lambda: "Task exited" in airflow.task_log(run, "keep"), timeout=4)
    airflow.wait_for("its process to end", lambda: has_ended(worker), timeout=1)
    assert airflow.wait_for_run(run) == "failed"
    time.sleep(3)
    assert [(task.state, task.try_number) for task in airflow.metadata.task_instances(run)] == [("failed", 1)]
    assert "shouldn't be running anymore" in airflow.task_log(run, "keep")
    assert not lake.exists()


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE  # Airflow looks at it later.


def clients_of(port: int) -> set[psutil.Process]:
    """Return the other processes that are connected to a port."""
    connections = [connection for connection in psutil.net_connections("tcp4") if connection.raddr]
    pids = {connection.pid for connection in connections if connection.raddr.port == port}
    return {psutil.Process(pid) for pid in pids - {None, os.getpid()}}
