"""What a task reports: its return value, its log line, its metrics."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_apns import _compat
from airflow_provider_apns.batches.failures import CHANNELS_NAMED

if TYPE_CHECKING:
    from airflow_provider_apns.batches.batch import Batch
    from airflow_provider_apns.batches.publishing import Written

log = logging.getLogger(__name__)

PATHS_NAMED = 100


@dataclass
class Summary:
    """
    Adds up what was written.

    :param source: the app and the dataset, such as ``com.example.app/broadcastapplicationmetric``.
    :param template: the path with its placeholders.
    :param batch: the batch.
    :param token_expires_at: when the data export token expires, if the token says so.
    :param lost: the days that are not stored, and that Apple has deleted.
    """

    source: str
    template: str
    batch: Batch
    token_expires_at: datetime | None = None
    lost: list[date] = field(default_factory=list)
    objects: int = 0
    rows: int = 0
    rows_kept: int = 0
    bytes: int = 0
    _days: set[date] = field(default_factory=set)
    _days_unchanged: set[date] = field(default_factory=set)
    # Objects are written from the newest day to the oldest, and listed from the oldest to the newest.
    _named: deque[Written] = field(default_factory=lambda: deque(maxlen=PATHS_NAMED))

    def add(self, written: Written) -> None:
        """Add an object that was written."""
        self.objects += 1
        self.rows += written.rows
        self.rows_kept += written.rows_kept
        self.bytes += written.size
        self._days |= written.days
        self._days_unchanged |= written.days_unchanged
        self._named.appendleft(written)

    @property
    def named(self) -> list[Written]:
        """The first hundred objects."""
        return list(self._named)

    @property
    def path(self) -> str:
        """The path of the only object, or the template of several."""
        return self._named[0].path if self.objects == 1 else self.template

    @property
    def days(self) -> list[str]:
        """The days whose content is new or has changed."""
        return [str(day) for day in sorted(self._days)]

    @property
    def days_unchanged(self) -> list[str]:
        """The days that were written again with the same content."""
        return [str(day) for day in sorted(self._days_unchanged - self._days)]

    def tell(self, dataset: str, app_id: str, now: datetime) -> None:
        """
        Log what was written, and set Airflow's metrics (StatsD or OpenTelemetry, as the deployment has it).

        :param dataset: the metrics' tag ``dataset``.
        :param app_id: the metrics' tag ``app_id``.
        :param now: the current time.
        """
        kept = f", {self.rows_kept:,} of them kept from earlier runs" if self.rows_kept else ""
        log.info("Wrote %s rows%s to %s", f"{self.rows:,}", kept, self.path)
        figures = {
            "days_written": len(self.days),
            "days_unchanged": len(self.days_unchanged),
            "days_lost": len(self.lost),
            "rows": self.rows,
            "channels_missing": len(self.batch.missing),
            "channels_failed": len(self.batch.failed),
            "seconds_taken": round((now - self.batch.begun_at).total_seconds()),
        }
        if self.token_expires_at:
            figures["token_days_left"] = (self.token_expires_at - now).days
        for name, value in figures.items():
            _compat.gauge(f"apns.{name}", value, {"dataset": dataset, "app_id": app_id})

    def to_dict(self) -> dict[str, Any]:
        """Return the task's return value, which fits into an XCom."""
        return {
            "path": self.path,
            "paths": [written.path for written in self.named],
            "objects": self.objects,
            "rows": self.rows,
            "bytes": self.bytes,
            "sha256": self._named[0].sha256 if self.objects == 1 else None,
            "days": self.days,
            "days_unchanged": self.days_unchanged,
            "days_lost": [str(day) for day in self.lost],
            "rows_kept": self.rows_kept,
            "channels_requested": len([channel for channel in self.batch.wanted if channel]),
            "channels_exported": len(set(self.batch.channels)),
            "channels_missing": list(self.batch.missing),
            "channels_failed": {
                channel: failure.reason for channel, failure in islice(self.batch.failed.items(), CHANNELS_NAMED)
            },
            "token_expires_at": self.token_expires_at and self.token_expires_at.isoformat(),
        }
