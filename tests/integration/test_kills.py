"""Whatever dies when: the destination is the old object or the new one, whole."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_apns.emulator import Emulator
from tests.support.proxy import Proxy
from tests.support.s3 import KEYS, S3Server, s3_server
from tests.support.victim import Nursery

pytestmark = pytest.mark.integration

OLD = b"the object of before\n"


@pytest.fixture
def days(yesterday: date) -> dict[str, str]:
    return {"first_day": str(yesterday - timedelta(days=29)), "last_day": str(yesterday)}


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(channels=3) as apple:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
        yield apple


@pytest.fixture
def status_url(apple: Emulator, days: dict[str, str]) -> str:
    from airflow_provider_apns.hooks.apns import ApnsHook

    return ApnsHook().request_export("delivery", **days).status_url


@pytest.fixture
def new(apple: Emulator, status_url: str, days: dict[str, str]) -> bytes:
    """What Apple serves."""
    return bytes(apple.csv("delivery", *days.values()))


@pytest.fixture
def nursery(apple: Emulator, tmp_path: Path) -> Iterator[Nursery]:
    nursery = Nursery({"AIRFLOW_CONN_APNS_DEFAULT": apple.connection_json}, tmp_path / "workers.txt")
    yield nursery
    nursery.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A destination with an object of before."""
    path = tmp_path / "lake" / "object.csv"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class TestWorker:
    def test_killed_while_downloading(
        self, apple: Emulator, nursery: Nursery, target: Path, status_url: str, new: bytes
    ) -> None:
        apple.inject("download:stall-body:seconds=60")
        worker = nursery.start(path=str(target), status_url=status_url)
        wait_for(lambda: apple.ledger.gets)
        time.sleep(0.3)
        worker.kill()
        assert worker.wait() == -9
        assert target.read_bytes() == OLD
        assert nursery.start(path=str(target), status_url=status_url).wait() == 0
        assert target.read_bytes() == new

    @pytest.mark.parametrize("moment", ["fsync", "published"])
    def test_killed_while_publishing(
        self, nursery: Nursery, target: Path, status_url: str, new: bytes, tmp_path: Path, moment: str
    ) -> None:
        marker = tmp_path / "reached"
        worker = nursery.start(path=str(target), status_url=status_url, stop_at=moment, marker=str(marker))
        wait_for(marker.exists)
        worker.kill()
        assert worker.wait() == -9
        assert target.read_bytes() == (OLD if moment == "fsync" else new)
        assert nursery.start(path=str(target), status_url=status_url).wait() == 0
        assert target.read_bytes() == new

    @pytest.mark.slow
    def test_killed_at_any_moment(self, nursery: Nursery, target: Path, status_url: str, new: bytes) -> None:
        began = time.monotonic()
        assert nursery.start(path=str(target), status_url=status_url).wait() == 0
        whole = time.monotonic() - began
        seen = {OLD: 0, new: 0}
        for number in range(20):
            target.write_bytes(OLD)
            worker = nursery.start(path=str(target), status_url=status_url)
            time.sleep(whole * number / 16)
            worker.kill()
            worker.wait()
            seen[target.read_bytes()] += 1  # anything else is a KeyError
        assert seen[OLD]

    def test_killed_while_writing_a_batch(
        self, apple: Emulator, nursery: Nursery, days: dict[str, str], tmp_path: Path
    ) -> None:
        target, marker = tmp_path / "lake" / "channels.csv", tmp_path / "reached"
        job = {"dataset": "channel", "channel_ids": list(apple.channel_ids), **days}
        assert nursery.start(path=str(target), operator=job | {"channel_ids": apple.channel_ids[:1]}).wait() == 0
        before = target.read_bytes()
        worker = nursery.start(path=str(target), operator=job, stop_at="fsync", marker=str(marker))
        wait_for(marker.exists)
        worker.kill()
        assert worker.wait() == -9
        assert target.read_bytes() == before
        assert nursery.start(path=str(target), operator=job).wait() == 0
        assert target.read_bytes().count(b"\n") == 1 + 3 * 30


class TestKeepComplete:
    @pytest.mark.parametrize("dataset", ["application", "channel"])
    def test_killed_again_and_again(self, apple: Emulator, nursery: Nursery, tmp_path: Path, dataset: str) -> None:
        """Each try takes up what is left with the exports that are there, since the oldest day is written last."""
        job = {"dataset": dataset, "channel_ids": list(apple.channel_ids) if dataset == "channel" else None}
        wanted, found = tmp_path / "undisturbed", tmp_path / "disturbed"
        assert nursery.start(path=f"{wanted}/{{date}}.csv", operator=job).wait() == 0
        exports = apple.ledger.exports_created
        assert exports == (3 if dataset == "channel" else 1)

        stored = []
        for number, moment in enumerate(("download", "fsync", "published", "published", "published")):
            marker, looks = tmp_path / f"reached-{number}", apple.ledger.gets
            if moment == "download":
                apple.inject("download:stall:seconds=60")
            worker = nursery.start(path=f"{found}/{{date}}.csv", operator=job, stop_at=moment, marker=str(marker))
            wait_for(lambda: apple.ledger.gets > looks if moment == "download" else marker.exists())  # noqa: B023
            time.sleep(0.3)
            worker.kill()
            assert worker.wait() == -9
            stored.append(len(list(found.glob("*.csv"))))
        assert stored[:2] == [0, 0]
        assert 0 < stored[2] < stored[3] <= stored[4] < 30

        assert nursery.start(path=f"{found}/{{date}}.csv", operator=job).wait() == 0
        assert content_of(found) == content_of(wanted)
        assert len(content_of(found)) == 30
        assert apple.ledger.exports_created == exports


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


class TestObjectStore:
    @pytest.fixture
    @staticmethod
    def s3(tmp_path: Path) -> Iterator[S3Server]:
        with s3_server(tmp_path / "s3.txt") as s3:
            s3.client.put_object(Bucket=s3.bucket, Key="object.csv", Body=OLD)
            yield s3

    @staticmethod
    def nursery_at(apple: Emulator, endpoint_url: str, tmp_path: Path) -> Nursery:
        quick = {"retries": {"max_attempts": 1}, "connect_timeout": 5, "read_timeout": 10}
        store = {
            "conn_type": "aws",
            "login": KEYS["aws_access_key_id"],
            "password": KEYS["aws_secret_access_key"],
            "extra": {"endpoint_url": endpoint_url, "region_name": "us-east-1", "config_kwargs": quick},
        }
        env = {"AIRFLOW_CONN_APNS_DEFAULT": apple.connection_json, "AIRFLOW_CONN_STORE": json.dumps(store)}
        return Nursery(env, tmp_path / "workers.txt")

    def test_worker_killed_at_any_moment(
        self, apple: Emulator, s3: S3Server, tmp_path: Path, status_url: str, new: bytes
    ) -> None:
        nursery, path = self.nursery_at(apple, s3.endpoint_url, tmp_path), f"s3://store@{s3.bucket}/object.csv"
        began = time.monotonic()
        assert nursery.start(path=path, status_url=status_url).wait() == 0
        whole = time.monotonic() - began
        assert s3.read("object.csv") == new
        seen = {OLD: 0, new: 0}
        for number in range(8):
            s3.client.put_object(Bucket=s3.bucket, Key="object.csv", Body=OLD)
            worker = nursery.start(path=path, status_url=status_url)
            time.sleep(whole * number / 8)
            worker.kill()
            worker.wait()
            seen[s3.read("object.csv")] += 1
            assert s3.keys() == ["object.csv"]
        assert seen[OLD]
        nursery.close()

    @pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
    def test_store_dies_in_the_middle(
        self, apple: Emulator, s3: S3Server, tmp_path: Path, status_url: str, new: bytes, share: float
    ) -> None:
        proxy = Proxy(urlsplit(s3.endpoint_url).port or 0, dies_after=int(len(new) * share))
        nursery = self.nursery_at(apple, f"http://127.0.0.1:{proxy.port}", tmp_path)
        assert nursery.start(path=f"s3://store@{s3.bucket}/object.csv", status_url=status_url).wait() != 0
        nursery.close()
        assert proxy.dead.is_set()
        assert s3.keys() == ["object.csv"]
        assert s3.read("object.csv") == OLD

    def test_data_breaks_off_before_the_store_has_it(
        self, apple: Emulator, s3: S3Server, tmp_path: Path, status_url: str, new: bytes
    ) -> None:
        apple.inject("download:cut-length:times=forever")
        nursery = self.nursery_at(apple, s3.endpoint_url, tmp_path)
        path = f"s3://store@{s3.bucket}/object.csv"
        assert nursery.start(path=path, status_url=status_url).wait() == 5
        assert s3.read("object.csv") == OLD
        apple.clear_faults()
        assert nursery.start(path=path, status_url=status_url).wait() == 0
        assert s3.read("object.csv") == new
        nursery.close()


class TestFullDisk:
    @pytest.fixture
    @staticmethod
    def full(tmp_path: Path) -> Iterator[tuple[Path, int]]:
        """A folder that takes 100 kB, and the largest file that a worker may write where nobody may mount such."""
        folder = tmp_path / "small"
        folder.mkdir()
        with mounted(folder) as is_mounted:
            yield folder, 0 if is_mounted else 100_000

    def test_destination(
        self, full: tuple[Path, int], nursery: Nursery, status_url: str, new: bytes, tmp_path: Path
    ) -> None:
        folder, limit = full
        target = folder / "object.csv"
        target.write_bytes(OLD)
        assert len(new) > 100_000
        assert nursery.start(path=str(target), status_url=status_url, limit=limit).wait() == 3
        assert [path.name for path in folder.iterdir()] == ["object.csv"]
        assert target.read_bytes() == OLD


@contextmanager
def mounted(folder: Path) -> Iterator[bool]:
    """Put a small file system there, where that is allowed."""
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    try:
        allowed = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    try:
        yield allowed
    finally:
        if allowed:
            subprocess.run(["umount", str(folder)], check=True)


class TestApple:
    @pytest.mark.slow
    def test_gone_for_half_a_minute(self, apple: Emulator, days: dict[str, str], target: Path) -> None:
        """With the real waits: the worker and the event loop both hold out until Apple is back."""
        import asyncio

        from airflow_provider_apns.hooks.apns import ApnsHook
        from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook

        status_url = ApnsHook().request_export("application", **days).status_url

        async def look() -> str:
            async with ApnsAsyncHook() as hook:
                return (await hook.get_export(status_url)).status

        seen: list[str] = []
        apple.stop()
        waiting = [
            threading.Thread(target=lambda: ApnsHook().download_export(status_url, str(target))),
            threading.Thread(target=lambda: seen.append(asyncio.run(look()))),
        ]
        for thread in waiting:
            thread.start()
        time.sleep(30)
        assert target.read_bytes() == OLD
        apple.restart()
        for thread in waiting:
            thread.join(60)
        assert seen == ["SUCCESS"]
        assert target.read_bytes() == apple.csv("application", *days.values())
