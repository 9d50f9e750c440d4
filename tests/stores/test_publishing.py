"""Publishing, to real stores on loopback: `make test-stores`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone

import pytest
from aiohttp import web
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_apns.batches.layout import Key
from airflow_provider_apns.batches.listing import list_objects
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsWriteError
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.operators.apns import ApnsDownloadExportOperator
from airflow_provider_apns.protocol.days import Days
from airflow_provider_apns.reports.formats import CONTENT_TYPES
from airflow_provider_apns.storage import Download, fetch
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
from tests.stores.conftest import Connect, Container, Place
from tests.stores.front import Request
from tests.stores.servers import CONTAINER
from tests.support.proxy import Proxy

YESTERDAY = datetime.now(timezone.utc).date() - timedelta(days=1)
DAYS = {"first_day": YESTERDAY - timedelta(days=1), "last_day": YESTERDAY}
BYTES = bytes(range(256)) * 13 + b"\r\n"


class TestEveryPlace:
    @pytest.mark.parametrize("data", [b"", BYTES, BYTES * 2000], ids=["nothing", "small", "some megabytes"])
    def test_the_bytes_arrive_whole(self, place: Place, data: bytes) -> None:
        told = place.publish("day=1/x.csv", data)
        assert place.objects() == {"day=1/x.csv": data}
        assert told == Download(f"{place.url}/day=1/x.csv", len(data), hashlib.sha256(data).hexdigest())

    def test_an_object_is_replaced(self, place: Place) -> None:
        for data in (b"old", BYTES, b"new"):
            place.publish("x.csv", data)
        assert place.objects() == {"x.csv": b"new"}

    def test_a_name_is_just_a_name(self, place: Place) -> None:
        marks = [*"*?[]#%&+=:;@~$'\",!()|^<> ", "%41", "..", "[1]", "#a?b", "größe", "e\u0301", "日本"]
        names = [
            name for mark in marks for name in (f"{mark}a{mark}b.csv", f"a{mark}/b{mark}c.csv", f"a{mark}/bxc.csv")
        ]
        for name in names:
            place.publish(name, name.encode())
        assert place.objects() == {name: name.encode() for name in names}
        if place.url.startswith("gs://"):
            names = [name for name in names if ";" not in name]  # which the emulator takes for something else
        assert [fetch(place.path(name)) for name in names] == [name.encode() for name in names]

    def test_what_is_stored_is_found(self, place: Place) -> None:
        days = [date(2026, 3, 1), date(2026, 3, 2)]
        for day in days:
            place.publish(f"a#b/day={day}/x.csv", BYTES)
        path = place.path("a#b/day={date}/x.csv")
        found = list_objects(path.fs, path.path, Days(*days))
        assert set(found) == {Key(day) for day in days}
        assert all(abs(written - datetime.now(timezone.utc)) < timedelta(minutes=2) for written in found.values())
        assert fetch(place.path("a#b/day=2026-03-03/x.csv")) is None

    def test_a_path_keeps_itself_complete(self, place: Place, apple: Emulator) -> None:
        path = f"{place.url}/day={{date}}/[x]#.jsonl"

        task = ApnsToObjectStorageOperator(task_id="x", dataset="application", path=path, deferrable=False)
        first, stored = task.execute({}), place.objects()
        assert len(first["days"]) == len(stored) == 30
        gone = first["days"][5]
        place.remove(f"day={gone}/[x]#.jsonl")
        again = task.execute({})
        assert again["days"] == [gone]
        assert again["objects"] == 1 + len(again["days_unchanged"])
        assert place.objects() == stored


class TestObjectStores:
    @pytest.mark.parametrize("size", [0, 1000, 9 << 20])
    def test_an_object_takes_one_request(self, container: Container, size: int) -> None:
        for _ in range(2):
            container.publish("a/b/x.csv", b"x" * size)
        assert [container.store.is_write(request) for request in container.front.seen] == [True, True]

    @pytest.mark.parametrize("content_type", CONTENT_TYPES.values())
    def test_an_object_says_what_it_is(self, container: Container, content_type: str) -> None:
        container.publish("x", BYTES, content_type)
        assert container.store.content_type("x") == content_type

    def test_no_right_but_to_write_is_needed(self, container: Container, connect: Connect, apple: Emulator) -> None:
        allow_only_writing(container)
        conn_id = connect(container.store.connection_to_write(container.front.port))
        url = f"{container.store.scheme}://{conn_id}@{CONTAINER}"
        status_url = ApnsHook().request_export("application", **DAYS).status_url
        one = ApnsDownloadExportOperator(task_id="x", status_url=status_url, path=f"{url}/apple.csv")
        many = ApnsToObjectStorageOperator(
            task_id="x", dataset="delivery", path=f"{url}/{{date}}.jsonl", deferrable=False, **DAYS
        )
        one.execute({})
        many.execute({})
        assert sorted(container.objects()) == [*(f"{day}.jsonl" for day in DAYS.values()), "apple.csv"]
        assert container.objects()["apple.csv"] == apple.csv("application", *DAYS.values())
        refused = [request for request in container.front.seen if not container.store.is_write(request)]
        assert {request.method for request in refused} <= {"GET", "HEAD"}  # of rows that may be there already
        assert [str(request) for request in refused if ".jsonl" not in request.path] == []

    def test_a_path_cannot_be_kept_complete_without_the_right_to_list(
        self, container: Container, connect: Connect, apple: Emulator
    ) -> None:
        allow_only_writing(container)
        conn_id = connect(container.store.connection_to_write(container.front.port))
        path = f"{container.store.scheme}://{conn_id}@{CONTAINER}/{{date}}.jsonl"
        with pytest.raises(AirflowFailException, match=r"cannot be listed \(.*\)\. To keep a path complete"):
            ApnsToObjectStorageOperator(task_id="x", dataset="delivery", path=path, deferrable=False).execute({})
        assert apple.ledger.posts == 0

    def test_a_store_whose_copies_stay_pending(self, container: Container) -> None:
        copies = {"x-ms-copy-source", "x-amz-copy-source"}
        pending = {"x-ms-copy-status": "pending", "x-ms-copy-id": "1"}

        def answer(request: Request) -> web.Response | None:
            is_copy = copies & {name.lower() for name in request.headers} or "rewriteTo" in request.path
            return web.Response(status=202, headers=pending) if is_copy else None

        container.front.answer = answer
        container.publish("x.csv", BYTES)
        assert container.objects() == {"x.csv": BYTES}

    def test_what_breaks_off_leaves_the_old_object(
        self, container: Container, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        container.publish("x.csv", b"old")
        sleep = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", lambda delay: sleep(min(delay, 0.01)))  # the clients' own retries
        proxy = Proxy(container.front.port, dies_after=2 << 20)
        dying = Place(f"{container.store.scheme}://{connect(container.store.connection(proxy.port))}@{CONTAINER}")
        with pytest.raises(ApnsWriteError, match=r"metrics/x\.csv could not be written"):
            dying.publish("x.csv", b"x" * (4 << 20))
        assert container.objects() == {"x.csv": b"old"}

    def test_a_refusal_is_told(self, container: Container) -> None:
        container.front.answer = lambda request: web.Response(status=403)
        with pytest.raises(ApnsWriteError, match=r"metrics/x\.csv could not be written: \S+") as raised:
            container.publish("x.csv", BYTES)
        assert "sig=" not in str(raised.value)
        assert container.objects() == {}


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", emulator.connection_json)
        yield emulator


def allow_only_writing(container: Container) -> None:
    def answer(request: Request) -> web.Response | None:
        return None if container.store.is_write(request) else web.Response(status=403)

    container.front.answer = answer
