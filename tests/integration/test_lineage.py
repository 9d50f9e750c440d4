"""What OpenLineage is told, with Airflow's openlineage provider at work and without it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

pytestmark = pytest.mark.integration

YESTERDAY = (datetime.now(tz=timezone.utc) - timedelta(days=1)).date()


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch):
    with Emulator(channels=3) as apple:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
        yield apple


def test_one_task_tells_apples_dataset_each_object_and_its_rows(apple: Emulator, tmp_path: Path) -> None:
    task = ApnsToObjectStorageOperator(
        task_id="all",
        dataset="channel",
        channel_ids=apple.channel_ids,
        first_day=YESTERDAY - timedelta(days=1),
        last_day=YESTERDAY,
        path=f"file://{tmp_path}/{{date}}.csv",
        deferrable=False,
        poke_interval=0.1,
    )
    assert task.get_openlineage_facets_on_complete(None) is None
    task.execute({})

    lineage = task.get_openlineage_facets_on_complete(None)
    (source,) = lineage.inputs
    assert (source.namespace, source.name) == (
        "https://api.icloud.apple.com",
        f"apns/{apple.app_id}/broadcastchannelmetrics",
    )
    assert [(output.namespace, output.name) for output in lineage.outputs] == [
        ("file", f"{tmp_path}/{YESTERDAY - timedelta(days=1)}.csv"),
        ("file", f"{tmp_path}/{YESTERDAY}.csv"),
    ]
    assert [output.outputFacets["outputStatistics"].rowCount for output in lineage.outputs] == [3, 3]


def test_a_download_tells_the_export_and_the_object(apple: Emulator, tmp_path: Path) -> None:
    export = ApnsHook().request_export("application", YESTERDAY - timedelta(days=1), YESTERDAY)
    path = tmp_path / "x.csv"
    task = ApnsDownloadExportOperator(task_id="download", status_url=export.status_url, path=str(path))
    task.execute({})

    (output,) = task.get_openlineage_facets_on_complete(None).outputs
    assert output.name == str(path)
    assert output.outputFacets["outputStatistics"].size == path.stat().st_size


def test_the_listener_of_the_openlineage_provider_emits_it(apple: Emulator, tmp_path: Path) -> None:
    """With a file as transport, in a process of its own, as the provider reads its configuration once."""
    events = tmp_path / "events.json"
    dag_file = tmp_path / "source" / "lineage.py"
    dag_file.parent.mkdir()
    (tmp_path / "dags").mkdir()
    dag_file.write_text(DAG_FILE.format(tmp_path=tmp_path, day=YESTERDAY))
    env = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_APNS_DEFAULT": apple.connection_json,
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(events), "append": True}),
        "PATH": str(Path(sys.executable).parent),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=env, check=True, capture_output=True)
    command = [sys.executable, "-c", RUN.format(dag_file=dag_file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    told = [json.loads(line) for line in events.read_text().splitlines()]
    (complete,) = (
        event for event in told if event["eventType"] == "COMPLETE" and event["job"]["name"].endswith(".all")
    )
    assert [output["name"] for output in complete["outputs"]] == [f"{tmp_path}/lake/x.csv"]
    assert complete["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 1
    assert [source["name"] for source in complete["inputs"]] == [f"apns/{apple.app_id}/broadcastapplicationmetric"]


DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

with DAG("lineage", schedule=None) as dag:
    ApnsToObjectStorageOperator(
        task_id="all", dataset="application", first_day="{day}", last_day="{day}",
        path="file://{tmp_path}/lake/x.csv", poke_interval=0.1, deferrable=False,
    )
"""

RUN = """
from tests.support.dag_test import run_dag
assert run_dag(__import__("pathlib").Path("{dag_file}")).state == "success"
"""
