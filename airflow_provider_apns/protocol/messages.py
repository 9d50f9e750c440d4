"""What a transport carries: requests, and the answers to them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TypeAlias, TypeVar

from airflow_provider_apns.protocol.trust import server_of

T = TypeVar("T")

MAX_ANSWER_BYTES = 1 << 20
"""The limit for an answer of the API, which has a few hundred bytes. A larger one is not read to its end."""


@dataclass(frozen=True)
class HttpRequest:
    """
    A request for a transport to send as it is.

    ``what`` is for errors. ``url`` is sent byte for byte, and masked in the repr if it is signed. ``headers`` has all
    headers but the transport's own. ``max_bytes`` is how much of the answer's body to read at most.
    """

    what: str
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None
    max_bytes: int = MAX_ANSWER_BYTES

    @cached_property
    def server(self) -> str:
        """The part of the URL that names the server. It may be shown even if the URL may not."""
        return server_of(self.url)

    @property
    def target(self) -> str:
        """The path and query, byte for byte as sent."""
        return self.url[len(self.server) :].partition("#")[0] or "/"


@dataclass(frozen=True)
class HttpAnswer:
    """
    The answer to a request. The names of its headers may be in any case.

    ``body`` is what came over the wire. It may be compressed, and is cut off once it exceeds the request's
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
A generator that a transport runs: it sends each request that the generator yields, and sends the answer back in.

In this way, each rule about the order of requests is written once for all transports.
"""
