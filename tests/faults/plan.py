"""What the matrix tries: every fault at every endpoint, how often, and where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

from airflow_provider_apns.emulator.faults import kinds_for
from tests.faults import certificates

ENDPOINTS = ("request", "status", "download")

TIMES = {"once": 1, "3 times": 3, "for ever": None}

MODES = ("worker", "event loop", "batch", "batch, worker")
"""ApnsHook; one export through the operator and its trigger; 200 channels so; the same with ``deferrable=False``."""

STATUSES = ("400", "401", "403", "404", "408", "429", "500", "502", "503", "504")

_OPTIONS: dict[str, dict[str, Any]] = {
    # Each longer than the scaled read timeout, or small enough for a scaled run.
    "stall": {"seconds": 20},
    "stall-body": {"seconds": 20},
    "trickle": {"seconds": 0.0005},
    "huge-json": {"size": 3 << 20},
}


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, by the emulator (``kind`` and ``options``) or on the way to it (``network``)."""

    name: str
    kind: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    network: str = ""


def faults(endpoint: str) -> list[Fault]:
    """Return every fault of an endpoint."""
    return [
        *(Fault(status, status) for status in STATUSES),
        *_rate_limits(),
        *(Fault(kind, kind, _options(kind, endpoint)) for kind in kinds_for(endpoint)),
        *_redirects(),
        *_network(),
    ]


def _options(kind: str, endpoint: str) -> tuple[tuple[str, Any], ...]:
    if kind == "bomb":
        # More than the limit of a report, or of an answer.
        return (("size", 16 << 20 if endpoint == "download" else 1_300_000),)
    return tuple(_OPTIONS.get(kind, {}).items())


def _rate_limits() -> list[Fault]:
    later = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=120), usegmt=True)
    values = {
        "a second": "1",
        "0": "0",
        "a date": later,
        "a date long ago": "Thu, 01 Jan 1970 00:00:00 GMT",
        "an hour": "3600",
        "10^9": "1000000000",
        "-1": "-1",
        "a word": "soon",
    }
    named = [Fault(f"429, Retry-After: {name}", "429", (("retry_after", value),)) for name, value in values.items()]
    return [*named, Fault("503, Retry-After: a second", "503", (("retry_after", "1"),))]


def _redirects() -> list[Fault]:
    places = {
        "plain http elsewhere": "http://metrics.example.com/trap",
        "a file": "file:///etc/passwd",
        "a broken URL": "http://[::1",
    }
    named = [Fault(f"redirect to {name}", "redirect", (("location", url),)) for name, url in places.items()]
    return [*named, *(Fault(f"redirect with {code}", "redirect", (("code", code),)) for code in (303, 307, 308))]


def _network() -> list[Fault]:
    tls = [f"certificate {kind}" for kind in certificates.KINDS[1:]]
    return [
        Fault(name, network=name) for name in ("connection refused", "unknown host name", "TLS with plain http", *tls)
    ]


LASTING = {
    "request": {"400", "401", "403", "404", "bad-url"},
    "status": {"400", "401", "403", "404", "failed", "bad-url"},
    "download": {"bomb", "redirect to plain http elsewhere", "redirect to a file", "redirect to a broken URL"},
}
"""What no second try can mend, so that the very first time ends the call."""

LONG_WAIT = "429, Retry-After: an hour"
"""What is left to Airflow's retries, but while waiting for an export: so long a wait would hold a worker slot."""

HARMLESS = {
    "gzip-unasked",
    "gzip-unlabelled",
    "trickle",
    "bad-timestamp",
    "url-undated",
    "url-expiring",
}
"""What is no reason to fail at all, even for ever."""


@dataclass(frozen=True)
class Cell:
    """One field of the matrix."""

    endpoint: str
    fault: Fault
    times: str
    mode: str
    after: int = 0

    def __str__(self) -> str:
        where = f"{self.endpoint}{' at the download' if self.after else ''}"
        return f"{where} · {self.fault.name} · {self.times} · {self.mode}"

    @property
    def must_mend(self) -> bool:
        """Whether the call has to end well in spite of the fault."""
        if self.fault.name in HARMLESS:
            return True
        lasting = self.fault.name in LASTING[self.endpoint] | {"bad-number"}
        left_to_airflow = self.fault.name == LONG_WAIT and not self.waits_longer
        return self.times != "for ever" and not lasting and not left_to_airflow

    @property
    def waits_longer(self) -> bool:
        """Whether an export is waited for at the moment, so that even a long wait is no reason to give up."""
        waiting = self.endpoint == "status" and self.mode != "worker" and not self.after
        return waiting and self.fault.name == LONG_WAIT


def cells() -> list[Cell]:
    """Return the whole matrix."""
    whole = [
        Cell(endpoint, fault, times, mode)
        for endpoint in ENDPOINTS
        for fault in faults(endpoint)
        for times in TIMES
        for mode in MODES
        # Waiting alone is done in the triggerer or in the worker; all else is the same in both.
        if mode != "batch, worker" or endpoint == "status"
    ]
    # Each download begins with a look at the status, which can go wrong, too.
    again = [
        Cell("status", fault, times, mode, after=1)
        for fault in faults("status")
        for times in TIMES
        for mode in ("worker", "event loop")
        if not fault.network
    ]
    return whole + again


def stratified() -> list[Cell]:
    """Return a part of the matrix: every fault once in the worker and once in the triggerer, and a few batches."""
    times = list(TIMES)
    singles = [
        Cell(
            endpoint,
            fault,
            times[(number + turn) % 3],
            mode,
            after=int(endpoint == "status" and not fault.network and number % 4 == turn),
        )
        for endpoint in ENDPOINTS
        for number, fault in enumerate(faults(endpoint))
        for turn, mode in enumerate(("worker", "event loop"))
    ]
    return singles + [cell for cell in cells() if cell.mode.startswith("batch")][::97]
