"""What reached the emulator, for tests to check and for people to read."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RECORDS_KEPT = 500_000


class Record(NamedTuple):
    """One request that reached the emulator.

    :param time: when it was answered, in seconds since the epoch
    :param method: the HTTP method
    :param endpoint: ``request``, ``status``, ``download``, ``trap`` (a redirect's target), ``channels`` (a listing) or
        ``other``
    :param path: the path without its query, so that no signature is kept
    :param had_token: whether it had the token header
    :param status: the HTTP status of the answer; 0 if the connection ended without one
    :param export_id: the export that it was about, if any
    :param in_flight: how many requests were being served at that moment, including this one
    :param fault: the kind of the fault that hit it, if any
    """

    time: float
    method: str
    endpoint: str
    path: str
    had_token: bool
    status: int
    export_id: str | None
    in_flight: int
    fault: str | None = None


class Ledger:
    """Counts and records of everything that reached the emulator.

    :param journal: called with each entry, so that it survives the process
    """

    def __init__(self, journal: Callable[[dict[str, Any]], None] | None = None) -> None:
        self._journal = journal
        self.in_flight = 0
        self._forget()

    def _forget(self) -> None:
        self._records: deque[Record] = deque(maxlen=_RECORDS_KEPT)
        self._answers: Counter[tuple[str, int]] = Counter()
        self._violations: list[str] = []
        self.connections = 0
        self.exports_created = 0
        self.max_in_flight = 0

    def count(self, endpoint: str, status: int | None = None) -> int:
        """Count requests.

        :param endpoint: as in :class:`Record`
        :param status: count only the requests that got this status
        """
        answers = list(self._answers.items())
        return sum(n for (where, what), n in answers if where == endpoint and status in (None, what))

    @property
    def posts(self) -> int:
        """How many export requests came in, whatever the answer."""
        return self.count("request")

    @property
    def gets(self) -> int:
        """How many status requests came in, whatever the answer."""
        return self.count("status")

    @property
    def downloads(self) -> int:
        """How many download requests came in, whatever the answer."""
        return self.count("download")

    @property
    def listings(self) -> int:
        """How many requests to list channels came in, whatever the answer."""
        return self.count("channels")

    @property
    def records(self) -> list[Record]:
        """The latest requests, oldest first."""
        return list(self._records)

    @property
    def violations(self) -> list[str]:
        """What a client must never do, in words: the token was in the wrong place."""
        return list(self._violations)

    def as_dict(self, *, records: bool = False) -> dict[str, Any]:
        """Return the counts for JSON, and every record if ``records`` is true."""
        counts = ("posts", "exports_created", "gets", "downloads", "connections", "max_in_flight", "violations")
        summary = {name: getattr(self, name) for name in counts}
        summary["answers"] = {f"{endpoint} {status}": n for (endpoint, status), n in sorted(self._answers.items())}
        if records:
            summary["records"] = [record._asdict() for record in self.records]
        return summary

    @contextmanager
    def serving(self) -> Iterator[int]:
        """Count a request as in flight while it is served, and yield how many there are now."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            yield self.in_flight
        finally:
            self.in_flight -= 1

    def clear(self) -> None:
        """Forget all counts and records, except the requests in flight."""
        self.enter({"cleared": True})

    def enter(self, entry: dict[str, Any]) -> None:
        """Enter a ``record``, ``connection``, ``export`` or ``violation``. Anything else is for the journal only."""
        self.restore(entry)
        if self._journal is not None:
            self._journal(entry)

    def restore(self, entry: dict[str, Any]) -> None:
        """Count an entry, which may be from an earlier process."""
        if "record" in entry:
            record = Record(*entry["record"])
            self._records.append(record)
            self._answers[record.endpoint, record.status] += 1
            self.max_in_flight = max(self.max_in_flight, record.in_flight)
        elif "connection" in entry:
            self.connections += 1
        elif "export" in entry:
            self.exports_created += 1
        elif "violation" in entry:
            self._violations.append(entry["violation"])
        elif "cleared" in entry:
            self._forget()
