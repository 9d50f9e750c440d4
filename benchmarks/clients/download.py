"""Brings one large report to the local disk or to S3."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.clients.batch import find_object_stores
from benchmarks.clients.measure import forget_peak, given, log_as_in_airflow, memory, say


def ours(status_url: str, data_url: str, target: str) -> None:
    from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator

    ApnsDownloadExportOperator(task_id="download", status_url=status_url, path=target).execute({})  # type: ignore[arg-type]


def curl(status_url: str, data_url: str, target: str) -> None:
    subprocess.run(["curl", "--compressed", "--silent", "--fail", "--output", target, data_url], check=True)


def upload(status_url: str, data_url: str, target: str) -> None:
    """The store's own upload, of a file that is on the disk already."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    bucket, key = urlsplit(target).netloc.rpartition("@")[2], urlsplit(target).path.strip("/")
    S3Hook("store").get_conn().upload_file("curl.csv", bucket, key)


def amazon(status_url: str, data_url: str, target: str) -> None:
    from airflow.providers.amazon.aws.transfers.http_to_s3 import HttpToS3Operator

    url = urlsplit(data_url)
    connection = {"conn_type": "http", "host": f"{url.scheme}://{url.netloc}"}
    os.environ["AIRFLOW_CONN_HTTP_DEFAULT"] = json.dumps(connection)
    HttpToS3Operator(
        task_id="download",
        endpoint=f"{url.path}?{url.query}",
        s3_bucket=urlsplit(target).netloc.rpartition("@")[2],
        s3_key=urlsplit(target).path.strip("/"),
        aws_conn_id="store",
        replace=True,
    ).execute({})  # type: ignore[arg-type]


def prepare(way: str) -> None:
    """Load what is loaded once in a process, whatever the size of the report."""
    if way == "ours":
        import airflow_provider_apns.hooks.apns  # noqa: F401

        find_object_stores()
    if way == "ours" or way == "upload":
        import s3fs  # noqa: F401
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # noqa: F401
    if way == "amazon":
        import airflow.providers.amazon.aws.transfers.http_to_s3  # noqa: F401


def main() -> None:
    arguments: dict[str, Any] = given()
    log_as_in_airflow("worker.log")
    way = arguments["way"]
    if arguments.get("store"):
        os.environ["AIRFLOW_CONN_STORE"] = arguments["store"]
    prepare(way)
    forget_peak()
    before, cpu, wall = memory(), time.process_time(), time.perf_counter()
    run = {"ours": ours, "curl": curl, "upload": upload, "amazon": amazon}[way]
    run(arguments["status_url"], arguments["data_url"], arguments["target"])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    target = Path(arguments["target"])
    say(
        wall=wall,
        cpu=cpu + children.ru_utime + children.ru_stime,
        memory=children.ru_maxrss * 1024 if way == "curl" else memory("VmHWM") - before,
        size=target.stat().st_size if target.is_file() else 0,
    )


if __name__ == "__main__":
    main()
