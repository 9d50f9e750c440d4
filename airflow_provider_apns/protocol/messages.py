"""What a transport carries: requests to send as they are, and the answers to them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TypeAlias, TypeVar

from airflow_provider_apns.protocol.trust import server_of

T = TypeVar("T")

MAX_ANSWER_BYTES = 1 << 20
"""An answer of the API is a few hundred bytes; one larger than this is not read to its end."""


@dataclass(frozen=True)
class HttpRequest:
    """
    A request for a transport to send as it is.

    :param what: what it is about, for errors.
    :param method: ``GET`` or ``POST``.
    :param url: where to, byte for byte; masked in the repr when it is a signed URL.
    :param headers: all headers but the transport's own.
    :param body: what to send.
    :param max_bytes: how much of the answer's body to read, at the most.
    """

    what: str
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None
    max_bytes: int = MAX_ANSWER_BYTES

    @cached_property
    def server(self) -> str:
        """The server, which may be shown where the URL may not."""
        return server_of(self.url)

    @property
    def target(self) -> str:
        """Path and query, byte for byte, as they are sent."""
        return self.url[len(self.server) :].partition("#")[0] or "/"


@dataclass(frozen=True)
class HttpAnswer:
    """
    What came back.

    :param status: the HTTP status.
    :param headers: the headers, names in any case.
    :param received_at: when it came.
    :param body: the body as it came over the wire: maybe compressed; cut off once it is longer than the request's
        ``max_bytes``.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    received_at: datetime
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """Return a header by its lower-case name."""
        return next((value for key, value in self.headers.items() if key.lower() == name), None)


Exchange: TypeAlias = Generator[HttpRequest, HttpAnswer, T]
"""
What a transport carries out: it sends each request that the generator yields, and sends the answer back in.

Thus each rule about what follows what is written once, for all transports.
"""
