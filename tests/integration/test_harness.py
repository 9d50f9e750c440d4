"""The ground under the other integration tests holds: Airflow runs, defers, fails; S3 answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.support.airflow_live import AirflowDeployment
from tests.support.dag_test import run_dag
from tests.support.s3 import s3_server

pytestmark = pytest.mark.integration

DAG_FILE = Path(__file__).parent / "dags" / "harness.py"
LOGICAL_DATE = datetime(2026, 1, 2, tzinfo=timezone.utc)


@pytest.mark.usefixtures("airflow_db")
class TestDagTest:
    def test_success(self) -> None:
        result = run_dag(DAG_FILE, logical_date=LOGICAL_DATE, conf={"pass": True})
        assert result.state == "success"
        assert result.states() == {"wait": "success", "report": "success"}
        assert result.xcom("wait") == "waited"
        assert result.xcom("report") == {"before": "waited"}

    def test_failure(self) -> None:
        result = run_dag(DAG_FILE, conf={"pass": False})
        assert result.state == "failed"
        assert result.states() == {"wait": "success", "report": "failed"}


@pytest.mark.live
class TestDeployment:
    @pytest.fixture(scope="class")
    @staticmethod
    def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowDeployment]:
        home = tmp_path_factory.mktemp("airflow")
        with AirflowDeployment(home, dags_folder=DAG_FILE.parent) as deployment:
            yield deployment

    def test_success(self, airflow: AirflowDeployment) -> None:
        run = airflow.trigger("harness", logical_date=LOGICAL_DATE, conf={"pass": True})
        assert airflow.wait_for_run(run) == "success"
        assert [(task.task_id, task.state, task.try_number) for task in airflow.metadata.task_instances(run)] == [
            ("report", "success", 1),
            ("wait", "success", 1),
        ]
        assert airflow.metadata.xcom(run, "report") == {"before": "waited"}
        assert airflow.deferrals(run, "wait") == 1
        assert airflow.deferrals(run, "report") == 0

    def test_failure(self, airflow: AirflowDeployment) -> None:
        run = airflow.trigger("harness", conf={"pass": False})
        assert airflow.wait_for_run(run) == "failed"
        assert "told to fail" in airflow.task_log(run, "report")

    def test_survives_the_death_of_a_triggerer(self, airflow: AirflowDeployment) -> None:
        airflow.kill("triggerer")
        run = airflow.trigger("harness", conf={"pass": True})
        airflow.wait_for_task(run, "wait", "deferred")
        airflow.start("triggerer")
        assert airflow.wait_for_run(run) == "success"


@pytest.mark.usefixtures("airflow_db")
def test_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    with s3_server(tmp_path / "s3.txt") as s3:
        monkeypatch.setenv("AIRFLOW_CONN_STORE", s3.connection)
        ObjectStoragePath(f"s3://store@{s3.bucket}/a/b.csv").write_bytes(b"1,2")
        assert s3.keys() == ["a/b.csv"]
        assert s3.read("a/b.csv") == b"1,2"
