"""Beginning and ending in the triggerer: how many workers a task costs, and where Airflow cannot do it."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path

import pytest
from airflow.exceptions import AirflowException
from airflow.listeners import hookimpl

from airflow_provider_apns._compat import AIRFLOW_V_3_3_PLUS
from airflow_provider_apns.emulator import Emulator, Fault
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

with DAG("comes_back_later", **DAG_ARGUMENTS):
    ApnsToObjectStorageOperator(
        task_id="all",
        apns_conn_id="apns_busy",
        dataset="application",
        start_date=LAST,
        end_date=LAST,
        path=f"{LAKE}/later.csv",
        start_from_trigger=True,
        retries=1,
        retry_delay=pendulum.duration(seconds=1),
    )
"""


@pytest.mark.live
@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="older ones cannot, as is tested below")
def test_how_many_workers_a_task_costs(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "from_trigger.py").write_text(DAG_FILE)
    with Emulator(channels=4, processing_seconds=1) as apple, Emulator() as busy:
        busy.inject(Fault("request", "429", retry_after="3600", times=1))
        env = {
            "AIRFLOW_CONN_APNS_DEFAULT": apple.connection_json,
            "AIRFLOW_CONN_APNS_BUSY": busy.connection_json,
            "LAKE": f"file://{tmp_path}/lake",
            "CHANNELS": ",".join(apple.channel_ids),
        }
        with AirflowDeployment(tmp_path / "airflow", dags_folder=dags, env=env) as airflow:
            dag_ids = ("three_tasks", "one_task", "unknown_channel", "comes_back_later")
            three, one, unknown, later = (first_run(airflow, dag_id) for dag_id in dag_ids)

            assert airflow.wait_for_run(three) == "success"
            assert [airflow.worker_starts(three, task) for task in ("request", "wait", "download")] == [1, 0, 1]
            assert (tmp_path / "lake/three.csv").read_text().startswith("Date (UTC),")

            assert airflow.wait_for_run(one) == "success"
            assert airflow.worker_starts(one, "all") == 1
            assert airflow.metadata.xcom(one, "all")["channels_exported"] == 4

            assert airflow.wait_for_run(unknown) == "failed"
            (task,) = airflow.metadata.task_instances(unknown)
            assert task.try_number == 1
            assert "AAAAAAAAAAAAAAAAAAAAAA==" in airflow.task_log(unknown, "all")

            # A failure in the triggerer comes to a worker, and from there to Airflow's retries.
            assert airflow.wait_for_run(later) == "success"
            (task,) = airflow.metadata.task_instances(later)
            assert task.try_number == 2
            assert airflow.worker_starts(later, "all") == 2
            assert (tmp_path / "lake/later.csv").exists()


END_DAG_FILE = """
import os
from datetime import datetime, timezone
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor

with DAG("ends_in_triggerer", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    request = ApnsRequestExportOperator(
        task_id="request",
        dataset="application",
        start_date="{{ dag_run.conf['start'] }}",
        end_date="{{ dag_run.conf['end'] }}",
    )
    wait = ApnsExportSensor(task_id="wait", status_url=request.output, end_from_trigger=True)
    ApnsDownloadExportOperator(task_id="download", status_url=wait.output, path=os.environ["REPORT"])
"""


@pytest.mark.live
@pytest.mark.main_job
def test_a_sensor_that_ends_in_the_triggerer(tmp_path: Path, yesterday: date) -> None:
    """On every Airflow: one worker defers it, and none takes it up again."""
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "end_from_trigger.py").write_text(END_DAG_FILE)
    report = tmp_path / "report.csv"
    with Emulator(processing_seconds=1) as apple:
        env = {"AIRFLOW_CONN_APNS_DEFAULT": apple.connection_json, "REPORT": str(report)}
        with AirflowDeployment(tmp_path / "airflow", dags_folder=dags, env=env) as airflow:
            days = {"start": str(yesterday - timedelta(days=1)), "end": str(yesterday)}
            run = airflow.trigger("ends_in_triggerer", conf=days)
            assert airflow.wait_for_run(run) == "success"
            assert [airflow.worker_starts(run, task) for task in ("request", "wait", "download")] == [1, 1, 1]
            assert report.read_text().startswith("Date (UTC),")


@pytest.mark.main_job
@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="where Airflow keeps its listeners differs")
def test_listeners_of_a_plugin_and_a_sensor_that_ends_in_the_triggerer() -> None:
    """Airflow itself refuses such a DAG, with a text that says what to do; we document it."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.listeners.listener import get_listener_manager
    from airflow.sdk import DAG

    class Listener:
        @hookimpl
        def on_starting(self, component: object) -> None: ...

    with DAG("listened_to") as dag:
        ApnsExportSensor(task_id="wait", status_url=PULL, end_from_trigger=True)
    manager, listener = get_listener_manager(), Listener()
    manager.add_listener(listener)
    try:
        with pytest.raises(AirflowException, match="Set end_from_trigger=False"):
            DagBag(os.devnull).bag_dag(dag)
    finally:
        manager.pm.unregister(listener)


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

        with pytest.raises(ValueError, match="pass over outlets"):
            ApnsExportSensor(task_id="wait", status_url=PULL, end_from_trigger=True, outlets=[Asset("file:///x")])

    def test_a_callback_that_would_not_be_called(self) -> None:
        """Airflow 3 asks its DAG processor for it, which calls no callbacks but those of failures."""
        with pytest.raises(ValueError, match="pass over on_success_callback"):
            ApnsExportSensor(task_id="wait", status_url=PULL, end_from_trigger=True, on_success_callback=print)
