"""Both transports, asked alike: what a test says of one holds for the other."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apns.hooks import apns, environment, sessions
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.protocol.days import Days
from airflow_provider_apns.protocol.exports import Export, ExportRequest
from tests.unit.helpers import day

WEEK = (day(-7), day(-1))


class Sync:
    """The hook for workers."""

    async def request(self, dataset: str = "application", channel_id: str | None = None, **app: str) -> Export:
        return ApnsHook().request_export(dataset, *WEEK, channel_id, **app)

    async def look(self, status_url: str) -> Export:
        return ApnsHook().get_export(status_url)

    async def download(self, status_url: str, dataset: str = "application", **options: Any) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "report.csv")
            ApnsHook(**options).download_export(status_url, str(path), dataset=dataset)
            return path.read_bytes()


class Async:
    """The hook for event loops."""

    async def request(self, dataset: str = "application", channel_id: str | None = None, **app: str) -> Export:
        async with ApnsAsyncHook() as hook:
            return await hook.request_export(export_request(dataset, channel_id), **app)

    async def look(self, status_url: str) -> Export:
        async with ApnsAsyncHook() as hook:
            return await hook.get_export(status_url)

    async def download(self, status_url: str, dataset: str = "application", **options: Any) -> bytes:
        async with ApnsAsyncHook(**options) as hook:
            return (await hook.download_report(status_url, Dataset.parse(dataset))).body


Transport = Sync | Async


def export_request(dataset: str, channel_id: str | None = None) -> ExportRequest:
    return ExportRequest(Dataset.parse(dataset), Days.parse(*WEEK), channel_id)


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def hook(request: pytest.FixtureRequest) -> Transport:
    chosen: type[Transport] = request.param
    return chosen()


@pytest.fixture
def quick_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (apns, sessions):
        monkeypatch.setattr(module, "CONNECT_TIMEOUT", 0.3)
        monkeypatch.setattr(module, "READ_TIMEOUT", 0.3)


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment that says nothing about the network, for a test to change."""
    for name in (*environment._PROXY_VARIABLES, "no_proxy", "NO_PROXY", *environment._CA_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    environment.proxy_for.cache_clear()
    yield monkeypatch
    environment.proxy_for.cache_clear()


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """All that is logged, at DEBUG: Airflow's own loggers go elsewhere, differently in each version."""
    caplog.set_level(logging.DEBUG)
    for cls in (ApnsHook, ApnsAsyncHook):
        monkeypatch.setattr(cls, "log", logging.getLogger("tests.hooks"))
    for name in ("urllib3", "requests", "aiohttp", "asyncio"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    return caplog
