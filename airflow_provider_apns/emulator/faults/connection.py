"""Connections that break, stall or send garbage."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web

from airflow_provider_apns.emulator.answers import body_of
from airflow_provider_apns.emulator.faults.fault import Scene, kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.abc import AbstractStreamWriter

_NO_LINGER = struct.pack("ii", 1, 0)


class _Raw(web.StreamResponse):
    """Sends bytes unchanged, and then ends the connection.

    ``steps`` are bytes to write and seconds to wait. ``status`` is for the ledger: the HTTP status in the bytes, if
    any.
    """

    def __init__(self, steps: Sequence[bytes | float], status: int = 0, *, reset: bool = False) -> None:
        super().__init__(status=status)
        self._steps = steps
        self._reset = reset

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self.force_close()
        if (transport := request.transport) is not None:
            for step in self._steps:
                if isinstance(step, bytes):
                    transport.write(step)
                else:
                    await asyncio.sleep(step)
            _end(transport, reset=self._reset)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing: everything has been written."""


def _end(transport: asyncio.Transport, *, reset: bool) -> None:
    if not reset:
        transport.close()
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


async def _spelled(scene: Scene) -> tuple[int, bytes, bytes]:
    """Return a genuine answer as bytes: its status, its head without the framing, and its body."""
    answer = await scene.genuine()
    body, headers = body_of(answer), dict(answer.headers)
    if answer.compression:
        body, headers["Content-Encoding"] = gzip.compress(body, mtime=0), "gzip"
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return answer.status, f"HTTP/1.1 {answer.status} {answer.reason}\r\n{''.join(lines)}".encode(), body


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


async def _half_of_it(scene: Scene, *pause: float, reset: bool = False) -> web.StreamResponse:
    """Promise the whole body, and send half of it."""
    status, head, body = await _spelled(scene)
    return _Raw([head + b"Content-Length: %d\r\n\r\n" % len(body) + _half(body), *pause], status, reset=reset)


@kind("reset", "connection reset before any answer")
async def _reset(scene: Scene) -> web.StreamResponse:
    return _Raw([], reset=True)


@kind("close", "connection closed before any answer")
async def _close(scene: Scene) -> web.StreamResponse:
    return _Raw([])


@kind("reset-body", "connection reset in the middle of the body")
async def _reset_body(scene: Scene) -> web.StreamResponse:
    # The half must be sent first: the reset discards what is still on its way.
    return await _half_of_it(scene, 0.02, reset=True)


@kind("stall", "the service does its work, but sends no answer for `seconds` (60)")
async def _stall(scene: Scene) -> web.StreamResponse:
    answer = await scene.genuine()
    await asyncio.sleep(scene.seconds(60))
    return answer


@kind("stall-body", "half of the body, then nothing for `seconds` (60), then the connection ends")
async def _stall_body(scene: Scene) -> web.StreamResponse:
    return await _half_of_it(scene, scene.seconds(60))


@kind("trickle", "one byte of the body every `seconds` (1)")
async def _trickle(scene: Scene) -> web.StreamResponse:
    status, head, body = await _spelled(scene)
    steps: list[bytes | float] = [head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)]
    for byte in body:
        steps += [bytes([byte]), scene.seconds(1)]
    return _Raw(steps, status)


@kind("cut-length", "body shorter than its Content-Length")
async def _cut_length(scene: Scene) -> web.StreamResponse:
    return await _half_of_it(scene)


@kind("cut-close", "body cut short without Content-Length: only the connection's end marks its end")
async def _cut_close(scene: Scene) -> web.StreamResponse:
    status, head, body = await _spelled(scene)
    return _Raw([head + b"Connection: close\r\n\r\n" + _half(body)], status)


@kind("cut-chunked", "chunked body without its last chunk")
async def _cut_chunked(scene: Scene) -> web.StreamResponse:
    status, head, body = await _spelled(scene)
    chunk = b"%x\r\n%b\r\n" % (len(_half(body)), _half(body))
    return _Raw([head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk], status)


@kind("garbage", "bytes that are not HTTP")
async def _garbage(scene: Scene) -> web.StreamResponse:
    return _Raw([b"\x16\x03\x01 this is not HTTP\r\n\r\n"])


@kind("bad-header", "the right answer with an invalid header line")
async def _bad_header(scene: Scene) -> web.StreamResponse:
    status, head, body = await _spelled(scene)
    wrong = b"this line is no header\r\n"
    return _Raw([head + wrong + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body], status)
