"""Publishing an object whole or not at all, on any fsspec store: write beside, verify, publish."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from airflow_provider_apns.exceptions import ApnsStorageError
from airflow_provider_apns.multipart import MultipartUpload

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

_ALL_OR_NOTHING = {"s3", "s3a", "gs", "gcs"}
"""Stores where an upload shows only once it is complete, and whose fsspec files can be discarded until then."""

_BLOCK_SIZE = 8 << 20

_PIECES_BEHIND = 8


@dataclass(frozen=True)
class Download:
    """
    An object that was written.

    :param path: where it is.
    :param size: bytes.
    :param sha256: of its content, in hexadecimal.
    """

    path: str
    size: int
    sha256: str


class ObjectWriter:
    """
    A binary file-like object that counts and hashes what is written to it.

    :param handle: where the bytes go.
    :param path: the object's final path.
    """

    def __init__(self, handle: IO[bytes], path: str) -> None:
        self._handle = handle
        self._hash = hashlib.sha256()
        self._path = path
        self._size = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        """Write bytes, and return how many."""
        self._handle.write(data)
        self._hash.update(data)
        self._size += memoryview(data).nbytes
        return memoryview(data).nbytes

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self._size

    def flush(self) -> None:
        """Do nothing: the object becomes visible as a whole, when it is published."""

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def readable(self) -> bool:
        """Return that it cannot be read."""
        return False

    def seekable(self) -> bool:
        """Return that it cannot seek."""
        return False

    def result(self) -> Download:
        """Return what was written so far."""
        return Download(self._path, self._size, self._hash.hexdigest())


def object_path(path: str | ObjectStoragePath, conn_id: str | None = None) -> ObjectStoragePath:
    """
    Return a destination as an ``ObjectStoragePath``.

    :param path: a URL such as ``s3://conn_id@bucket/key`` or ``file:///tmp/x.csv``, or a local path.
    :param conn_id: the object store's connection, if the URL does not name it.
    :raises ApnsStorageError: if it names no object.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    if isinstance(path, ObjectStoragePath):
        return path
    text = str(path)
    if not text.strip() or text.endswith("/"):
        raise ApnsStorageError(f"path {text!r} names no object: give a full path such as s3://bucket/key.csv.")
    return ObjectStoragePath(text, conn_id=conn_id) if conn_id else ObjectStoragePath(text)


def check_free(path: ObjectStoragePath, overwrite: bool) -> None:
    """
    Check that an object may be written.

    :raises ApnsStorageError: if it is there already and ``overwrite`` is false.
    """
    if not overwrite and path.exists():
        raise ApnsStorageError(f"{path} exists already and overwrite is false: remove it, or set overwrite=True.")


@contextmanager
def publishing(path: ObjectStoragePath) -> Iterator[ObjectWriter]:
    """
    Write an object that becomes visible, whole, only when the block ends without an exception.

    A plain ``with path.open("wb")`` would publish a truncated object on most stores when its block fails.

    :param path: the destination; what is there is replaced.
    :return: a context manager that yields the writer.
    """
    with _way_to_publish(path)(path.fs, path.path) as handle:
        yield ObjectWriter(handle, str(path))
    _report_lineage(path)


def _way_to_publish(path: ObjectStoragePath) -> Callable[[Any, str], AbstractContextManager[Any]]:
    if hasattr(path.fs, "call_s3"):  # the file system of s3fs
        return _upload_parts
    return _upload if path.protocol in _ALL_OR_NOTHING else _write_beside


@contextmanager
def writing_behind(write: Callable[[bytes], object]) -> Iterator[Callable[[bytes], None]]:
    """
    Write in a thread, so that one piece is hashed and stored while the next is received and decompressed.

    :param write: what writes, called with one piece at a time, in order.
    :return: a context manager that yields what to call instead; it raises, a few pieces later, what ``write`` raised.
        When the block ends without an exception, all has been written.
    """
    behind: deque[Future[object]] = deque()
    thread = ThreadPoolExecutor(1, "apns-write")

    def pass_on(piece: bytes) -> None:
        if len(behind) == _PIECES_BEHIND:
            behind.popleft().result()
        behind.append(thread.submit(write, piece))

    try:
        yield pass_on
        for written in behind:
            written.result()
    finally:
        thread.shutdown(cancel_futures=True)


@contextmanager
def _upload_parts(fs: Any, target: str) -> Iterator[MultipartUpload]:
    upload = MultipartUpload(fs, target)
    try:
        yield upload
        upload.commit()
    except BaseException:
        with suppress(Exception):  # A store that has failed may fail again; the first failure is the one to tell of.
            upload.discard()
        raise


@contextmanager
def _upload(fs: Any, target: str) -> Iterator[IO[bytes]]:
    handle = fs.open(target, "wb", block_size=_BLOCK_SIZE, autocommit=False)
    try:
        yield cast("IO[bytes]", handle)
        # Not ``close(); commit()``: closing with autocommit sends a small object in one request instead of three.
        handle.autocommit = True
        handle.close()
    except BaseException:
        # Marked as closed so that the garbage collector does not close, and thereby publish, it after all.
        handle.closed = True
        with suppress(Exception):  # A store that has failed may fail again; the first failure is the one to tell of.
            handle.discard()
        raise


@contextmanager
def _write_beside(fs: Any, target: str) -> Iterator[IO[bytes]]:
    if fs.isdir(target):  # A move would end inside of it.
        raise ApnsStorageError(f"{target} is a folder: give the full path of the object.")
    folder, slash, name = target.rpartition("/")
    beside = f"{folder}{slash}.{name}.{uuid.uuid4().hex}.part"
    try:
        with _create(fs, beside, folder) as handle:
            yield handle
            _sync(handle)
        fs.mv(beside, target)
    except BaseException:
        with suppress(Exception):
            fs.rm_file(beside)
        raise


def _create(fs: Any, path: str, folder: str) -> IO[bytes]:
    try:
        return cast("IO[bytes]", fs.open(path, "wb"))
    except FileNotFoundError:
        fs.makedirs(folder, exist_ok=True)
        return cast("IO[bytes]", fs.open(path, "wb"))


def _sync(handle: Any) -> None:
    """Bring a local file to the disk before it is renamed, so that a power cut leaves no empty file behind."""
    handle.flush()
    local_file = getattr(handle, "f", None)
    if isinstance(local_file, io.IOBase):
        os.fsync(local_file.fileno())


def _report_lineage(path: ObjectStoragePath) -> None:
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    get_hook_lineage_collector().add_output_asset(context=path, uri=str(path))
