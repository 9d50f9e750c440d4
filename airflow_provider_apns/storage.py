"""Reading objects, and writing them whole or not at all, on any fsspec file system."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_apns._templates import has_template
from airflow_provider_apns.exceptions import ApnsError, ApnsStorageError, ApnsWriteError
from airflow_provider_apns.protocol.texts import shorten, without_secrets

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

log = logging.getLogger(__name__)


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


def object_path(path: str | ObjectStoragePath, conn_id: str | None = None) -> ObjectStoragePath:
    """
    Return a destination as an ``ObjectStoragePath``.

    :param path: a URL such as ``s3://conn_id@bucket/key`` or ``file:///tmp/x.csv``, or a local path.
    :param conn_id: the object store's connection, if the URL does not name it.
    :raises ApnsStorageError: if it does not name an object, or its file system or connection is missing.
    """
    from airflow.providers.common.compat.sdk import AirflowException, ObjectStoragePath

    if not isinstance(path, (str, os.PathLike, ObjectStoragePath)):
        raise ApnsStorageError(f"path must be a string, not {type(path).__name__}: {path!r:.80}.")
    text = str(path)
    if has_template(text):
        raise ApnsStorageError(f"path {text!r} has a template in it that Airflow has not rendered.")
    if not text.strip() or text.endswith("/"):
        raise _names_no_object(text)
    # Otherwise, gcsfs first looks up the bucket's layout, which needs another right, and may wait for a minute.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        if not isinstance(path, ObjectStoragePath):
            path = ObjectStoragePath(text, conn_id=conn_id) if conn_id else ObjectStoragePath(text)
        if named := conn_id or urlsplit(text).netloc.rpartition("@")[0]:
            _check_connection(named)
        fs = path.fs
    except ImportError as error:
        raise ApnsStorageError(f"path {text!r} needs a package that is not installed: {error}.") from error
    except (ValueError, FileNotFoundError, AirflowException) as error:
        raise ApnsStorageError(f"path {text!r} cannot be used: {error}.") from error
    if _puts_objects(fs) and "/" not in path.path.strip("/"):
        raise _names_no_object(text)
    if path.path.rpartition("/")[2] != text.rpartition("/")[2]:  # Airflow drops a part after some ? and #.
        raise ApnsStorageError(f"path {text!r} cannot be used: Airflow reads it as {path}. Choose another name.")
    return path


def _names_no_object(text: str) -> ApnsStorageError:
    return ApnsStorageError(f"path {text!r} does not name an object: give a full path such as s3://bucket/key.csv.")


@cache
def _check_connection(conn_id: str) -> None:
    """Check that a connection exists: for S3, Airflow would go on without it."""
    from airflow.providers.common.compat.sdk import BaseHook

    BaseHook.get_connection(conn_id)


def check_free(path: ObjectStoragePath, overwrite: bool) -> None:
    """
    Check that an object may be written.

    :raises ApnsStorageError: if it exists and ``overwrite`` is false.
    """
    if not overwrite and path.exists():
        raise ApnsStorageError(f"{path} already exists, and overwrite is false: remove it, or set overwrite=True.")


def read(path: ObjectStoragePath) -> bytes | None:
    """
    Return an object's content, or ``None`` if there is no object.

    Without the right to read it, the content is unknown: the result is ``None``, and the log says so.
    """
    try:
        return fetch(path)
    except PermissionError as error:
        log.warning("%s cannot be read (%s), so rows that this run does not have are not kept.", path, error)
        return None


def fetch(path: ObjectStoragePath) -> bytes | None:
    """
    Return an object's content, or ``None`` if there is no object.

    :raises PermissionError: without the right to read it.
    """
    try:
        content: bytes = path.fs.cat_file(path.path)
    except FileNotFoundError:
        return None
    except Exception as error:
        if _is_refusal(error):
            raise PermissionError(_detail(error)) from error
        raise
    return content


def list_folder(fs: Any, folder: str) -> list[dict[str, Any]]:
    """
    Return the entries of a folder, or none if there is no such folder.

    :raises ApnsStorageError: without the right to list it.
    """
    try:
        entries: list[dict[str, Any]] = fs.ls(folder or fs.root_marker, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except Exception as error:
        if isinstance(error, PermissionError) or _is_refusal(error):
            raise ApnsStorageError(
                f"{folder} cannot be listed ({_detail(error)}). To keep a path complete, the store's connection needs "
                "the right to list it: grant it, or give first_day and last_day."
            ) from error
        raise
    return entries


def _is_refusal(error: Exception) -> bool:
    """Tell whether the store denied access; Azure's and Google's libraries have no class for that."""
    return getattr(error, "status_code", None) in (401, 403) or str(error).startswith("Forbidden")


def _detail(error: Exception) -> str:
    return shorten(without_secrets(str(error))) or type(error).__name__


def publish(path: ObjectStoragePath, data: bytes, content_type: str) -> Download:
    """
    Write an object that readers see whole or not at all, even if the process dies.

    On an object store, the object is written in one request, which needs only the right to write that object. On a
    file system, it is written to a temporary file in the same folder, synced, and renamed.

    :param path: the destination; an existing object is replaced.
    :param data: the content.
    :param content_type: the content's media type, for stores that keep one.
    :raises ApnsStorageError: if the destination is a folder.
    :raises ApnsWriteError: if it cannot be written.
    """
    try:
        _write(path.fs, path.path, data, content_type)
    except ApnsError:
        raise
    except Exception as error:  # Each store has its own errors; they have no base class in common.
        raise ApnsWriteError(f"{path} could not be written: {_detail(error)}.") from error
    _report_lineage(path)
    return Download(str(path), len(data), hashlib.sha256(data).hexdigest())


def _write(fs: Any, target: str, data: bytes, content_type: str) -> None:
    if getattr(fs, "local_file", False):
        _write_local_file(target, data)
    elif hasattr(fs, "service_client"):  # adlfs
        _write_azure_blob(fs, target, data, content_type)
    elif _puts_objects(fs):
        fs.pipe_file(target, data, **_content_type_argument(fs, content_type))
    else:
        _write_remote_file(fs, target, data)


def _puts_objects(fs: Any) -> bool:
    """Tell whether a file system writes an object in one request, as object stores do: it has its own method for it."""
    base: Any = import_module("fsspec.asyn")
    if isinstance(fs, base.AsyncFileSystem):
        return type(fs)._pipe_file is not base.AsyncFileSystem._pipe_file
    return type(fs).pipe_file is not base.AbstractFileSystem.pipe_file


def _content_type_argument(fs: Any, content_type: str) -> dict[str, str]:
    if hasattr(fs, "call_s3"):  # s3fs
        return {"ContentType": content_type}
    return {"content_type": content_type} if "gs" in fs.protocol else {}


def _write_azure_blob(fs: Any, target: str, data: bytes, content_type: str) -> None:
    """Write without adlfs, which writes a name with brackets and then fails."""
    azure: Any = import_module("azure.storage.blob")
    container, _, name = target.lstrip("/").partition("/")

    async def upload() -> None:
        async with fs.service_client.get_blob_client(container, name) as blob:
            settings = azure.ContentSettings(content_type=content_type)
            await blob.upload_blob(data, overwrite=True, content_settings=settings)

    import_module("fsspec.asyn").sync(fs.loop, upload)


def _write_local_file(target: str, data: bytes) -> None:
    path = os.path.realpath(target)  # Follows a symbolic link.
    if os.path.isdir(path):
        raise ApnsStorageError(f"{target} is a folder: give the full path of the object.")
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    beside = os.path.join(folder, _name_beside())
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            os.chmod(beside, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


def _write_remote_file(fs: Any, target: str, data: bytes) -> None:
    if fs.isdir(target):  # A move would put the file into it.
        raise ApnsStorageError(f"{target} is a folder: give the full path of the object.")
    folder, slash, _ = target.rpartition("/")
    if folder:
        fs.makedirs(folder, exist_ok=True)
    beside = f"{folder}{slash}{_name_beside()}"
    try:
        with fs.open(beside, "wb") as file:
            file.write(data)
        fs.mv(beside, target)
    except BaseException:
        with suppress(Exception):  # If this fails, too, the first failure is the one to report.
            fs.rm_file(beside)
        raise


def _name_beside() -> str:
    # Hidden, and short: the object's own name may already have the longest length that is allowed.
    return f".apns-{uuid.uuid4().hex}.part"


def _report_lineage(path: ObjectStoragePath) -> None:
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    get_hook_lineage_collector().add_output_asset(context=path, uri=str(path))
