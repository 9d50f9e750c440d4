"""Uploading an object to S3 in parts, several of them on their way at once."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future

PART_SIZE = 5 << 20
"""The smallest that S3 takes, so that several fit into memory. All but the last are equal: some stores want that."""

PARTS_AT_ONCE = 2


class MultipartUpload:
    """
    A binary file-like object whose bytes become an object, whole, when it is committed; until then it can be discarded.

    A file that s3fs opens for writing sends one part, waits for the answer, then sends the next; and does not say with
    which checksum the parts come, so that S3 has to make another one of the whole object.

    :param fs: the file system of s3fs, which signs, sends and tries again.
    :param path: bucket and key.
    """

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        self._path = path
        bucket, key, _ = fs.split_path(path)
        self._object = {"Bucket": bucket, "Key": key}
        self._checksum: str | None = None
        # Buffers are used again: with new ones for each part, the allocator keeps a third more memory than is in use.
        self._buffer = bytearray()
        self._filled = 0
        self._sending: deque[bytearray] = deque()
        self._upload: dict[str, str] | None = None
        self._parts: list[Future[dict[str, Any]]] = []
        self._threads = ThreadPoolExecutor(PARTS_AT_ONCE, "apns-upload")

    def write(self, data: bytes) -> int:
        """
        Take bytes, and send them once there are enough for a part.

        :raises Exception: of s3fs, if an earlier part could not be sent.
        """
        rest = memoryview(data).cast("B")
        size = rest.nbytes
        while rest:
            piece = rest[: PART_SIZE - self._filled]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            rest = rest[len(piece) :]
            if self._filled == PART_SIZE:
                self._send()
        return size

    def commit(self) -> None:
        """Publish the object; a small one in a single request."""
        if self._upload is None:
            self._fs.pipe_file(self._path, bytes(self._buffer))
        else:
            if self._filled:
                del self._buffer[self._filled :]
                self._send()
            parts = [
                {"PartNumber": number, **part.result()}  # in their order, whichever came first
                for number, part in enumerate(self._parts, 1)
            ]
            self._call("complete_multipart_upload", MultipartUpload={"Parts": parts})
            self._fs.invalidate_cache(self._path)
        self._threads.shutdown()

    def discard(self) -> None:
        """Leave nothing behind: wait for the parts that are on their way, then drop all of them."""
        self._threads.shutdown(cancel_futures=True)
        if self._upload is not None:
            self._call("abort_multipart_upload")

    def _send(self) -> None:
        if self._upload is None:
            self._begin()
        self._parts.append(self._threads.submit(self._send_part, len(self._parts) + 1, self._buffer))
        self._sending.append(self._buffer)
        if len(self._sending) > PARTS_AT_ONCE:
            self._parts[-len(self._sending)].result()
            self._buffer = self._sending.popleft()
        else:
            self._buffer = bytearray()
        self._filled = 0

    def _begin(self) -> None:
        named = self._fs.s3_additional_kwargs.get("ChecksumAlgorithm")
        self._checksum = named or _usual_checksum(self._fs)
        if self._create() == self._checksum or named:
            return
        # A store that does not confirm the checksum may misuse it: moto before 5.2 gives out that of the parts as the
        # object's, and whoever reads the object is told that it is broken.
        self._call("abort_multipart_upload")
        self._upload = self._checksum = None
        self._create()

    def _create(self) -> str | None:
        """Begin an upload, and return the checksum that the store says it will be checked by."""
        answer = self._call("create_multipart_upload", **self._checked)
        self._upload = {"UploadId": answer["UploadId"]}
        confirmed: str | None = answer.get("ChecksumAlgorithm")
        return confirmed if self._checksum else None

    def _send_part(self, number: int, data: bytearray) -> dict[str, Any]:
        answer = self._call("upload_part", PartNumber=number, Body=data, **self._checked)
        return {name: answer[name] for name in ("ETag", f"Checksum{self._checksum}") if name in answer}

    @property
    def _checked(self) -> dict[str, str]:
        return {"ChecksumAlgorithm": self._checksum} if self._checksum else {}

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._fs.call_s3(method, **self._object, **(self._upload or {}), **arguments)


def _usual_checksum(fs: Any) -> str | None:
    """Return what S3 is to check the parts by where the connection names nothing: what boto3's own uploads use."""
    # Not from the client: s3fs 2026.2 forgets the credentials if that is looked at before its first request.
    variable = "request_checksum_calculation"
    session = fs.session or import_module("botocore.session").get_session()
    when = fs.config_kwargs.get(variable) or session.get_config_variable(variable)
    # Where it is "when_required", the store knows no such checksums; an older botocore knows none itself.
    return "CRC32" if when and when.lower() == "when_supported" else None
