"""Asset events with the day as partition key, and events of an alias."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_apns._compat import AIRFLOW_V_3_3_PLUS
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
from tests.support.dag_test import run_dag

pytestmark = [pytest.mark.integration, pytest.mark.main_job, pytest.mark.usefixtures("airflow_db")]

LAST = (datetime.now(tz=timezone.utc) - timedelta(days=1)).date()
DAYS = [(LAST - timedelta(days=offset)).isoformat() for offset in (1, 0)]

DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG, Asset, AssetAlias
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

with DAG("asset_events", schedule=None) as dag:
    ApnsToObjectStorageOperator(
        task_id="all",
        dataset="application",
        first_day="{first}",
        last_day="{last}",
        path="file://{folder}/{{date}}.csv",
        deferrable=False,
        poke_interval=0.1,
        outlets=[{outlet}],
        {flags}
    )
"""


def write_dag(folder: Path, outlet: str, flags: str = "") -> Path:
    path = folder / "asset_events.py"
    path.write_text(DAG_FILE.format(first=DAYS[0], last=DAYS[1], folder=folder, outlet=outlet, flags=flags))
    return path


@pytest.fixture(autouse=True)
def apple(monkeypatch: pytest.MonkeyPatch):
    with Emulator() as apple:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
        yield apple


@pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="older ones cannot, as is tested below")
def test_each_day_is_a_partition(tmp_path: Path) -> None:
    outcome = run_dag(write_dag(tmp_path, 'Asset("apns_metrics")', "asset_partitions=True,"))

    assert outcome.state == "success"
    rows = outcome.metadata.query(
        "SELECT partition_key, extra FROM asset_event WHERE source_run_id = :run_id", run_id=outcome.run.run_id
    )
    assert sorted(row[0] for row in rows) == DAYS
    assert {json.loads(row[1])["path"] for row in rows} == {f"file://{tmp_path}/{{date}}.csv"}


@pytest.mark.skipif(AIRFLOW_V_3_3_PLUS, reason="it can, as is tested above")
def test_an_airflow_without_partitions_is_told_so() -> None:
    with pytest.raises(ValueError, match=r"asset_partitions needs Airflow 3\.3"):
        ApnsToObjectStorageOperator(
            task_id="all", dataset="application", first_day=LAST, last_day=LAST, path="x", asset_partitions=True
        )


def test_an_alias_is_told_the_path_as_its_asset(tmp_path: Path) -> None:
    outcome = run_dag(write_dag(tmp_path, 'AssetAlias("some_metrics")'))

    assert outcome.state == "success"
    (extra,) = outcome.asset_events()
    takes_lists = not version("apache-airflow").startswith(("2.", "3.0."))
    assert extra["days"] == (DAYS if takes_lists else ",".join(DAYS))
