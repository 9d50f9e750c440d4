"""Faults that can be injected: which endpoint goes wrong how, and how often."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, fields
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_apns.emulator.mischief import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

ENDPOINTS = ("request", "status", "download")

FOREVER = "forever"

_STATUSES = {str(status.value) for status in HTTPStatus if status >= 200}


@dataclass(frozen=True, kw_only=True)
class _Options:
    times: int | None = 1
    after: int = 0
    each: bool = False
    match: str | None = None
    retry_after: str | None = None
    seconds: float | None = None
    size: int | None = None
    location: str | None = None
    code: int | None = None


@dataclass(frozen=True)
class Fault(_Options):
    """Something that goes wrong at one endpoint.

    :param endpoint: ``request``, ``status`` or ``download``
    :param kind: an HTTP status such as ``503``, or one of :data:`~.mischief.KINDS`
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

    def __post_init__(self) -> None:
        """Refuse what could never happen."""
        if self.endpoint not in ENDPOINTS:
            raise ValueError(f"unknown endpoint {self.endpoint!r}; there are {', '.join(ENDPOINTS)}")
        if not is_status(self.kind) and self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; there are HTTP statuses and {', '.join(KINDS)}")
        if self.kind in KINDS and self.endpoint not in KINDS[self.kind].endpoints:
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

    def concerns(self, names: Iterable[str | None]) -> bool:
        """Say whether a request is one of those that the fault is for.

        :param names: what the request is about: channel identifier, dataset, export id
        """
        return self.match is None or self.match in names


def is_status(kind: str) -> bool:
    """Say whether a kind is an HTTP status.

    :param kind: for example ``503``
    """
    return kind in _STATUSES


def kinds_for(endpoint: str) -> list[str]:
    """List the kinds of faults, but for HTTP statuses, that an endpoint can have.

    :param endpoint: ``request``, ``status`` or ``download``
    """
    return [name for name, kind in KINDS.items() if endpoint in kind.endpoints]


def _typed(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "times":
        return None if value == FOREVER else int(value)
    if name in ("after", "size", "code"):
        return int(value)
    if name == "seconds":
        return float(value)
    if name == "each":
        return str(value).lower() in ("1", "true", "yes")
    return str(value)


class FaultBook:
    """The faults that are due, in the order in which they were injected."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._faults = [(fault, Counter[str | None]()) for fault in faults]

    def inject(self, fault: Fault) -> None:
        """Add a fault behind those that are there.

        :param fault: what shall go wrong
        """
        self._faults.append((fault, Counter()))

    def clear(self) -> None:
        """Let everything go well again."""
        self._faults = []

    def __bool__(self) -> bool:
        """Whether there are faults at all."""
        return bool(self._faults)

    def due(self, endpoint: str, names: tuple[str | None, ...]) -> Fault | None:
        """Take the fault that hits this request, if there is one.

        :param endpoint: where the request came in
        :param names: what it is about; the first tells exports apart where faults are counted for each
        """
        for fault, seen in self._faults:
            if fault.endpoint == endpoint and fault.concerns(names):
                counter = names[0] if fault.each else None
                seen[counter] += 1
                turn = seen[counter] - fault.after
                if turn > 0 and (fault.times is None or turn <= fault.times):
                    return fault
        return None
