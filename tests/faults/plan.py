"""What the matrix tries: every fault at every endpoint, how often, and where."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from itertools import product
from typing import NamedTuple

from airflow_provider_apns.emulator.faults import KINDS
from tests.faults import certificates

ENDPOINTS = ("request", "status", "download")

TIMES = {"once": 1, "3 times": 3, "for ever": None}

CHANNELS = 100

MODES = {
    "worker": "worker, one export (`ApnsHook`)",
    "event loop": "triggerer, one export (`ApnsAsyncHook`)",
    "batch": f"triggerer, batch of {CHANNELS}",
    "batch, worker": f"worker, batch of {CHANNELS}",
}
"""``ApnsHook``; the operator and its trigger; the same for many channels; the same with ``deferrable=False``."""

STATUSES = ("400", "401", "403", "404", "408", "429", "500", "502", "503", "504")

RETRY_AFTER = {
    "a second": "1",
    "0": "0",
    "a date": format_datetime(datetime.now(timezone.utc) + timedelta(seconds=120), usegmt=True),
    "a date long ago": "Thu, 01 Jan 1970 00:00:00 GMT",
    "an hour": "3600",
    "10^9": "1000000000",
    "-1": "-1",
    "a word": "soon",
}

LOCATIONS = {
    "plain http elsewhere": "http://metrics.example.com/trap",
    "a file": "file:///etc/passwd",
    "a broken URL": "http://[::1",
}

NETWORK = (
    "connection refused",
    "unknown host name",
    "TLS with plain http",
    *(f"certificate {kind}" for kind in certificates.KINDS[1:]),
)

OPTIONS = {
    # Each longer than the scaled read timeout, or larger than a limit, but no more than that.
    "stall": "seconds=20",
    "stall-body": "seconds=20",
    "trickle": "seconds=0.0005",
    "huge-json": f"size={3 << 20}",
    "bomb": "size=1300000",
}
BOMB_OF_REPORT = f"size={16 << 20}"

LASTING = {
    "request": {"400", "401", "403", "404", "bad-url"},
    "status": {"400", "401", "403", "404", "failed", "bad-url"},
    "download": {"bomb", "redirect to plain http elsewhere", "redirect to a file", "redirect to a broken URL"},
}
"""What no second try can mend, so that the very first time ends the call."""

HARMLESS = {"gzip-unasked", "gzip-unlabelled", "trickle", "bad-timestamp", "url-undated", "url-expiring"}
"""What is no reason to fail at all, even for ever."""

LONG_WAIT = "429, Retry-After: an hour"
"""What is left to Airflow's retries, but while waiting for an export: so long a wait would hold a worker slot."""


def faults(endpoint: str) -> dict[str, str]:
    """Return every fault of an endpoint by its name, with its kind and options for the emulator."""
    options = OPTIONS | ({"bomb": BOMB_OF_REPORT} if endpoint == "download" else {})
    return {
        **{status: status for status in STATUSES},
        **{f"429, Retry-After: {name}": f"429:retry_after={value}" for name, value in RETRY_AFTER.items()},
        "503, Retry-After: a second": "503:retry_after=1",
        **{kind: f"{kind}:{options.get(kind, '')}" for kind in KINDS if endpoint in KINDS[kind].endpoints},
        **{f"redirect to {name}": f"redirect:location={url}" for name, url in LOCATIONS.items()},
        **{f"redirect with {code}": f"redirect:code={code}" for code in (303, 307, 308)},
        **dict.fromkeys(NETWORK, ""),
    }


class Cell(NamedTuple):
    """One field of the matrix."""

    endpoint: str
    fault: str
    times: str
    mode: str
    after: int = 0

    def __str__(self) -> str:
        return f"{self.place} · {self.fault} · {self.times} · {self.mode}"

    @property
    def place(self) -> str:
        """Which request it is about: each download begins with a look at the status, which can go wrong, too."""
        return f"{self.endpoint}{', at the download' if self.after else ''}"

    @property
    def is_network(self) -> bool:
        return self.fault in NETWORK

    @property
    def is_batch(self) -> bool:
        return self.mode.startswith("batch")

    @property
    def spec(self) -> str:
        """The fault as the emulator reads it."""
        kind, _, options = faults(self.endpoint)[self.fault].partition(":")
        counts = f"times={TIMES[self.times] or 'forever'},after={self.after},each={self.is_batch}"
        return f"{self.endpoint}:{kind}:{','.join(filter(None, (options, counts)))}"

    @property
    def must_mend(self) -> bool:
        """Whether the call has to end well in spite of the fault."""
        lasting = self.times == "for ever" or self.fault in LASTING[self.endpoint]
        left_to_airflow = self.fault == LONG_WAIT and not self.waits_longer
        return self.fault in HARMLESS or not (lasting or left_to_airflow)

    @property
    def waits_longer(self) -> bool:
        """Whether an export is waited for at the moment, so that even a long wait is no reason to give up."""
        return self.fault == LONG_WAIT and self.endpoint == "status" and self.mode != "worker" and not self.after


def cells() -> list[Cell]:
    """Return the whole matrix."""
    # Waiting alone is done in the triggerer or in the worker; all else is the same in both.
    modes = {each: [mode for mode in MODES if mode != "batch, worker" or each == "status"] for each in ENDPOINTS}
    whole = [Cell(each, *rest) for each in ENDPOINTS for rest in product(faults(each), TIMES, modes[each])]
    again = product(faults("status"), TIMES, ("worker", "event loop"))
    return whole + [Cell("status", *rest, after=1) for rest in again if rest[0] not in NETWORK]


def stratified() -> list[Cell]:
    """Return a part of the matrix: every fault once in the worker and once in the triggerer, and a few batches."""
    times, part = list(TIMES), []
    for endpoint in ENDPOINTS:
        for number, fault in enumerate(faults(endpoint)):
            for turn, mode in enumerate(("worker", "event loop")):
                later = endpoint == "status" and fault not in NETWORK and number % 4 == turn
                part.append(Cell(endpoint, fault, times[(number + turn) % 3], mode, int(later)))
    return part + [cell for cell in cells() if cell.is_batch][::97]
