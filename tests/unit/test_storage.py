from __future__ import annotations

import gc
import hashlib
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_apns import storage
from airflow_provider_apns.exceptions import ApnsStorageError
from airflow_provider_apns.multipart import MultipartUpload
from airflow_provider_apns.storage import Download, check_free, object_path, publishing, writing_behind

OLD, NEW = b"the old object", b"the new object"


class Folder:
    """A place in a store: what is there is what anybody can see."""

    def __init__(self, url: str) -> None:
        self.url = url

    def path(self, name: str = "report.csv") -> ObjectStoragePath:
        return ObjectStoragePath(f"{self.url}/{name}")

    def put(self, data: bytes) -> None:
        self.path().parent.mkdir(parents=True, exist_ok=True)
        self.path().write_bytes(data)

    def content(self) -> dict[str, bytes]:
        fs: Any = self.path().fs
        fs.invalidate_cache()
        root = self.path().path.rpartition("/")[0]
        if not fs.exists(root):
            return {}
        return {name.rpartition("/")[2]: fs.cat_file(name) for name in fs.find(root)}

    def open_uploads(self) -> int:
        return 0


class S3Folder(Folder):
    def __init__(self, url: str, server: Any) -> None:
        super().__init__(url)
        self.server = server

    def open_uploads(self) -> int:
        return len(self.server.client.list_multipart_uploads(Bucket=self.server.bucket).get("Uploads", ()))


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("s3fs")
    pytest.importorskip("airflow.providers.amazon")
    pytest.importorskip("moto.server")
    from tests.support.s3 import s3_server

    with s3_server(tmp_path_factory.mktemp("s3") / "s3.txt") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_STORE", server.connection)
        yield server


def attach_memory() -> None:
    """Teach ObjectStoragePath memory://, as users teach it a store of their own."""
    from fsspec.implementations.memory import MemoryFileSystem

    try:
        from airflow.sdk.io import attach
    except ImportError:  # Airflow 2
        from airflow.io.store import attach

    attach("memory", fs=MemoryFileSystem())


@pytest.fixture(params=["file", "memory", "s3", "s3 by its own file"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    name = uuid.uuid4().hex
    if request.param == "file":
        return Folder(f"file://{tmp_path}/{name}")
    if request.param == "memory":
        attach_memory()
        return Folder(f"memory://{name}")
    server = request.getfixturevalue("s3")
    if request.param == "s3 by its own file":  # as a file of Google Cloud Storage, too, is published
        monkeypatch.setattr(storage, "_way_to_publish", lambda path: storage._upload)
    return S3Folder(f"s3://store@{server.bucket}/{name}", server)


# Small objects go up in one request, larger ones in several parts.
sizes = pytest.mark.parametrize("size", [0, 1, 9 << 20], ids=["empty", "small", "large"])


class TestPublishing:
    @sizes
    def test_writes_an_object(self, folder: Folder, size: int) -> None:
        data = b"x" * size
        with publishing(folder.path()) as file:
            for start in range(0, size, 1 << 20):
                assert file.write(data[start : start + (1 << 20)]) == len(data[start : start + (1 << 20)])
        assert folder.content() == {"report.csv": data}
        assert file.result() == Download(str(folder.path()), size, hashlib.sha256(data).hexdigest())
        assert folder.open_uploads() == 0

    def test_replaces_an_object(self, folder: Folder) -> None:
        for data in (OLD, NEW):
            with publishing(folder.path()) as file:
                file.write(data)
        assert folder.content() == {"report.csv": NEW}

    def test_until_the_end_the_old_object_is_there(self, folder: Folder) -> None:
        folder.put(OLD)
        with publishing(folder.path()) as file:
            file.write(NEW * (1 << 20))
            assert folder.content()["report.csv"] == OLD

    def test_folders_are_made(self, folder: Folder) -> None:
        with publishing(folder.path("date=2026-03-01/channel=a-b_c/report.csv")) as file:
            file.write(NEW)
        assert folder.path("date=2026-03-01/channel=a-b_c/report.csv").read_bytes() == NEW

    @pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize(
        ("error", "written"),
        [(RuntimeError("in the block"), 0), (RuntimeError("in the block"), 10), (KeyboardInterrupt(), 9 << 20)],
    )
    def test_a_failing_block_leaves_the_old_object_and_nothing_beside(
        self, folder: Folder, error: BaseException, written: int
    ) -> None:
        folder.put(OLD)
        with pytest.raises(type(error)) as raised, publishing(folder.path()) as file:  # noqa: PT012
            for _ in range(0, written, 1 << 20):
                file.write(b"x" * min(written, 1 << 20))
            raise error
        assert raised.value is error
        del raised, file
        gc.collect()
        assert folder.content() == {"report.csv": OLD}
        assert folder.open_uploads() == 0

    @pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("written", [10, 9 << 20])
    def test_a_failing_block_leaves_nothing_where_nothing_was(self, folder: Folder, written: int) -> None:
        with pytest.raises(RuntimeError), publishing(folder.path()) as file:  # noqa: PT012
            file.write(b"x" * written)
            raise RuntimeError
        gc.collect()
        assert folder.content() == {}
        assert folder.open_uploads() == 0

    @pytest.mark.parametrize("written", [10, 9 << 20])
    def test_a_store_that_fails_on_close(self, folder: Folder, written: int, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.put(OLD)
        with pytest.raises(OSError, match="No space left"), publishing(folder.path()) as file:  # noqa: PT012
            file.write(b"x" * written)
            break_close(file._handle, monkeypatch)
        gc.collect()
        assert folder.content() == {"report.csv": OLD}
        assert folder.open_uploads() == 0

    def test_a_store_that_fails_in_the_last_step(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        if "s3" in folder.url:
            pytest.skip("there, closing is the last step")
        folder.put(OLD)

        def fail(*args: object, **kwargs: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(type(folder.path().fs), "mv", fail)
        with pytest.raises(OSError, match="No space left"), publishing(folder.path()) as file:
            file.write(NEW)
        assert folder.content() == {"report.csv": OLD}

    def test_takes_what_pyarrow_writes(self, folder: Folder) -> None:
        table = pyarrow.table({"count": list(range(1000))})
        with publishing(folder.path()) as file:
            pyarrow.parquet.write_table(table, file)
        (data,) = folder.content().values()
        assert pyarrow.parquet.read_table(pyarrow.BufferReader(data)) == table
        assert file.result() == Download(str(folder.path()), len(data), hashlib.sha256(data).hexdigest())

    def test_a_folder_is_not_a_destination(self, tmp_path: Path) -> None:
        (tmp_path / "reports").mkdir()
        with (
            pytest.raises(ApnsStorageError, match="is a folder"),
            publishing(object_path(f"file://{tmp_path}/reports")) as file,
        ):
            file.write(NEW)
        assert list(tmp_path.rglob("*")) == [tmp_path / "reports"]

    def test_a_file_on_the_disk_before_it_is_renamed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        steps = []
        real_fsync, path = os.fsync, tmp_path / "report.csv"
        monkeypatch.setattr(os, "fsync", lambda fd: (steps.append(path.exists()), real_fsync(fd)))
        with publishing(object_path(str(path))) as file:
            file.write(NEW)
        assert steps == [False]


def break_close(handle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the last step of a store's file fail, as a full disk or a failing service does."""

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    if isinstance(handle, MultipartUpload):
        fs, call_s3 = handle._fs, handle._fs.call_s3
        monkeypatch.setattr(fs, "pipe_file", fail)
        monkeypatch.setattr(
            fs, "call_s3", lambda method, **kw: fail() if method.startswith("complete") else call_s3(method, **kw)
        )
    elif hasattr(handle, "_upload_chunk") and hasattr(handle, "s3"):
        monkeypatch.setattr(handle, "_upload_chunk", fail)
    else:
        monkeypatch.setattr(handle, "flush", fail)


class TestWritingBehind:
    def test_all_is_written_in_order(self) -> None:
        written: list[bytes] = []
        with writing_behind(written.append) as write:
            for number in range(100):
                write(b"%d" % number)
        assert written == [b"%d" % number for number in range(100)]

    def test_no_more_than_a_few_pieces_wait(self) -> None:
        gate, begun = threading.Event(), []
        with writing_behind(lambda piece: gate.wait(60)) as write:
            producer = threading.Thread(target=lambda: [(write(b"x"), begun.append(1)) for _ in range(100)])
            producer.start()
            producer.join(0.2)
            waiting = len(begun)
            gate.set()
            producer.join()
        assert waiting < 10

    @pytest.mark.parametrize("pieces", [1, 100])
    def test_a_failure_to_write_is_raised_and_ends_the_writing(self, pieces: int) -> None:
        tried = []

        def fail(piece: bytes) -> None:
            tried.append(piece)
            raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space left"), writing_behind(fail) as write:  # noqa: PT012
            for _ in range(pieces):
                write(b"x")
        assert len(tried) < 20

    def test_when_the_block_fails_nothing_is_written_after_it(self) -> None:
        gate, written = threading.Event(), []

        def slowly(piece: bytes) -> None:
            gate.wait(0.05)
            written.append(piece)

        with pytest.raises(RuntimeError, match="cut"), writing_behind(slowly) as write:  # noqa: PT012
            for number in range(5):
                write(b"%d" % number)
            raise RuntimeError("cut")
        there = list(written)
        time.sleep(0.2)
        assert written == there


class TestObjectPath:
    def test_a_url_or_a_local_path(self, tmp_path: Path) -> None:
        for path in (f"{tmp_path}/report.csv", f"file://{tmp_path}/report.csv"):
            assert object_path(path).path == f"{tmp_path}/report.csv"

    def test_the_connection_comes_from_the_url_or_beside_it(self) -> None:
        assert str(object_path("s3://aws_conn@bucket/key")) == "s3://aws_conn@bucket/key"
        assert str(object_path("s3://bucket/key", "aws_conn")) == "s3://aws_conn@bucket/key"

    def test_a_path_object_is_taken_as_it_is(self) -> None:
        path = ObjectStoragePath("memory://a/b")
        assert object_path(path) is path

    @pytest.mark.parametrize("path", ["", "  ", "s3://bucket/", "/tmp/"])
    def test_what_names_no_object(self, path: str) -> None:
        with pytest.raises(ApnsStorageError, match="names no object"):
            object_path(path)


class TestOverwriting:
    def test_what_is_there_is_in_the_way(self, tmp_path: Path) -> None:
        path = object_path(str(tmp_path / "report.csv"))
        check_free(path, overwrite=False)
        path.write_bytes(OLD)
        check_free(path, overwrite=True)
        with pytest.raises(ApnsStorageError, match=r"report\.csv exists already.*overwrite=True"):
            check_free(path, overwrite=False)
