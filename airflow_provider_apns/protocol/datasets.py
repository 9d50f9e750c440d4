"""The datasets that Apple exports, and the columns of their reports."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from airflow_provider_apns.exceptions import ApnsInvalidRequestError

Kind = Literal["date", "timestamp", "string", "count", "boolean"]


class Dataset(str, Enum):
    """A dataset that Apple exports. The value is Apple's path segment, with its odd spelling."""

    APPLICATION = "broadcastapplicationmetric"
    CHANNEL = "broadcastchannelmetrics"
    DELIVERY = "deliverymetrics"

    @classmethod
    def parse(cls, value: str) -> Dataset:
        """Read a dataset's name: ``application``, ``channel`` or ``delivery``, or Apple's path segment."""
        for dataset in cls:
            if value in (dataset, dataset.value, dataset.short_name):
                return dataset
        known = ", ".join(f"'{dataset.short_name}'" for dataset in cls)
        raise ApnsInvalidRequestError(f"Unknown dataset {str(value)[:80]!r}. Apple exports {known}.")

    @property
    def short_name(self) -> str:
        """The name that users write: ``application``, ``channel`` or ``delivery``."""
        return self.name.lower()

    @property
    def per_channel(self) -> bool:
        """Whether each export is about one channel."""
        return self is Dataset.CHANNEL

    @property
    def has_withheld(self) -> bool:
        """Whether Apple withholds counts of this dataset to keep people anonymous."""
        return self is not Dataset.DELIVERY


_BROADCASTS: tuple[tuple[str, Kind], ...] = (
    ("Date (UTC)", "date"),
    ("Broadcasts Published", "count"),
    ("Broadcasts Delivered", "count"),
    ("Total Subscriptions", "count"),
)

APPLE_COLUMNS: dict[Dataset, tuple[tuple[str, Kind], ...]] = {
    Dataset.APPLICATION: (*_BROADCASTS, ("Unique Subscribers", "count")),
    Dataset.CHANNEL: _BROADCASTS,
    Dataset.DELIVERY: (("Date (UTC)", "date"), ("Push Type", "string"), ("Status", "string"), ("Count", "count")),
}
"""The documented columns of each report, the date first. Apple may change their order and add more."""
