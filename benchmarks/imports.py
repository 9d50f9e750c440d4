"""What importing costs in a DAG file: every parse of every DAG file pays it."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.process import Bench, in_turn
from benchmarks.report import Row, ratio

EVERY_DAG_FILE = "from airflow.sdk import DAG\n"
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
    def importing(code: str) -> Callable[[], dict[str, float]]:
        return lambda: bench.client("imports", code=code)

    for code in DAG_FILES.values():
        bench.client("imports", code=code)  # writes the byte code that installing has left out
    found = in_turn({name: importing(code) for name, code in DAG_FILES.items()}, 5, say)
    ours, peers = found["ours"], {name: figures for name, figures in found.items() if name != "ours"}
    heavy = ours["heavy"]
    cheap = ours["cpu"] <= 40 and ours["modules"] <= 25 and ours["cpu"] * 10 <= found["http sensor"]["cpu"]
    return [
        Row(
            "import in a DAG file, over `airflow.sdk` alone",
            "at most 40 ms and 25 modules, a tenth of http's sensor",
            f"{ours['cpu']:.1f} ms, {ours['modules']:.0f} modules",
            {
                name: f"{figures['cpu']:.0f} ms, {figures['modules']:.0f} modules: {ratio(figures['cpu'], ours['cpu'])}"
                for name, figures in peers.items()
            },
            cheap,
            "our sensor, both operators and the transfer together, against one class of each peer; in a clean process "
            "that has run `from airflow.sdk import DAG`, as every DAG file does",
        ),
        Row(
            "HTTP libraries, pyarrow, hook and trigger code loaded by that import",
            "none",
            ", ".join(heavy) or "none",
            {name: f"{len(figures['heavy'])} modules" for name, figures in peers.items()},
            not heavy,
        ),
        importtime_row(bench, set(ours["names"])),
    ]


def importtime_row(bench: Bench, listed: set[str]) -> Row:
    """Look with Python's own eyes at what the list of modules says."""
    always = importtime(bench, EVERY_DAG_FILE)
    whole = importtime(bench, EVERY_DAG_FILE + DAG_FILES["ours"])
    timed = {name: milliseconds for name, milliseconds in whole.items() if name not in always}
    unlisted, untimed = timed.keys() - listed, listed - timed.keys()
    agree = not unlisted and all(name.startswith("airflow.sdk.") for name in untimed)
    total = sum(timed.values())
    return Row(
        "the same import, seen by `python -X importtime`",
        "at most 40 ms and 25 modules, those of the list",
        f"{total:.1f} ms, {len(timed)} modules, {len(unlisted)} of them not in the list",
        met=total <= 40 and len(timed) <= 25 and agree,
        note="wall time, once, while it prints; it does not see what Airflow loads by `importlib.import_module` when a "
        f"name of its SDK is first used: {', '.join(sorted(untimed))}",
    )


def importtime(bench: Bench, code: str) -> dict[str, float]:
    """Return what code imports, and the milliseconds that each module took, without those that it imports."""
    lines = [line.split("|") for line in bench.run("-X", "importtime", "-c", code).stderr.splitlines() if "|" in line]
    return {name.strip(): int(own.rpartition(":")[2]) / 1000 for own, _, name in lines if "self [us]" not in own}
