"""Gzip that is broken, not requested, not labelled, or a bomb."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

from aiohttp import web

from airflow_provider_apns.emulator.answers import body_of
from airflow_provider_apns.emulator.faults.fault import Scene, kind

if TYPE_CHECKING:
    from collections.abc import Callable

_MEBIBYTE = 1 << 20


def _packed(name: str, what: str, change: Callable[[bytes], bytes] = bytes, *, label: bool = True) -> None:
    @kind(name, what)
    async def send(scene: Scene) -> web.StreamResponse:
        answer = await scene.genuine()
        return _compressed(answer, change(gzip.compress(body_of(answer), mtime=0)), label=label)


def _compressed(answer: web.Response, data: bytes, *, label: bool = True) -> web.Response:
    coding = {"Content-Encoding": "gzip"} if label else {}
    return web.Response(body=data, status=answer.status, headers={**answer.headers, **coding})


def _broken(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 8]) + data[middle + 8 :]


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


_packed("broken-gzip", "gzip that is damaged in the middle", _broken)
_packed("cut-gzip", "gzip that ends early, with correct framing", _cut)
_packed("gzip-unasked", "gzip whether it was requested or not; complete and labelled")
_packed("gzip-unlabelled", "gzip without the header that says so", label=False)


@kind("bomb", "a body that decompresses to `size` bytes (1 GiB)")
async def _bomb(scene: Scene) -> web.StreamResponse:
    answer = await scene.genuine()
    filler = body_of(answer).splitlines(keepends=True)[-1] if scene.fault.endpoint == "download" else b" "
    block = filler * (_MEBIBYTE // len(filler))
    repeats = (scene.fault.size or 1024 * _MEBIBYTE) // len(block)
    compressor = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    head = compressor.compress(body_of(answer)) + compressor.flush(zlib.Z_FULL_FLUSH)
    packed = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    # After a full flush, a block refers to nothing before it. A client that gets as far as the checksum has been hit.
    return _compressed(answer, head + packed * repeats)
