"""Publishing on file systems, and what is told before; tests/stores has the object stores."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.asyn import get_loop
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_apns.exceptions import ApnsStorageError, ApnsWriteError
from airflow_provider_apns.storage import Download, check_free, list_folder, object_path, publish, read

OLD, NEW = b"the old object", b"the new object"


def put(path: object, data: bytes = NEW) -> Download:
    return publish(object_path(str(path)), data, "text/csv")


class TestFiles:
    @pytest.mark.parametrize("data", [b"", b"x", b"x" * (9 << 20)], ids=["empty", "small", "large"])
    def test_a_file_is_written_in_folders_that_are_made(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "date=2026-03-01" / "report.csv"
        assert put(path, data) == Download(str(path), len(data), hashlib.sha256(data).hexdigest())
        assert read(object_path(str(path))) == data
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize("name", ["*.csv", "a?b", "[x]", "a#b", "100%", "a b", "ä", "%20", "x" * 255])
    def test_a_name_is_just_a_name(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "abc.csv").write_bytes(OLD)
        put(f"{tmp_path}/{name}")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"abc.csv": OLD, name: NEW}

    def test_a_symbolic_link_is_followed_and_the_mode_of_a_file_stays(self, tmp_path: Path) -> None:
        target, link = tmp_path / "folder" / "report.csv", tmp_path / "latest.csv"
        target.parent.mkdir()
        target.write_bytes(OLD)
        target.chmod(0o640)
        link.symlink_to(target)
        put(link)
        assert link.is_symlink()
        assert target.read_bytes() == NEW
        assert stat.S_IMODE(target.stat().st_mode) == 0o640

    def test_a_new_file_has_the_usual_mode(self, tmp_path: Path) -> None:
        (tmp_path / "usual").touch()
        put(tmp_path / "report.csv")
        assert (tmp_path / "report.csv").stat().st_mode == (tmp_path / "usual").stat().st_mode

    def test_a_file_is_on_the_disk_before_it_is_renamed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        steps: list[tuple[bool, int]] = []
        real_fsync, path = os.fsync, tmp_path / "report.csv"
        monkeypatch.setattr(
            os, "fsync", lambda fd: (steps.append((path.exists(), os.fstat(fd).st_size)), real_fsync(fd))
        )
        put(path)
        assert steps == [(False, len(NEW))]

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_a_full_disk_is_told_with_its_path_and_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        path = tmp_path / "report.csv"
        path.write_bytes(OLD)

        def full(*args: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, step, full)
        with pytest.raises(ApnsWriteError, match=rf"{path} could not be written: .*No space left on device"):
            put(path)
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {"report.csv": OLD}

    def test_a_folder_is_no_destination(self, tmp_path: Path) -> None:
        (tmp_path / "reports").mkdir()
        with pytest.raises(ApnsStorageError, match="is a folder"):
            put(tmp_path / "reports")
        assert list(tmp_path.rglob("*")) == [tmp_path / "reports"]


def attach(protocol: str, fs: Any) -> None:
    """Teach ObjectStoragePath a store, as users teach it one of their own."""
    try:
        from airflow.sdk.io import attach
    except ImportError:  # Airflow 2
        from airflow.io.store import attach

    attach(protocol, fs=fs)


class Remote(MemoryFileSystem):  # type: ignore[misc]
    """A file system without a way of its own to write whole objects, and strict about folders, as SFTP's and HDFS's."""

    protocol = "remote"
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    pipe_file = fsspec.AbstractFileSystem.pipe_file

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        if not path:
            raise FileNotFoundError("A folder without a name")
        super().makedirs(path, exist_ok)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if "w" in mode and not self.isdir(self._parent(path)):
            raise FileNotFoundError(path)
        return super()._open(path, mode, **options)


@pytest.fixture
def remote() -> Remote:
    Remote.store.clear()
    Remote.pseudo_dirs[:] = [""]
    fs = Remote()
    attach("memory", fs)
    return fs


class TestRemoteFileSystems:
    @pytest.mark.parametrize("path", ["/report.csv", "/a/b/report.csv"])
    def test_a_file_is_written_in_folders_that_are_made(self, remote: Remote, path: str) -> None:
        for data in (OLD, NEW):
            put(f"memory:/{path}", data)
            assert {name: remote.cat_file(name) for name in remote.find("/")} == {path: data}

    def test_a_folder_is_no_destination(self, remote: Remote) -> None:
        remote.makedirs("/folder/reports")
        with pytest.raises(ApnsStorageError, match="is a folder"):
            put("memory://folder/reports")
        assert remote.find("/", withdirs=True) == ["/folder", "/folder/reports"]

    def test_a_file_is_written_beside_and_moved(self, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
        moves: list[tuple[str, str]] = []
        real = remote.mv
        monkeypatch.setattr(remote, "mv", lambda a, b: (moves.append((a, b)), real(a, b)))
        put("memory://folder/report.csv")
        assert moves == [(moves[0][0], "/folder/report.csv")]
        assert moves[0][0].startswith("/folder/.apns-")
        assert remote.find("/folder") == ["/folder/report.csv"]

    def test_a_failing_move_leaves_nothing_beside(self, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
        put("memory://folder/report.csv", OLD)
        monkeypatch.setattr(remote, "mv", failing(OSError("gone")))
        with pytest.raises(ApnsWriteError, match="gone"):
            put("memory://folder/report.csv")
        assert {name: remote.cat_file(name) for name in remote.find("/folder")} == {"/folder/report.csv": OLD}


class Bucket(MemoryFileSystem):  # type: ignore[misc]
    """An object store: it takes a whole object in one request."""

    def __init__(self, **looks: Any) -> None:
        super().__init__()
        vars(self).update(looks)
        self.requests: list[Any] = []

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        self.requests.append((path, value, options))


class Azure(Bucket):
    """A store whose client is used past its file system, and keeps what is there unless it is told to overwrite."""

    loop = property(lambda self: get_loop())
    service_client = property(lambda self: self)

    @asynccontextmanager
    async def get_blob_client(self, container: str, name: str) -> AsyncIterator[Any]:
        async def upload_blob(data: bytes, overwrite: bool = False, content_settings: Any = None) -> None:
            assert overwrite
            self.requests.append((f"/{container}/{name}", data, content_settings))

        yield SimpleNamespace(upload_blob=upload_blob)


class TestObjectStores:
    """What each client is told, by what it looks like; tests/stores has the genuine ones."""

    @pytest.mark.parametrize(
        ("store", "told"),
        [
            (Bucket(call_s3=True), {"ContentType": "text/csv"}),
            (Bucket(protocol=("gs", "gcs")), {"content_type": "text/csv"}),
            (Bucket(other=True), {}),
            (Azure(), {"content_type": "text/csv"}),
        ],
        ids=["S3", "Google", "another", "Azure"],
    )
    def test_an_object_takes_one_request_that_says_what_it_is(
        self, monkeypatch: pytest.MonkeyPatch, store: Bucket, told: dict[str, str]
    ) -> None:
        monkeypatch.setitem(sys.modules, "azure.storage.blob", SimpleNamespace(ContentSettings=dict))
        monkeypatch.setattr(ObjectStoragePath, "fs", store)
        put("memory://bucket/a/report.csv")
        assert store.requests == [("/bucket/a/report.csv", NEW, told)]


class TestObjectPath:
    def test_a_url_or_a_local_path(self, tmp_path: Path) -> None:
        for path in (f"{tmp_path}/report.csv", f"file://{tmp_path}/report.csv", tmp_path / "report.csv"):
            assert object_path(path).path == f"{tmp_path}/report.csv"  # type: ignore[arg-type]

    def test_a_path_object_is_taken_as_it_is(self, tmp_path: Path) -> None:
        path = ObjectStoragePath(f"file://{tmp_path}/x")
        assert object_path(path) is path

    def test_the_connection_comes_from_the_url_or_beside_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pytest.importorskip("airflow.providers.amazon")
        monkeypatch.setenv("AIRFLOW_CONN_AWS_CONN", "aws://")
        assert str(object_path("s3://aws_conn@bucket/key")) == "s3://aws_conn@bucket/key"
        assert str(object_path("s3://bucket/key", "aws_conn")) == "s3://aws_conn@bucket/key"

    @pytest.mark.parametrize(("users", "used"), [(None, "false"), ("true", "true")])
    def test_google_is_not_asked_for_a_buckets_layout_unless_users_want_it(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, users: str | None, used: str
    ) -> None:
        monkeypatch.setattr(os, "environ", {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": users} if users else {})
        object_path(str(tmp_path / "x"))
        assert os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] == used

    @pytest.mark.parametrize(
        ("path", "told"),
        [
            *((path, "does not name an object") for path in ("", "  ", "s3://bucket/", "s3://bucket", "/tmp/")),
            ("/tmp/{{ ds }}.csv", "has a template in it that Airflow has not rendered"),
            ("nowhere://x/y", "nowhere://x/y' cannot be used"),
            ("s3://not_there@bucket/x.csv", "conn_id `not_there` isn't defined"),
            ("abfs://not_there@container/x.csv", "conn_id `not_there` isn't defined"),
            ("/tmp/x#", "Airflow reads it as /tmp/x"),
            ("s3://bucket/x?", "Airflow reads it as s3://bucket/x"),
            (["x"], "must be a string, not list"),
            (None, "must be a string, not NoneType"),
        ],
    )
    def test_what_cannot_be_used_is_told(self, path: Any, told: str) -> None:
        with pytest.raises(ApnsStorageError, match=told):
            object_path(path)


def test_what_is_there_is_in_the_way(tmp_path: Path) -> None:
    path = object_path(str(tmp_path / "report.csv"))
    check_free(path, overwrite=False)
    path.write_bytes(OLD)
    check_free(path, overwrite=True)
    with pytest.raises(ApnsStorageError, match=r"report\.csv already exists.*overwrite=True"):
        check_free(path, overwrite=False)


class StoreError(Exception):
    def __init__(self, text: str, status_code: int | None = None) -> None:
        super().__init__(text)
        self.status_code = status_code


def failing(error: Exception) -> Callable[..., None]:
    def fail(*args: object, **options: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "refusal",
    [
        PermissionError("No access"),
        StoreError("No access", 401),
        StoreError("No access", 403),
        StoreError("Forbidden: No access"),
    ],
)
def test_what_may_not_be_read_is_told(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refusal: Exception
) -> None:
    for method in ("cat_file", "ls"):
        monkeypatch.setattr(remote, method, failing(refusal))
    with pytest.raises(ApnsStorageError, match=rf"^/b cannot be listed \({refusal}\)"):
        list_folder(remote, "/b")
    assert read(object_path("memory://b/x.csv")) is None
    assert f"b/x.csv cannot be read ({refusal})" in caplog.text


@pytest.mark.parametrize("error", [OSError("No answer"), StoreError("Busy", 503)])
def test_what_fails_otherwise_is_not_taken_for_a_refusal(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for method in ("cat_file", "ls"):
        monkeypatch.setattr(remote, method, failing(error))
    for look in (lambda: read(object_path("memory://b/x.csv")), lambda: list_folder(remote, "/b")):
        with pytest.raises(type(error)) as raised:
            look()
        assert raised.value is error


def test_lineage_hears_of_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[object, str]] = []
    collector = SimpleNamespace(add_output_asset=lambda context, uri: heard.append((context, uri)))
    monkeypatch.setattr("airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", lambda: collector)
    path = object_path(f"file://{tmp_path}/report.csv")
    publish(path, NEW, "text/csv")
    assert heard == [(path, f"file://{tmp_path}/report.csv")]


def test_a_folder_is_listed_with_the_details_of_what_is_in_it(remote: Remote, tmp_path: Path) -> None:
    put(tmp_path / "x.csv")
    (entry,) = list_folder(fsspec.filesystem("file"), str(tmp_path))
    assert (entry["name"], entry["size"]) == (f"{tmp_path}/x.csv", len(NEW))
    put("memory://b/x.csv")
    (entry,) = list_folder(remote, "/b")
    assert (entry["name"], entry["size"]) == ("/b/x.csv", len(NEW))
    assert [entry["name"] for entry in list_folder(remote, "")] == ["/b"]
    assert list_folder(remote, "/c") == []
