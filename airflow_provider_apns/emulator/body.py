"""Bodies of any size in bounded memory: a head, a block that repeats, and a tail."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LEVEL = 5


@dataclass(frozen=True)
class Body:
    """The bytes of an answer.

    :param head: the beginning, and with no repeats and no tail all there is
    :param block: what follows, again and again
    :param repeats: how many times
    :param tail: the end
    """

    head: bytes
    block: bytes = b""
    repeats: int = 0
    tail: bytes = b""

    @property
    def is_small(self) -> bool:
        """Whether the head is all there is, so that no streaming is needed."""
        return not self.repeats

    @property
    def size(self) -> int:
        """Length in bytes, before any compression."""
        return len(self.head) + len(self.block) * self.repeats + len(self.tail)

    def __bytes__(self) -> bytes:
        """Return the whole body; for a large one think twice."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the body piece by piece."""
        yield self.head
        for _ in range(self.repeats):
            yield self.block
        if self.tail:
            yield self.tail

    def gzip(self) -> bytes:
        """Return a small body compressed, the same bytes every time."""
        return gzip.compress(bytes(self), compresslevel=_LEVEL, mtime=0)

    def gzip_chunks(self) -> Iterator[bytes]:
        """Yield the body as one gzip member.

        A block that ends in a full flush refers to nothing before it, so it is compressed once and sent many
        times: serving a gigabyte costs its checksum, not its compression.
        """
        yield _GZIP_HEAD + _deflate(self.head)
        checksum = zlib.crc32(self.head)
        packed = _deflate(self.block)
        for _ in range(self.repeats):
            yield packed
            checksum = zlib.crc32(self.block, checksum)
        checksum = zlib.crc32(self.tail, checksum)
        yield _deflate(self.tail, zlib.Z_FINISH) + struct.pack("<II", checksum, self.size & 0xFFFFFFFF)


@lru_cache(maxsize=8)
def _deflate(data: bytes, flush: int = zlib.Z_FULL_FLUSH) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush(flush)
