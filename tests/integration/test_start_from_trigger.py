"""Beginning and ending in the triggerer: how many workers a task costs, and where Airflow cannot do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_apns._compat import AIRFLOW_V_3_3_PLUS
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.operators.apns import ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
from tests.support.airflow_live import AirflowDeployment
from tests.support.metadata import Run

pytestmark = pytest.mark.integration

PULL = "{{ ti.xcom_pull(task_ids='request', map_indexes=-1) }}"
DAYS = {"start_date": "{{ ds }}", "end_date": "{{ ds }}"}

DAG_FILE = """
import os
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

LAKE = os.environ["LAKE"]
FIRST, LAST = "{{ macros.ds_add(data_interval_start | ds, -1) }}", "{{ data_interval_start | ds }}"
DAG_ARGUMENTS = {
    "schedule": CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    "start_date": pendulum.datetime(2026, 1, 1),
    "catchup": False,
}

with DAG("three_tasks", **DAG_ARGUMENTS):
    request = ApnsRequestExportOperator(
        task_id="request", dataset="application", start_date=FIRST, end_date=LAST
    )
    wait = ApnsExportSensor(
        task_id="wait",
        status_url="{{ ti.xcom_pull(task_ids='request', map_indexes=-1) }}",
        start_from_trigger=True,
        end_from_trigger=True,
    )
    request >> wait
    ApnsDownloadExportOperator(task_id="download", status_url=wait.output, path=f"{LAKE}/three.csv")

with DAG("one_task", **DAG_ARGUMENTS):
    ApnsToObjectStorageOperator(
        task_id="all",
        dataset="channel",
        channel_ids=os.environ["CHANNELS"].split(","),
        start_date=LAST,
        end_date=LAST,
        path=f"{LAKE}/one.csv",
        start_from_trigger=True,
    )

with DAG("unknown_channel", **DAG_ARGUMENTS):
    ApnsToObjectStorageOperator(
        task_id="all",
        dataset="channel",
        channel_ids=["AAAAAAAAAAAAAAAAAAAAAA=="],
        start_date=LAST,
        end_date=LAST,
        path=f"{LAKE}/none.csv",
        start_from_trigger=True,
        retries=3,
    )
"""


def worker_starts(airflow: AirflowDeployment, run: Run, task_id: str) -> int:
    """Count the worker processes of a task by what each of them logs first."""
    return airflow.task_log(run, task_id).count("::group::Pre Execute")


@pytest.mark.live
@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="older ones cannot, as is tested below")
def test_how_many_workers_a_task_costs(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "from_trigger.py").write_text(DAG_FILE)
    with Emulator(channels=4, processing_seconds=1) as apple:
        env = {
            "AIRFLOW_CONN_APNS_DEFAULT": apple.connection_json,
            "LAKE": f"file://{tmp_path}/lake",
            "CHANNELS": ",".join(apple.channel_ids),
        }
        with AirflowDeployment(tmp_path / "airflow", dags_folder=dags, env=env) as airflow:
            three, one, unknown = (first_run(airflow, d) for d in ("three_tasks", "one_task", "unknown_channel"))

            assert airflow.wait_for_run(three) == "success"
            assert [worker_starts(airflow, three, task) for task in ("request", "wait", "download")] == [1, 0, 1]
            assert (tmp_path / "lake/three.csv").read_text().startswith("Date (UTC),")

            assert airflow.wait_for_run(one) == "success"
            assert worker_starts(airflow, one, "all") == 1
            assert airflow.metadata.xcom(one, "all")["channels_exported"] == 4

            assert airflow.wait_for_run(unknown) == "failed"
            (task,) = airflow.metadata.task_instances(unknown)
            assert task.try_number == 1
            assert "AAAAAAAAAAAAAAAAAAAAAA==" in airflow.task_log(unknown, "all")


def first_run(airflow: AirflowDeployment, dag_id: str) -> Run:
    airflow.wait_for_dag(dag_id)
    airflow.cli("dags", "unpause", dag_id)
    runs: list[Run] = []

    def started() -> bool:
        runs[:] = [Run(dag_id, row[0]) for row in airflow.metadata.query(QUERY, dag_id=dag_id)]
        return bool(runs)

    airflow.wait_for(f"a run of {dag_id}", started, timeout=60)
    return runs[0]


QUERY = "SELECT run_id FROM dag_run WHERE dag_id = :dag_id"


@pytest.mark.main_job
@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="it can, as is tested above")
def test_an_airflow_that_cannot_start_from_a_trigger_is_told_so() -> None:
    with pytest.raises(ValueError, match=r"start_from_trigger needs Airflow 3\.3"):
        ApnsExportSensor(task_id="wait", status_url=PULL, start_from_trigger=True)


@pytest.mark.main_job
@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="the version is refused before the arguments are looked at")
class TestArgumentsThatDoNotReachTheTriggerer:
    def test_an_upstream_tasks_output(self) -> None:
        request = ApnsRequestExportOperator(task_id="request", dataset="application", **DAYS)
        with pytest.raises(ValueError, match=r"status_url must be plain text or a template"):
            ApnsExportSensor(task_id="wait", status_url=request.output, start_from_trigger=True)

    def test_a_pull_without_map_indexes_which_would_hang(self) -> None:
        with pytest.raises(ValueError, match="without map_indexes"):
            ApnsExportSensor(task_id="wait", status_url="{{ ti.xcom_pull('request') }}", start_from_trigger=True)

    def test_channels_from_upstream(self) -> None:
        request = ApnsRequestExportOperator(task_id="request", dataset="application", **DAYS)
        with pytest.raises(ValueError, match=r"channel_ids must be plain text or a template"):
            ApnsToObjectStorageOperator(
                task_id="all", dataset="channel", channel_ids=request.output, path="x", start_from_trigger=True, **DAYS
            )


@pytest.mark.main_job
class TestWhatDoesNotGoTogether:
    @pytest.mark.parametrize("flag", ["start_from_trigger", "end_from_trigger"])
    def test_a_sensor_that_waits_in_a_worker(self, flag: str) -> None:
        with pytest.raises(ValueError, match="deferrable=True"):
            ApnsExportSensor(task_id="wait", status_url=PULL, deferrable=False, **{flag: True})

    def test_outlets_whose_events_would_be_lost(self) -> None:
        from airflow.providers.common.compat.sdk import Asset

        with pytest.raises(ValueError, match="outlets"):
            ApnsExportSensor(task_id="wait", status_url=PULL, end_from_trigger=True, outlets=[Asset("file:///x")])
