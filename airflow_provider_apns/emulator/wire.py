"""Answers, and the ways to bring them onto the wire: properly, or as a broken network would."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from airflow_provider_apns.emulator.body import Body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_provider_apns.emulator.apple import Apple, Export
    from airflow_provider_apns.emulator.faults import Fault

JSON = "application/json"

_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Answer:
    """One HTTP answer before it is sent.

    :param status: the HTTP status
    :param body: its body, not encoded
    :param content_type: its media type
    :param headers: further headers
    :param compressible: whether it is compressed for clients that accept it
    """

    status: int
    body: Body
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    compressible: bool = False

    @classmethod
    def of_json(cls, document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """Build an answer from a JSON document.

        :param document: what to serialise
        :param status: the HTTP status
        :param headers: further headers
        """
        return cls(status, Body(json.dumps(document).encode()), headers=headers or {})

    @property
    def all_headers(self) -> dict[str, str]:
        """Every header but those of framing and coding."""
        return {"Content-Type": self.content_type, **self.headers}


@lru_cache(maxsize=64)
def accepts_gzip(accept_encoding: str) -> bool:
    """Say whether a client takes gzip.

    :param accept_encoding: its header
    """
    qualities = {}
    for item in accept_encoding.lower().split(","):
        coding, _, parameter = item.partition(";")
        qualities[coding.strip()] = parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return qualities.get("gzip", qualities.get("*", False))


async def send(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Send an answer as it should be sent.

    :param request: what is answered
    :param answer: the answer
    """
    body, headers = answer.body, answer.all_headers
    packed = answer.compressible and accepts_gzip(request.headers.get("Accept-Encoding", ""))
    if packed:
        headers["Content-Encoding"] = "gzip"
    if body.is_small:
        return web.Response(status=answer.status, body=body.gzip() if packed else body.head, headers=headers)
    if not packed:
        headers["Content-Length"] = str(body.size)
    return await stream(request, answer.status, headers, body.gzip_chunks() if packed else body.chunks())


async def stream(
    request: web.BaseRequest, status: int, headers: Mapping[str, str], chunks: Iterable[bytes]
) -> web.StreamResponse:
    """Send an answer piece by piece, in bounded memory.

    :param request: what is answered
    :param status: the HTTP status
    :param headers: all headers but those of framing, unless there is a Content-Length
    :param chunks: the body as it goes over the wire
    """
    response = web.StreamResponse(status=status, headers=dict(headers))
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk)
        # A write that finds room in the socket returns without a pause; other clients want their turn.
        await asyncio.sleep(0)
    await response.write_eof()
    return response


class Scene:
    """One request that a fault has hit, and the means to spoil its answer.

    :param request: the request
    :param fault: the fault
    :param apple: the service
    :param act: answers the request by Apple's rules, with all that follows from it
    :param note: enters the HTTP status in the ledger
    """

    def __init__(
        self,
        request: web.BaseRequest,
        fault: Fault,
        apple: Apple,
        act: Callable[[], tuple[Answer, Export | None]],
        note: Callable[[int, Export | None], None],
    ) -> None:
        self.request = request
        self.fault = fault
        self.apple = apple
        self._act = act
        self._note = note
        self.export: Export | None = None
        self._answer: Answer | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port under which the client came."""
        return f"{self.request.scheme}://{self.request.host}"

    def genuine(self) -> Answer:
        """Let the service do its work, if it has not yet, and return the answer that it would give."""
        if self._answer is None:
            self._answer, self.export = self._act()
        return self._answer

    def encoded(self, answer: Answer) -> tuple[dict[str, str], bytes, int]:
        """Encode an answer for the wire: its headers, its bytes and its length; of a large one the beginning.

        :param answer: the answer
        """
        headers, body = answer.all_headers, answer.body
        if answer.compressible and accepts_gzip(self.request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            data = body.gzip() if body.is_small else next(body.gzip_chunks())
            return headers, data, len(data)
        return headers, body.head, body.size

    async def send(self, answer: Answer) -> web.StreamResponse:
        """Send an answer properly.

        :param answer: the answer
        """
        self._note(answer.status, self.export)
        return await send(self.request, answer)

    async def send_packed(self, data: bytes, answer: Answer, *, label: bool = True) -> web.StreamResponse:
        """Send bytes that were compressed already, or that pretend to be.

        :param data: the bytes
        :param answer: the answer that they stand for
        :param label: say so in a header
        """
        headers = {**answer.headers, "Content-Encoding": "gzip"} if label else answer.headers
        return await self.send(Answer(answer.status, Body(data), answer.content_type, headers))

    async def stream(self, answer: Answer, headers: Mapping[str, str], chunks: Iterable[bytes]) -> web.StreamResponse:
        """Send a large answer.

        :param answer: the answer
        :param headers: further headers
        :param chunks: its body as it goes over the wire
        """
        self._note(answer.status, self.export)
        return await stream(self.request, answer.status, {**answer.all_headers, **headers}, chunks)

    def begin(self, status: int, headers: Mapping[str, str], data: bytes = b"") -> None:
        """Write the beginning of an answer by hand, without a promise to end it.

        :param status: the HTTP status
        :param headers: all headers, framing included
        :param data: the beginning of the body
        """
        self._note(status, self.export)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.write("\r\n".join([*lines, "", ""]).encode() + data)

    def unanswered(self) -> None:
        """Enter in the ledger that there will be no answer."""
        self._note(0, self.export)

    def write(self, data: bytes) -> None:
        """Write bytes onto the connection, outside HTTP.

        :param data: the bytes
        """
        if self.request.transport is not None:
            self.request.transport.write(data)

    def close(self) -> web.StreamResponse:
        """End the connection in order, after what was written."""
        if self.request.transport is not None:
            self.request.transport.close()
        return web.Response()

    def reset(self) -> web.StreamResponse:
        """Break the connection: the client sees a reset."""
        transport = self.request.transport
        if transport is not None:
            connection = transport.get_extra_info("socket")
            if connection is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()
        return web.Response()

    async def pause(self, default: float) -> None:
        """Wait as long as the fault says.

        :param default: seconds, if it does not say
        """
        await asyncio.sleep(default if self.fault.seconds is None else self.fault.seconds)
