"""Publishing on file systems, and what is told before; tests/stores has the object stores."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
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
        steps: list[bool] = []
        real_fsync, path = os.fsync, tmp_path / "report.csv"
        monkeypatch.setattr(os, "fsync", lambda fd: (steps.append(path.exists()), real_fsync(fd)))
        put(path)
        assert steps == [False]

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
    """A file system without a way of its own to write whole objects, as SFTP's and HDFS's."""

    protocol = "remote"
    store: dict[str, Any] = {}  # noqa: RUF012
    pipe_file = fsspec.AbstractFileSystem.pipe_file


@pytest.fixture
def remote() -> Remote:
    Remote.store.clear()
    fs = Remote()
    attach("memory", fs)
    return fs


class TestRemoteFileSystems:
    def test_a_file_is_written_beside_and_moved(self, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
        moves: list[tuple[str, str]] = []
        real = remote.mv
        monkeypatch.setattr(remote, "mv", lambda a, b: (moves.append((a, b)), real(a, b)))
        put("memory://folder/report.csv")
        assert moves == [(moves[0][0], "/folder/report.csv")]
        assert moves[0][0].startswith("/folder/.apns-")
        assert remote.find("/folder") == ["/folder/report.csv"]

    def test_a_folder_is_no_destination(self, remote: Remote) -> None:
        remote.makedirs("/folder/x.csv")
        with pytest.raises(ApnsStorageError, match="is a folder"):
            put("memory://folder/x.csv")

    def test_a_file_without_a_folder_needs_none(self, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(remote, "makedirs", lambda *args, **kwargs: exec("raise OSError('not allowed')"))
        put("memory://report.csv")
        assert remote.cat_file("/report.csv") == NEW

    def test_a_failing_move_leaves_nothing_beside(self, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
        remote.pipe_file("/folder/report.csv", OLD)
        monkeypatch.setattr(remote, "mv", lambda a, b: exec("raise OSError('gone')"))
        with pytest.raises(ApnsWriteError, match="gone"):
            put("memory://folder/report.csv")
        assert {name: remote.cat_file(name) for name in remote.find("/folder")} == {"/folder/report.csv": OLD}


class ObjectStore(MemoryFileSystem):  # type: ignore[misc]
    """An object store, as s3fs and gcsfs are: it puts an object in one request, with what it is told about it."""

    store: dict[str, Any] = {}  # noqa: RUF012
    taken: tuple[bytes, dict[str, str]]

    def pipe_file(self, path: str, value: bytes, **about: str) -> None:
        self.taken = value, about

    def mv(self, *args: object) -> None:
        raise PermissionError("only to put objects is allowed")


class S3(ObjectStore):
    protocol = "s3s"

    def call_s3(self) -> None: ...


class Gcs(ObjectStore):
    protocol = ("gs", "gcs")


class Other(ObjectStore):
    protocol = "other"


class TestObjectStores:
    @pytest.mark.parametrize(
        ("store", "about"), [(S3, {"ContentType": "text/csv"}), (Gcs, {"content_type": "text/csv"}), (Other, {})]
    )
    def test_an_object_is_put_at_once_with_what_it_is(self, store: type[ObjectStore], about: dict[str, str]) -> None:
        fs = store()
        publish(SimpleNamespace(fs=fs, path="bucket/x.csv"), NEW, "text/csv")  # type: ignore[arg-type]
        assert fs.taken == (NEW, about)


class Answered(Exception):
    """What the libraries of Azure and Google raise: the HTTP status is an attribute, or in the text."""

    def __init__(self, text: str, status_code: int | None = None) -> None:
        super().__init__(text)
        self.status_code = status_code


class TestRights:
    @pytest.mark.parametrize(
        "refusal", [Answered("no", 403), Answered("no", 401), Answered("Forbidden: x"), PermissionError("no")]
    )
    def test_a_refusal_is_told(self, remote: Remote, monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> None:
        def refuse(*args: object, **kwargs: object) -> None:
            raise refusal

        monkeypatch.setattr(remote, "cat_file", refuse)
        monkeypatch.setattr(remote, "ls", refuse)
        assert read(object_path("memory://b/x.csv")) is None
        with pytest.raises(ApnsStorageError, match=r"^/b cannot be listed \(\w+"):
            list_folder(remote, "/b")

    def test_another_error_is_no_refusal(self, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
        for method in ("cat_file", "ls"):
            monkeypatch.setattr(remote, method, lambda *args, **kwargs: exec("raise ConnectionError('broken')"))
        with pytest.raises(ConnectionError, match="broken"):
            read(object_path("memory://b/x.csv"))
        with pytest.raises(ConnectionError, match="broken"):
            list_folder(remote, "/b")

    def test_a_folder_lists_what_is_in_it_and_none_that_is_not_there_nothing(self, remote: Remote) -> None:
        remote.pipe_file("/b/x.csv", NEW)
        assert [entry["name"] for entry in list_folder(remote, "/b")] == ["/b/x.csv"]
        assert "/b" in [entry["name"] for entry in list_folder(remote, "")]
        assert list_folder(remote, "/c") == []


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


def test_lineage_is_told_of_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat.lineage import hook

    told: list[dict[str, Any]] = []
    collector = SimpleNamespace(add_output_asset=lambda **asset: told.append(asset))
    monkeypatch.setattr(hook, "get_hook_lineage_collector", lambda: collector)
    path = object_path(str(tmp_path / "report.csv"))
    publish(path, NEW, "text/csv")
    assert told == [{"context": path, "uri": str(path)}]


def test_what_is_there_is_in_the_way(tmp_path: Path) -> None:
    path = object_path(str(tmp_path / "report.csv"))
    check_free(path, overwrite=False)
    path.write_bytes(OLD)
    check_free(path, overwrite=True)
    with pytest.raises(ApnsStorageError, match=r"report\.csv already exists.*overwrite=True"):
        check_free(path, overwrite=False)


def test_what_may_not_be_read_is_told(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = object_path("memory://b/x.csv")
    monkeypatch.setattr(path.fs, "cat_file", lambda *args: exec("raise PermissionError('Access Denied')"))
    assert read(path) is None
    assert "cannot be read (Access Denied)" in caplog.text
