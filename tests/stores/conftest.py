"""Each store is started once; each test has a front of its own before it, and nothing in it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_apns.storage import Download, object_path, publish
from tests.stores.front import Front
from tests.stores.servers import CONTAINER, STORES, Store

Start = Callable[[str], Store]
Connect = Callable[[dict[str, Any]], str]


class Place:
    """
    Where a test publishes.

    :param url: the URL of the container or folder
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def publish(self, name: str, data: bytes, content_type: str = "text/csv") -> Download:
        return publish(self.path(name), data, content_type)

    def path(self, name: str) -> ObjectStoragePath:
        return object_path(f"{self.url}/{name}")

    def objects(self) -> dict[str, bytes]:
        """Return the content of all objects by name."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        raise NotImplementedError


class Folder(Place):
    """A folder of the local file system."""

    def objects(self) -> dict[str, bytes]:
        root = Path(self.url.removeprefix("file://"))
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def remove(self, name: str) -> None:
        Path(self.url.removeprefix("file://"), name).unlink()


class Container(Place):
    """A container of a store, behind a front."""

    def __init__(self, url: str, store: Store, front: Front) -> None:
        super().__init__(url)
        self.store = store
        self.front = front

    def objects(self) -> dict[str, bytes]:
        return self.store.objects()

    def remove(self, name: str) -> None:
        self.store.remove(name)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    with ExitStack() as stack:
        started: dict[str, Store] = {}

        def _start(kind: str) -> Store:
            if kind not in started:
                started[kind] = stack.enter_context(STORES[kind](tmp_path_factory.mktemp(kind)))
            return started[kind]

        yield _start


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Make a connection, with an id of its own, since Airflow and fsspec keep what they know of one; return the id."""

    def _connect(connection: dict[str, Any]) -> str:
        conn_id = f"store_{uuid.uuid4().hex}"
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return conn_id

    return _connect


@pytest.fixture
def reach(start: Start, connect: Connect) -> Iterator[Callable[[str], Container]]:
    with ExitStack() as stack:

        def _reach(kind: str) -> Container:
            store = start(kind)
            for name in store.objects():
                store.remove(name)
            front = stack.enter_context(Front(store.port))
            return Container(f"{store.scheme}://{connect(store.connection(front.port))}@{CONTAINER}", store, front)

        yield _reach


@pytest.fixture(params=STORES)
def container(request: pytest.FixtureRequest, reach: Callable[[str], Container]) -> Container:
    """Each object store in turn."""
    return reach(request.param)


@pytest.fixture(params=["file", *STORES])
def place(request: pytest.FixtureRequest, tmp_path: Path, reach: Callable[[str], Container]) -> Place:
    """The local file system and each object store in turn."""
    return Folder(f"file://{tmp_path}/lake") if request.param == "file" else reach(request.param)
