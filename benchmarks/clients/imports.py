"""Imports something in a clean process, as a DAG file does, on top of what every DAG file imports."""

from __future__ import annotations

import sys
import time

from airflow.sdk import DAG  # noqa: F401

from benchmarks.clients.measure import given, say

LIBRARIES = ("aiohttp", "requests", "urllib3", "httpx", "pyarrow", "boto3", "botocore", "tenacity", "ssl", "sqlite3")
OWN = ("airflow_provider_apns.hooks", "airflow_provider_apns.triggers")


def main(server: None, code: str) -> None:
    compiled = compile(code, "dag.py", "exec")
    before, cpu = set(sys.modules), time.process_time()
    exec(compiled, {})
    cpu = time.process_time() - cpu
    loaded = sorted(set(sys.modules) - before)
    heavy = [name for name in loaded if name.split(".")[0] in LIBRARIES or name.startswith(OWN)]
    say(cpu=cpu * 1000, modules=len(loaded), heavy=heavy)


if __name__ == "__main__":
    main(**given())
