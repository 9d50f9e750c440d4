"""A real S3 API on loopback: moto's server in a process of its own, so that it can die and be stopped like one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from tests.support.ports import free_ports

KEYS = {"aws_access_key_id": "AKIATESTTESTTESTTEST", "aws_secret_access_key": "a-made-up-secret-key"}


class S3Server:
    """An S3 server, one bucket in it, and how Airflow connects to it."""

    def __init__(self, port: int, bucket: str, keys: dict[str, str] = KEYS) -> None:
        self._keys = keys
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self.bucket = bucket
        quick = Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30)
        self.client = boto3.client("s3", endpoint_url=self.endpoint_url, region_name="us-east-1", config=quick, **keys)

    @property
    def connection(self) -> str:
        """The value of an ``AIRFLOW_CONN_...`` variable."""
        return json.dumps(
            {
                "conn_type": "aws",
                "login": self._keys["aws_access_key_id"],
                "password": self._keys["aws_secret_access_key"],
                "extra": {"endpoint_url": self.endpoint_url, "region_name": "us-east-1"},
            }
        )

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        return bytes(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def keys(self) -> list[str]:
        """Return the keys of all objects, however many."""
        pages: Any = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [item["Key"] for page in pages for item in page.get("Contents", ())]


@contextmanager
def s3_server(log: Path, *, bucket: str = "metrics") -> Iterator[S3Server]:
    """Run an S3 server with an empty bucket; its output goes to ``log``."""
    _forget_stores()
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            server = S3Server(port, bucket)
            deadline = time.monotonic() + 60
            while True:
                try:
                    server.client.create_bucket(Bucket=bucket)
                    break
                except BotoCoreError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"The S3 server did not come up:\n{log.read_text()}") from None
                    time.sleep(0.1)
            yield server
        finally:
            process.terminate()


def _forget_stores() -> None:
    """Drop Airflow's cached stores: a connection's earlier server, of another test, is gone."""
    for name in ("airflow.sdk.io.store", "airflow.io.store", "airflow.io.storage"):
        getattr(sys.modules.get(name), "_STORE_CACHE", {}).clear()
