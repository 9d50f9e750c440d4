"""The body of an HTTP answer: decompressed within bounds, and known to be whole."""

from __future__ import annotations

import zlib

from airflow_provider_apns.exceptions import ApnsReportTooLargeError, ApnsServiceError
from airflow_provider_apns.protocol.messages import MAX_ANSWER_BYTES, HttpAnswer
from airflow_provider_apns.protocol.texts import shorten

MAX_BYTES = 64 << 20
"""The largest decompressed report that is accepted unless a task says otherwise; Apple's have some hundred kB."""

_GZIP_MAGIC = b"\x1f\x8b"
_MOST_LAYERS = 3
_MOST_MEMBERS = 1000


def read_body(answer: HttpAnswer, max_bytes: int, what: str) -> bytes:
    """
    Decompress a body, and check that all of it came.

    An answer can be cut short in ways that HTTP libraries do not report: a gzip stream that ends early inside a
    well-framed body, or a connection that closes where only the close marks the end.

    :param answer: the answer.
    :param max_bytes: the largest decompressed size.
    :param what: what the body is, for errors.
    :raises ApnsServiceError: if the body was cut short, is damaged, or nothing in the answer can tell.
    :raises ApnsReportTooLargeError: if it is too large, before more than ``max_bytes`` are decompressed.
    """
    body = answer.body
    _check_size(body, max_bytes, what)
    _check_whole(answer, what)
    encoding = (answer.header("content-encoding") or "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise ApnsServiceError(f"The {what} came as {shorten(encoding, 20)!r}, although only gzip was asked for.")
    if "gzip" in encoding and body and not body.startswith(_GZIP_MAGIC):
        raise ApnsServiceError(f"The {what} is marked as gzip but is none.")
    return _unpack(body, max_bytes, what)


def read_answer(answer: HttpAnswer) -> bytes:
    """Return the body of an API answer: JSON, which tells by itself whether it is whole. Empty if it is broken."""
    try:
        return _unpack(answer.body, MAX_ANSWER_BYTES, "answer")
    except (ApnsServiceError, ApnsReportTooLargeError):
        return b""


def _unpack(body: bytes, max_bytes: int, what: str) -> bytes:
    _check_size(body, max_bytes, what)
    # A stored .csv.gz may be compressed once more in transit, and may come without the header that says so.
    for _ in range(_MOST_LAYERS):
        if not body.startswith(_GZIP_MAGIC):
            break
        body = _gunzip(body, max_bytes, what)
    return body


def _check_whole(answer: HttpAnswer, what: str) -> None:
    length, received = (answer.header("content-length") or "").strip(), len(answer.body)
    if length.isdecimal() and len(length) < 20:
        if received != int(length):
            raise ApnsServiceError(f"The {what} was cut short: {received} of {length} bytes came.")
        return
    is_chunked = "chunked" in (answer.header("transfer-encoding") or "").lower()
    if not is_chunked and not answer.body.startswith(_GZIP_MAGIC):
        raise ApnsServiceError(f"The {what} came without a length, so nothing tells whether it is whole.")


def _gunzip(data: bytes, max_bytes: int, what: str) -> bytes:
    # Not gzip.GzipFile, with which a batch of small reports takes a tenth longer.
    body, rest, members = b"", data, 0
    while rest and len(body) <= max_bytes:
        stream, members = zlib.decompressobj(wbits=31), members + 1
        try:
            body += stream.decompress(rest, max_bytes + 1 - len(body))
        except zlib.error as error:
            raise ApnsServiceError(f"The {what} has broken gzip data.") from error
        if not stream.eof and len(body) <= max_bytes:
            raise ApnsServiceError(f"The {what} was cut short: its compressed data does not end.")
        if members > _MOST_MEMBERS:  # such as nothing but empty ones, which take for ever
            raise ApnsServiceError(f"The {what} has broken gzip data.")
        rest = stream.unused_data
    _check_size(body, max_bytes, what)
    return body


def _check_size(body: bytes, max_bytes: int, what: str) -> None:
    if len(body) > max_bytes:
        raise ApnsReportTooLargeError(
            f"The {what} is larger than {max_bytes:,} bytes. Raise max_bytes if you expect such a size."
        )
