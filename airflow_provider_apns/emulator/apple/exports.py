"""Exports, as Apple and the journal keep them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from airflow_provider_apns.emulator.apple.orders import Order, Query
from airflow_provider_apns.emulator.datasets import find_dataset


@dataclass
class Export:
    """One export. It is PROCESSING until ``ready_at``, and has its outcome from then on.

    ``number`` is how many exports there were before it. ``polls`` is how many status requests there were for it.
    """

    id: str
    order: Order
    requested_at: datetime
    ready_at: datetime
    outcome: str
    number: int = 0
    polls: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the export for the journal."""
        query = self.order.query
        return {
            "id": self.id,
            "dataset": query.dataset.name,
            "start": query.start.isoformat(),
            "end": query.end.isoformat(),
            "channel_id": query.channel_id,
            "minutes": self.order.minutes,
            "requested_at": self.requested_at.isoformat(),
            "ready_at": self.ready_at.isoformat(),
            "outcome": self.outcome,
            "number": self.number,
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Export:
        """Read an export that :meth:`to_json` returned."""
        days = date.fromisoformat(saved["start"]), date.fromisoformat(saved["end"])
        query = Query(find_dataset(saved["dataset"]), *days, saved["channel_id"])
        times = datetime.fromisoformat(saved["requested_at"]), datetime.fromisoformat(saved["ready_at"])
        return cls(saved["id"], Order(query, saved["minutes"]), *times, saved["outcome"], saved["number"])
