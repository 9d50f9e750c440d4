"""What an import costs, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DAG_FILE = """
from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
"""


def loaded_by(code: str, before: str = "") -> set[str]:
    """The modules that some code loads, beyond those that are there before it."""
    program = f"import sys\n{before}\nbefore = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before, sep='\\n')"
    outcome = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return set(outcome.stdout.split())


@pytest.fixture(scope="module")
def by_a_dag_file() -> set[str]:
    return loaded_by(
        DAG_FILE, before="from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator"
    )


@pytest.mark.parametrize("module", ["requests", "aiohttp", "yarl", "pyarrow", "sqlite3", "fsspec", "pendulum"])
def test_a_dag_file_loads_no_library(by_a_dag_file: set[str], module: str) -> None:
    assert not {name for name in by_a_dag_file if name.partition(".")[0] == module}


@pytest.mark.parametrize(
    "module", ["hooks.apns", "triggers.apns", "exports", "reports", "batches", "spool", "storage", "emulator"]
)
def test_a_dag_file_loads_nothing_of_ours_that_only_a_worker_needs(by_a_dag_file: set[str], module: str) -> None:
    assert "airflow_provider_apns.operators.apns" in by_a_dag_file
    assert f"airflow_provider_apns.{module}" not in by_a_dag_file


def test_the_package_itself_loads_no_airflow() -> None:
    loaded = loaded_by("import airflow_provider_apns; airflow_provider_apns.get_provider_info()")
    assert not {name for name in loaded if name.partition(".")[0] == "airflow"}
    assert {name for name in loaded if name.startswith("airflow_provider_apns")} == {"airflow_provider_apns"}


@pytest.mark.parametrize("module", ["exports", "reports", "tokens", "bodies", "exceptions", "spool"])
def test_the_rules_need_neither_airflow_nor_an_http_library(module: str) -> None:
    loaded = loaded_by(f"import airflow_provider_apns.{module}")
    assert loaded.isdisjoint({"airflow", "requests", "aiohttp", "urllib3", "yarl"})


def test_the_emulator_needs_no_airflow() -> None:
    loaded = loaded_by("from airflow_provider_apns.emulator import Emulator")
    assert "airflow" not in loaded
