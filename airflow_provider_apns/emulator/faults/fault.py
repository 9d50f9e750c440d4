"""Faults: something goes wrong at one endpoint, a number of times."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, fields
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from airflow_provider_apns.emulator.answers import json_answer, xml_error

if TYPE_CHECKING:
    from airflow_provider_apns.emulator.apple import Apple

ENDPOINTS = ("request", "status", "download")

LISTING = "channels"
"""The endpoint that lists channels. It is another service, whose faults are HTTP statuses or Apple's reasons."""

REASONS = {
    "FeatureNotEnabled": 400,
    "TopicDisallowed": 400,
    "BadEnvironmentKeyInToken": 403,
    "ExpiredProviderToken": 403,
    "InvalidProviderToken": 403,
    "TopicMismatch": 403,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "Shutdown": 503,
}
"""Apple's reasons at that endpoint, each with its HTTP status."""

_HTTP_STATUSES = {str(status.value) for status in HTTPStatus if status >= 200}


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong at one endpoint.

    :param endpoint: ``request``, ``status``, ``download`` or ``channels``
    :param kind: an HTTP status such as ``503``, or one of :data:`KINDS`; at ``channels``, one of :data:`REASONS`
    :param times: how many requests are hit; ``None`` hits all
    :param after: how many requests are let through first
    :param each: count ``times`` and ``after`` separately for each export (at ``request``, for each channel)
    :param match: hit only requests about this channel identifier, export id or dataset
    :param retry_after: the value of a ``Retry-After`` header, whatever it is
    :param seconds: how long a stall lasts, a trickle waits between bytes, or a download URL lives
    :param size: how many bytes a huge answer or a decompression bomb has
    :param location: where a redirect leads
    :param code: the redirect's HTTP status
    """

    endpoint: str
    kind: str
    _: KW_ONLY
    times: int | None = 1
    after: int = 0
    each: bool = False
    match: str | None = None
    retry_after: str | None = None
    seconds: float | None = None
    size: int | None = None
    location: str | None = None
    code: int | None = None

    def __post_init__(self) -> None:
        if self.endpoint not in (*ENDPOINTS, LISTING):
            raise ValueError(f"unknown endpoint {self.endpoint!r}: use {', '.join((*ENDPOINTS, LISTING))}")
        if self.kind in _HTTP_STATUSES or (self.endpoint == LISTING and self.kind in REASONS):
            return
        if self.endpoint == LISTING:
            raise ValueError(f"unknown kind {self.kind!r} at {LISTING}: use an HTTP status or {', '.join(REASONS)}")
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}: use an HTTP status or {', '.join(KINDS)}")
        if self.endpoint not in KINDS[self.kind].endpoints:
            raise ValueError(f"{self.kind} cannot happen at {self.endpoint}")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read a fault from its text form.

        :param text: ``endpoint:kind`` or ``endpoint:kind:option=value,…``, for example
            ``status:503:times=2,retry_after=3``; ``times=forever`` hits every request
        """
        endpoint, _, rest = text.partition(":")
        kind, _, options = rest.partition(":")
        # A comma separates only before another option, because an HTTP date in retry_after has one, too.
        pairs = [pair.partition("=") for pair in re.split(r",(?=[a-z_]+=)", options) if pair]
        return cls.from_json({"endpoint": endpoint, "kind": kind} | {name: value for name, _, value in pairs})

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Fault:
        """Read a fault from JSON.

        :param values: the fields; their values may be text
        """
        known = {field.name for field in fields(cls)}
        if unknown := values.keys() - known:
            raise ValueError(f"unknown option {', '.join(sorted(unknown))}: use {', '.join(sorted(known))}")
        if missing := {"endpoint", "kind"} - values.keys():
            raise ValueError(f"missing {', '.join(sorted(missing))}")
        return cls(**{name: _typed(name, value) for name, value in values.items()})


def _typed(name: str, value: Any) -> Any:
    if value is None or (name, value) == ("times", "forever"):
        return None
    if name in ("times", "after", "size", "code"):
        return int(value)
    if name == "seconds":
        return float(value)
    if name == "each":
        return str(value).lower() in ("1", "true", "yes")
    return str(value)


@dataclass(frozen=True)
class Scene:
    """One request that a fault has hit. The handler answers it by Apple's rules."""

    request: web.Request
    fault: Fault
    apple: Apple
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]

    @property
    def origin(self) -> str:
        """Scheme, host and port that the client used."""
        return f"{self.request.scheme}://{self.request.host}"

    def seconds(self, default: float) -> float:
        """Return the fault's seconds, or the default if it has none."""
        return default if self.fault.seconds is None else self.fault.seconds

    async def genuine(self) -> web.Response:
        """Let the service do its work, and return its answer."""
        answer = await self.handler(self.request)
        if not isinstance(answer, web.Response):
            raise TypeError(f"not an answer from Apple: {answer!r}")
        return answer


Trick = Callable[[Scene], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Kind:
    """One kind of fault. ``what`` says in a few words what it does.

    Some kinds replace the answer and leave the service alone, as a proxy or a firewall would. Others let the service do
    its work and then damage the answer: the export exists, but the client does not learn of it.
    """

    trick: Trick
    endpoints: tuple[str, ...]
    what: str


KINDS: dict[str, Kind] = {}


def kind(name: str, what: str, *endpoints: str) -> Callable[[Trick], Trick]:
    """Register a kind of fault. Without endpoints, it can happen at all of them."""

    def register(trick: Trick) -> Trick:
        KINDS[name] = Kind(trick, endpoints or ENDPOINTS, what)
        return trick

    return register


class FaultBook:
    """The injected faults, in order."""

    def __init__(self) -> None:
        self._faults: list[tuple[Fault, Counter[str | None]]] = []

    def inject(self, fault: Fault) -> None:
        """Add a fault after the others."""
        self._faults.append((fault, Counter()))

    def due(self, endpoint: str, names: tuple[str | None, ...]) -> Fault | None:
        """Return the fault that hits this request, if any, and count it.

        ``names`` are what the request is about. The first one tells exports apart, for faults that are counted for
        each.
        """
        for fault, seen in self._faults:
            if fault.endpoint == endpoint and fault.match in (None, *names):
                counter = names[0] if fault.each else None
                seen[counter] += 1
                turn = seen[counter] - fault.after
                if turn > 0 and (fault.times is None or turn <= fault.times):
                    return fault
        return None


async def play(scene: Scene) -> web.StreamResponse:
    """Let a fault happen."""
    if scene.fault.kind in KINDS:
        return await KINDS[scene.fault.kind].trick(scene)
    status = int(scene.fault.kind)
    phrase = HTTPStatus(status).phrase
    headers = {} if scene.fault.retry_after is None else {"Retry-After": scene.fault.retry_after}
    if scene.fault.endpoint == "download":
        return xml_error(status, phrase, headers)
    return json_answer({"reason": f"injected {phrase}"}, status, headers)
