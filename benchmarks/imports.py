"""What importing costs in a DAG file: every parse of every DAG file pays it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.process import Bench, in_turn
from benchmarks.report import Row, ratio

MILLISECONDS, MODULES = 40, 25
DAG_FILES = {
    "ours": (
        "from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator\n"
        "from airflow_provider_apns.sensors.apns import ApnsExportSensor\n"
        "from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator\n"
    ),
    "http sensor": "from airflow.providers.http.sensors.http import HttpSensor",
    "dbt-cloud sensor": "from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor",
    "amazon http_to_s3": "from airflow.providers.amazon.aws.transfers.http_to_s3 import HttpToS3Operator",
    "fivetran-async sensor": "from fivetran_provider_async.sensors import FivetranSensor",
    "google campaign_manager": (
        "from airflow.providers.google.marketing_platform.sensors.campaign_manager import "
        "GoogleCampaignManagerReportSensor"
    ),
}


def measure(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    for code in DAG_FILES.values():
        bench.client("imports", code=code)  # writes the byte code that installing has left out
    imports = {name: partial(bench.client, "imports", code=code) for name, code in DAG_FILES.items()}
    found = in_turn(imports, 5, say)
    ours = found.pop("ours")
    return [
        Row(
            "import in a DAG file, over `airflow.sdk` alone",
            f"at most {MILLISECONDS} ms and {MODULES} modules",
            f"{ours['cpu']:.1f} ms, {ours['modules']:.0f} modules",
            {
                name: f"{figures['cpu']:.0f} ms, {figures['modules']:.0f} modules: {ratio(figures['cpu'], ours['cpu'])}"
                for name, figures in found.items()
            },
            ours["cpu"] <= MILLISECONDS and ours["modules"] <= MODULES,
            "all of our operators and the sensor together, against one class of each peer. Each import runs in a "
            "clean process that has run `from airflow.sdk import DAG`, as every DAG file does",
        ),
        Row(
            "HTTP libraries, pyarrow, hook and trigger code loaded by that import",
            "none",
            ", ".join(ours["heavy"]) or "none",
            {name: f"{len(figures['heavy'])} modules" for name, figures in found.items()},
            not ours["heavy"],
        ),
    ]
