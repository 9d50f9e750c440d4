"""What no linter sees: which modules an import loads in the end, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

DAG_FILE = """
from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
"""


def loaded_by(code: str, before: str = "") -> set[str]:
    """The modules that some code loads, beyond those that are there before it."""
    program = f"import sys\n{before}\nbefore = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before, sep='\\n')"
    command = [sys.executable, "-W", "ignore", "-c", program]
    return set(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split())


def test_a_dag_file_loads_nothing_that_only_a_worker_needs() -> None:
    loaded = loaded_by(
        DAG_FILE, before="from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator"
    )
    libraries = {name.partition(".")[0] for name in loaded}
    ours = {name.split(".")[1] for name in loaded if name.startswith("airflow_provider_apns.")}
    assert libraries.isdisjoint({"aiohttp", "fsspec", "httpx", "jwt", "pyarrow", "requests", "sqlite3", "urllib3"})
    assert {"operators", "sensors", "transfers"} <= ours
    assert ours.isdisjoint({"hooks", "lineage", "storage", "triggers"})


def test_the_package_itself_loads_nothing_else() -> None:
    loaded = loaded_by("import airflow_provider_apns; airflow_provider_apns.get_provider_info()")
    assert {name for name in loaded if name.startswith("airflow")} == {"airflow_provider_apns"}
