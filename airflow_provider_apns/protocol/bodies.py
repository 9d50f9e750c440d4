"""The body of an HTTP answer: decompressed up to a limit, and checked to be complete."""

from __future__ import annotations

import re
import zlib

from airflow_provider_apns.exceptions import ApnsReportTooLargeError, ApnsServiceError
from airflow_provider_apns.protocol.messages import MAX_ANSWER_BYTES, HttpAnswer
from airflow_provider_apns.protocol.texts import shorten

MAX_BYTES = 64 << 20
"""The default limit for a decompressed report. Apple's have some hundred kB."""

_GZIP_MAGIC = b"\x1f\x8b"
_LENGTH = re.compile(r"\d{1,19}", re.ASCII)
_MOST_LAYERS = 3
_MOST_MEMBERS = 1000


def read_body(answer: HttpAnswer, max_bytes: int, what: str) -> bytes:
    """
    Decompress a body of at most ``max_bytes``, and check that all of it arrived.

    HTTP libraries do not notice every body that was cut short. A gzip stream may end early inside a well-framed body,
    or the end of the connection may be the only mark of the end.
    """
    body = answer.body
    _check_size(body, max_bytes, what)
    _check_whole(answer, what)
    encoding = (answer.header("content-encoding") or "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ApnsServiceError(f"The {what} is encoded as {shorten(encoding, 20)!r}, but only gzip was requested.")
    if "gzip" in encoding and body and not body.startswith(_GZIP_MAGIC):
        raise ApnsServiceError(f"The {what} is marked as gzip, but is not gzip.")
    return _unpack(body, max_bytes, what)


def read_answer(answer: HttpAnswer) -> bytes:
    """Return the body of an API answer, or ``b""`` if it is broken. Being JSON, it needs no check of its length."""
    try:
        return _unpack(answer.body, MAX_ANSWER_BYTES, "answer")
    except (ApnsServiceError, ApnsReportTooLargeError):
        return b""


def _unpack(body: bytes, max_bytes: int, what: str) -> bytes:
    _check_size(body, max_bytes, what)
    # A stored .csv.gz may be compressed again in transit, and no header needs to say so.
    for _ in range(_MOST_LAYERS):
        if not body.startswith(_GZIP_MAGIC):
            break
        body = _gunzip(body, max_bytes, what)
    return body


def _check_whole(answer: HttpAnswer, what: str) -> None:
    length, received = (answer.header("content-length") or "").strip(), len(answer.body)
    if _LENGTH.fullmatch(length):
        if received != int(length):
            raise ApnsServiceError(f"The {what} was cut short: {received} of {length} bytes arrived.")
        return
    is_chunked = "chunked" in (answer.header("transfer-encoding") or "").lower()
    if not is_chunked and not answer.body.startswith(_GZIP_MAGIC):
        raise ApnsServiceError(f"The {what} came without a length, so nothing shows whether it is complete.")


def _gunzip(data: bytes, max_bytes: int, what: str) -> bytes:
    # gzip.GzipFile makes a batch of small reports a tenth slower.
    body, rest, members = b"", data, 0
    while rest and len(body) <= max_bytes:
        stream, members = zlib.decompressobj(wbits=31), members + 1
        try:
            body += stream.decompress(rest, max_bytes + 1)
        except zlib.error as error:
            raise ApnsServiceError(f"The {what} has broken gzip data.") from error
        if not stream.eof and len(body) <= max_bytes:
            raise ApnsServiceError(f"The {what} was cut short: its compressed data is incomplete.")
        if members > _MOST_MEMBERS:  # Empty members could go on forever.
            raise ApnsServiceError(f"The {what} has broken gzip data.")
        rest = stream.unused_data
    _check_size(body, max_bytes, what)
    return body


def _check_size(body: bytes, max_bytes: int, what: str) -> None:
    if len(body) > max_bytes:
        raise ApnsReportTooLargeError(
            f"The {what} is larger than {max_bytes:,} bytes. Raise max_bytes if you expect reports of this size."
        )
