"""What a fault is: one kind of mischief at one endpoint, some number of times."""

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
"""The endpoint that lists channels, which is another service: what can happen there is a status, or Apple's reason."""

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
"""Apple's reasons there, each with its HTTP status."""

_HTTP_STATUSES = {str(status.value) for status in HTTPStatus if status >= 200}


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong at one endpoint.

    :param endpoint: ``request``, ``status`` or ``download``; or ``channels``
    :param kind: an HTTP status such as ``503``, or one of :data:`KINDS`; at ``channels``, one of :data:`REASONS`
    :param times: how many requests are hit; ``None`` hits all
    :param after: how many requests are let through first
    :param each: count ``times`` and ``after`` for each export (or, at ``request``, each channel) on its own
    :param match: only requests about this channel identifier, export id or dataset
    :param retry_after: value of a ``Retry-After`` header, whatever it is
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
        """Refuse what could never happen."""
        if self.endpoint not in (*ENDPOINTS, LISTING):
            raise ValueError(f"unknown endpoint {self.endpoint!r}; there are {', '.join((*ENDPOINTS, LISTING))}")
        if self.kind in _HTTP_STATUSES or (self.endpoint == LISTING and self.kind in REASONS):
            return
        if self.endpoint == LISTING:
            raise ValueError(f"unknown kind {self.kind!r} there; there are HTTP statuses and {', '.join(REASONS)}")
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; there are HTTP statuses and {', '.join(KINDS)}")
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
        # Only a comma before another option separates: an HTTP date in retry_after has one of its own.
        pairs = [pair.partition("=") for pair in re.split(r",(?=[a-z_]+=)", options) if pair]
        return cls.from_json({"endpoint": endpoint, "kind": kind} | {name: value for name, _, value in pairs})

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Fault:
        """Read a fault from JSON or from words.

        :param values: the fields; values may be text
        """
        known = {field.name for field in fields(cls)}
        if unknown := values.keys() - known:
            raise ValueError(f"unknown option {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
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
    """One request that a fault has hit.

    :param request: the request
    :param fault: the fault
    :param apple: the service
    :param handler: answers the request by Apple's rules, with all that follows from it
    """

    request: web.Request
    fault: Fault
    apple: Apple
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]

    @property
    def origin(self) -> str:
        """Scheme, host and port under which the client came."""
        return f"{self.request.scheme}://{self.request.host}"

    def seconds(self, default: float) -> float:
        """Say how long something lasts.

        :param default: if the fault does not say
        """
        return default if self.fault.seconds is None else self.fault.seconds

    async def genuine(self) -> web.Response:
        """Let the service do its work, and return the answer that it would give."""
        answer = await self.handler(self.request)
        if not isinstance(answer, web.Response):
            raise TypeError(f"not an answer of Apple's: {answer!r}")
        return answer


Trick = Callable[[Scene], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    A kind that replaces the answer leaves the service alone, as a proxy or a firewall in between would. A kind
    that damages the answer lets the service do its work first: the export exists, only the client does not learn
    of it.

    :param trick: does it
    :param endpoints: where it can happen
    :param what: what it does, in a few words
    """

    trick: Trick
    endpoints: tuple[str, ...]
    what: str


KINDS: dict[str, Kind] = {}


def kind(name: str, what: str, *endpoints: str) -> Callable[[Trick], Trick]:
    """Register a kind of fault.

    :param name: how it is called in a fault specification
    :param what: what it does, in a few words
    :param endpoints: where it can happen; everywhere if none are given
    """

    def register(trick: Trick) -> Trick:
        KINDS[name] = Kind(trick, endpoints or ENDPOINTS, what)
        return trick

    return register


def kinds_for(endpoint: str) -> list[str]:
    """List the kinds of faults, but for HTTP statuses, that an endpoint can have.

    :param endpoint: ``request``, ``status`` or ``download``
    """
    return [name for name, kind in KINDS.items() if endpoint in kind.endpoints]


class FaultBook:
    """The faults that are due, in the order in which they were injected."""

    def __init__(self) -> None:
        self._faults: list[tuple[Fault, Counter[str | None]]] = []

    def inject(self, fault: Fault) -> None:
        """Add a fault behind those that are there.

        :param fault: what shall go wrong
        """
        self._faults.append((fault, Counter()))

    def clear(self) -> None:
        """Let everything go well again."""
        self._faults = []

    def due(self, endpoint: str, names: tuple[str | None, ...]) -> Fault | None:
        """Take the fault that hits this request, if there is one.

        :param endpoint: where the request came in
        :param names: what it is about: channel identifier, dataset, export id; the first tells exports apart where
            faults are counted for each
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
    """Let a fault happen.

    :param scene: the request that it has hit
    """
    if scene.fault.kind in KINDS:
        return await KINDS[scene.fault.kind].trick(scene)
    status = int(scene.fault.kind)
    phrase = HTTPStatus(status).phrase
    headers = {} if scene.fault.retry_after is None else {"Retry-After": scene.fault.retry_after}
    if scene.fault.endpoint == "download":
        return xml_error(status, phrase, headers)
    return json_answer({"reason": f"injected {phrase}"}, status, headers)
