"""The body of an HTTP answer without I/O: decompressed in bounded memory, and known to be whole."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping

from airflow_provider_apns.exceptions import ApnsReportTooLargeError, ApnsServiceError

_FRAMING = ("content-encoding", "content-length", "transfer-encoding")
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 18


class BodyDecoder:
    """
    Decodes a body chunk by chunk, and tells at the end whether all of it was there.

    An answer can be cut short in ways that HTTP libraries do not report: a gzip stream that ends early inside a
    well-framed body, or a connection that closes where only the close marks the end.

    :param headers: the answer's headers.
    :param max_bytes: the largest decoded size.
    :param what: what the body is, for errors.
    """

    def __init__(self, headers: Mapping[str, str], max_bytes: int, what: str) -> None:
        fields = {name: value.strip() for key, value in headers.items() if (name := key.lower()) in _FRAMING}
        self._encoding = fields.get("content-encoding", "").lower()
        length = fields.get("content-length", "")
        self._expected = int(length) if length.isdecimal() and len(length) < 20 else None
        self._chunked = "chunked" in fields.get("transfer-encoding", "").lower()
        self._max_bytes = max_bytes
        self._what = what
        self._head: bytes | None = b""
        self._gzip: zlib._Decompress | None = None
        self.received = 0
        self.size = 0
        if self._encoding not in ("", "identity", "gzip", "x-gzip"):
            raise ApnsServiceError(f"The {what} came as '{self._encoding[:20]}', although only gzip was asked for.")

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """
        Take the next bytes off the wire and yield what they decode to, in pieces of bounded size.

        :raises ApnsServiceError: if the compressed data is broken.
        :raises ApnsReportTooLargeError: as soon as the decoded size passes ``max_bytes``.
        """
        self.received += len(chunk)
        # Compressed data can be larger than what it holds, and without an end: nothing but empty gzip members.
        if self.received > self._max_bytes + _PIECE:
            raise self._too_large()
        if self._head is not None:
            self._head += chunk
            if len(self._head) < len(_GZIP_MAGIC):
                return
            chunk = self._start()
        for piece in self._inflate(chunk) if self._gzip else (chunk,):
            yield self._count(piece)

    def rest(self) -> Iterator[bytes]:
        """Yield what was held back at the end of the body: all of one that is a single byte long."""
        if self._head:
            yield self._count(self._start())

    def check_whole(self) -> None:
        """
        Check that the body was whole.

        :raises ApnsServiceError: if it was not, or if nothing in the answer could tell.
        """
        if self._expected is not None and self.received != self._expected:
            raise ApnsServiceError(f"The {self._what} was cut short: {self.received} of {self._expected} bytes came.")
        if self._gzip is not None and not self._gzip.eof:
            raise ApnsServiceError(f"The {self._what} was cut short: its compressed data does not end.")
        if self._expected is None and not self._chunked and self._gzip is None:
            raise ApnsServiceError(f"The {self._what} came without a length, so nothing tells whether it is whole.")

    def _start(self) -> bytes:
        head, self._head = self._head or b"", None
        if head.startswith(_GZIP_MAGIC):
            self._gzip = _gunzip()
        elif "gzip" in self._encoding and head:
            raise ApnsServiceError(f"The {self._what} is marked as gzip but is none.")
        return head

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        more = bool(data)
        while more:
            if self._gzip is None or self._gzip.eof:
                self._gzip = _gunzip()
            try:
                piece = self._gzip.decompress(data, _PIECE)
            except zlib.error as error:
                raise ApnsServiceError(f"The {self._what} has broken gzip data.") from error
            if piece:
                yield piece
            data = self._gzip.unconsumed_tail or self._gzip.unused_data
            held_back = len(piece) == _PIECE and not self._gzip.eof
            more = bool(data) or held_back

    def _count(self, piece: bytes) -> bytes:
        self.size += len(piece)
        if self.size > self._max_bytes:
            raise self._too_large()
        return piece

    def _too_large(self) -> ApnsReportTooLargeError:
        return ApnsReportTooLargeError(
            f"The {self._what} is larger than {self._max_bytes:,} bytes. Raise max_bytes if such a size is real."
        )


class AnswerBody:
    """
    Collects the body of an API answer: a few hundred bytes of JSON, so that no more than ``max_bytes`` are kept.

    A body that cannot be decoded counts as empty; whether that is an error, the answer's status decides.

    :param headers: the answer's headers.
    :param max_bytes: the largest size that is read.
    """

    def __init__(self, headers: Mapping[str, str], max_bytes: int) -> None:
        self._headers = headers
        self._max_bytes = max_bytes
        self._raw = bytearray()

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes off the wire, and tell whether more are wanted."""
        self._raw += chunk
        return len(self._raw) <= self._max_bytes

    def decoded(self) -> bytes:
        """Return the body; empty if it is too large or broken."""
        raw = bytes(self._raw)
        if len(raw) > self._max_bytes:
            return b""
        if not raw.startswith(_GZIP_MAGIC) and "content-encoding" not in map(str.lower, self._headers):
            return raw  # as most are: a decoder costs more than all else that is done with so short a body
        try:
            decoder = BodyDecoder(self._headers, self._max_bytes, "answer")
            return b"".join((*decoder.feed(raw), *decoder.rest()))
        except (ApnsServiceError, ApnsReportTooLargeError):
            return b""


def _gunzip() -> zlib._Decompress:
    return zlib.decompressobj(wbits=31)
