from __future__ import annotations

import json
import subprocess
import sys
from typing import Any
from unittest.mock import patch

import pytest

import airflow_provider_apns
from airflow_provider_apns.links.apns import ApnsConsoleLink, ApnsStoredObjectLink
from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator, ApnsRequestExportOperator
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

OPERATOR = ApnsDownloadExportOperator(task_id="download", status_url="https://example.com", path="s3://bucket/key.csv")


def link_for(result: Any, operator: Any = OPERATOR) -> str:
    with patch("airflow.providers.common.compat.sdk.XCom.get_value", return_value=result):
        return ApnsStoredObjectLink().get_link(operator, ti_key=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("s3://metrics/day=1/a b.csv", "https://console.aws.amazon.com/s3/object/metrics?prefix=day%3D1%2Fa%20b.csv"),
        ("s3a://metrics/a.csv", "https://console.aws.amazon.com/s3/object/metrics?prefix=a.csv"),
        ("gs://metrics/a/b.csv", "https://console.cloud.google.com/storage/browser/_details/metrics/a/b.csv"),
        ("s3://Metrics_2/a.csv", "https://console.aws.amazon.com/s3/object/Metrics_2?prefix=a.csv"),
    ],
)
def test_an_object_has_a_page(path: str, page: str) -> None:
    assert link_for(path) == page
    assert link_for({"path": path, "rows": 1}) == page


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("s3://metrics/a/day={date}/x.csv", "https://console.aws.amazon.com/s3/buckets/metrics?prefix=a%2F"),
        ("s3://metrics/{channel_id}.csv", "https://console.aws.amazon.com/s3/buckets/metrics?prefix="),
        ("gs://metrics/a/{date}/{channel_id}", "https://console.cloud.google.com/storage/browser/metrics/a"),
    ],
)
def test_several_objects_share_a_folder(path: str, page: str) -> None:
    assert link_for({"path": path}) == page


@pytest.mark.parametrize("result", [None, "file:///tmp/x.csv", "abfs://container/x.csv", "", {}, {"path": None}, 5])
def test_nothing_to_link_to(result: Any) -> None:
    assert link_for(result) == ""


@pytest.mark.parametrize(
    ("extra", "linked"),
    [
        ({}, True),
        ({"region_name": "eu-west-1"}, True),
        ({"endpoint_url": "http://minio:9000"}, False),
        ({"service_config": {"s3": {"endpoint_url": "http://minio:9000"}}}, False),
    ],
)
def test_another_store_with_the_same_api_has_no_page(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], linked: bool
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MY_STORE", json.dumps({"conn_type": "aws", "extra": extra}))
    assert bool(link_for("s3://my_store@metrics/a.csv")) is linked
    operator = ApnsDownloadExportOperator(
        task_id="t", status_url="https://x.example", path="s3://metrics/a.csv", object_storage_conn_id="my_store"
    )
    assert bool(link_for("s3://metrics/a.csv", operator)) is linked


@pytest.mark.parametrize(
    ("operator", "links"),
    [
        (ApnsRequestExportOperator, {ApnsConsoleLink}),
        (ApnsExportSensor, {ApnsConsoleLink}),
        (ApnsDownloadExportOperator, {ApnsConsoleLink, ApnsStoredObjectLink}),
        (ApnsToObjectStorageOperator, {ApnsConsoleLink, ApnsStoredObjectLink}),
    ],
)
def test_operators_have_them(operator: Any, links: set[type]) -> None:
    assert {type(link) for link in operator.operator_extra_links} == links


def test_airflow_knows_them() -> None:
    named = airflow_provider_apns.get_provider_info()["extra-links"]
    assert named == [f"{link.__module__}.{link.__qualname__}" for link in (ApnsConsoleLink, ApnsStoredObjectLink)]


def test_console_link() -> None:
    assert ApnsConsoleLink().get_link(OPERATOR, ti_key=None).startswith("https://icloud.developer.apple.com/")  # type: ignore[arg-type]


def test_importing_them_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from airflow.providers.common.compat.sdk import BaseOperator, BaseOperatorLink\n"
        "before = set(sys.modules)\n"
        "import airflow_provider_apns.links.apns\n"
        "print(sorted(name for name in set(sys.modules) - before if not name.startswith('airflow_provider_apns')))"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip().splitlines()[-1] == "[]"
