"""What a task tells of what it wrote."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from datetime import date, datetime
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

    :param source: what was exported, such as ``com.example.app/broadcastapplicationmetric``.
    :param template: the path with its placeholders.
    :param batch: what was asked for.
    :param token_expires_at: when the data export token expires, if it tells.
    :param lost: the days that Apple has no more.
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
    # Objects are written from the newest day to the oldest, and named the other way round.
    _named: deque[Written] = field(default_factory=lambda: deque(maxlen=PATHS_NAMED))

    def add(self, written: Written) -> None:
        """Take an object that was written."""
        self.objects += 1
        self.rows += written.rows
        self.rows_kept += written.rows_kept
        self.bytes += written.size
        self._days |= written.days
        self._named.appendleft(written)

    @property
    def named(self) -> list[Written]:
        """The first hundred objects."""
        return list(self._named)

    @property
    def path(self) -> str:
        """The one object's path, or the template of several."""
        return self._named[0].path if self.objects == 1 else self.template

    @property
    def days(self) -> list[str]:
        """The days whose content is new, or other than before."""
        return [str(day) for day in sorted(self._days)]

    @property
    def days_unchanged(self) -> list[str]:
        """The days that were wanted, and are as they were."""
        return [str(day) for day in self.batch.days if day not in self._days]

    def tell(self, dataset: str, app_id: str, now: datetime) -> None:
        """
        Log what was written, and count it in Airflow's metrics (StatsD, OpenTelemetry: what the deployment has).

        :param dataset: a tag of the metrics.
        :param app_id: the other tag.
        :param now: the current time.
        """
        kept = f", {self.rows_kept:,} of them kept from before" if self.rows_kept else ""
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
        """Return what the task returns; it fits into an XCom."""
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
            "channels_failed": dict(list(self.batch.failed.items())[:CHANNELS_NAMED]),
            "token_expires_at": self.token_expires_at and self.token_expires_at.isoformat(),
        }
