"""Imports something in a clean process, as a DAG file does, on top of what every DAG file imports."""

from __future__ import annotations

import sys
import time

from airflow.sdk import DAG  # noqa: F401

from benchmarks.clients.measure import given, say

HEAVY = ("aiohttp", "requests", "urllib3", "httpx", "pyarrow", "boto3", "botocore", "tenacity", "ssl", "sqlite3")


def main() -> None:
    code = compile(given()["code"], "dag.py", "exec")
    before = set(sys.modules)
    cpu, wall = time.process_time(), time.perf_counter()
    exec(code, {})
    figures = {"cpu": (time.process_time() - cpu) * 1000, "wall": (time.perf_counter() - wall) * 1000}
    loaded = sorted(set(sys.modules) - before)
    own = ("airflow_provider_apns.hooks", "airflow_provider_apns.triggers")
    heavy = [name for name in loaded if name.split(".")[0] in HEAVY or name.startswith(own)]
    say(**figures, modules=len(loaded), heavy=heavy, names=loaded)


if __name__ == "__main__":
    main()
