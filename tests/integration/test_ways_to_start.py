"""The manual's DAGs on a live Airflow, started in every way: by a schedule, by hand, by an asset, by a backfill."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from typing import NamedTuple

import pytest

from airflow_provider_apns.emulator import Emulator
from tests.docs.samples import samples
from tests.support.airflow_live import AirflowDeployment
from tests.support.metadata import Run
from tests.support.s3 import S3Server, s3_server

pytestmark = [pytest.mark.integration, pytest.mark.live, pytest.mark.slow]

# The DAG that keeps a path complete, and the one that works out its days.
DAGS = {"push_metrics": "README.md", "delivery_metrics": "docs/how-to/days-by-hand.md"}
UPSTREAM = """
import pendulum
from airflow.providers.common.compat.sdk import DAG, Asset, task

with DAG("upstream", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):

    @task(outlets=[Asset("file:///upstream")])
    def change() -> None: ...

    change()
"""


class World(NamedTuple):
    """A deployment with the DAGs, and the store that they write to."""

    airflow: AirflowDeployment
    s3: S3Server

    def wait_for_runs(self, dag_id: str, run_type: str, number: int) -> None:
        """Return when a DAG has had so many runs of a type, and all have succeeded."""
        query = "SELECT run_id FROM dag_run WHERE dag_id = :dag_id AND run_type = :run_type"

        def runs() -> list[Run]:
            return [Run(dag_id, *row) for row in self.airflow.metadata.query(query, dag_id=dag_id, run_type=run_type)]

        self.airflow.wait_for(f"{number} {run_type} runs of {dag_id}", lambda: len(runs()) == number, timeout=60)
        for run in runs():
            assert self.airflow.wait_for_run(run) == "success", run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    texts = {sample.page: sample.text for sample in samples() if sample.kind == "dag"}
    for dag_id, page in DAGS.items():
        by_asset, changes = re.subn(r"(?<=schedule=).+(?=,\n)", '[Asset("file:///upstream")]', texts[page])
        assert changes == 1
        by_asset = by_asset.replace(f'dag_id="{dag_id}"', f'dag_id="{dag_id}_by_asset"')
        (home / "dags" / f"{dag_id}.py").write_text(texts[page])
        (home / "dags" / f"{dag_id}_by_asset.py").write_text(by_asset.replace("import DAG", "import DAG, Asset"))
    (home / "dags" / "upstream.py").write_text(UPSTREAM)
    with ExitStack() as stack:
        apple = stack.enter_context(Emulator())
        s3 = stack.enter_context(s3_server(home / "s3.txt"))
        env = {
            "AIRFLOW_CONN_APNS_DEFAULT": apple.connection_json,
            "AIRFLOW_CONN_MY_AWS": s3.connection,
            # As in Airflow 2, whose schedules had data intervals.
            "AIRFLOW__SCHEDULER__CREATE_CRON_DATA_INTERVALS": "True",
        }
        airflow = stack.enter_context(AirflowDeployment(home, env=env))
        for dag_id in (*DAGS, *(f"{dag_id}_by_asset" for dag_id in DAGS)):
            airflow.wait_for_dag(dag_id)
            airflow.cli("dags", "unpause", dag_id)
        yield World(airflow, s3)


@pytest.mark.parametrize("dag_id", DAGS)
class TestRuns:
    def test_by_its_schedule(self, world: World, dag_id: str) -> None:
        world.wait_for_runs(dag_id, "scheduled", 1)
        query = "SELECT data_interval_end > data_interval_start FROM dag_run WHERE dag_id = :dag_id"
        assert world.airflow.metadata.query(query, dag_id=dag_id) == [(1,)]
        if dag_id == "push_metrics":
            stored = world.s3.keys()
            assert sum(key.startswith("apns/application/app=com.example.app/day=") for key in stored) == 30

    def test_by_hand(self, world: World, dag_id: str) -> None:
        run = world.airflow.trigger(dag_id)
        assert world.airflow.wait_for_run(run) == "success"
        query = "SELECT logical_date, data_interval_start FROM dag_run WHERE run_id = :run_id"
        assert world.airflow.metadata.query(query, run_id=run.run_id) == [(None, None)]

    def test_by_a_backfill(self, world: World, dag_id: str, yesterday: date) -> None:
        days = ["--from-date", str(yesterday - timedelta(days=4)), "--to-date", str(yesterday - timedelta(days=2))]
        world.airflow.kill("scheduler")  # It and the command lock each other out of SQLite.
        world.airflow.cli("backfill", "create", "--dag-id", dag_id, *days)
        world.airflow.start("scheduler")
        world.wait_for_runs(dag_id, "backfill", 2)


def test_by_an_asset(world: World) -> None:
    assert world.airflow.wait_for_run(world.airflow.trigger("upstream")) == "success"
    for dag_id in DAGS:
        world.wait_for_runs(f"{dag_id}_by_asset", "asset_triggered", 1)
