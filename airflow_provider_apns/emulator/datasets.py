"""Apple's three datasets."""

from __future__ import annotations

from dataclasses import dataclass

_DATE = "Date (UTC)"


@dataclass(frozen=True)
class Dataset:
    """One of Apple's datasets: its short name, its path segment in Apple's spelling, its columns in Apple's order."""

    name: str
    segment: str
    columns: tuple[str, ...]

    @property
    def per_channel(self) -> bool:
        """Whether an export is about one channel, which the request must name."""
        return self is CHANNEL


CHANNEL = Dataset(
    "channel",
    "broadcastchannelmetrics",
    (_DATE, "Broadcasts Published", "Broadcasts Delivered", "Total Subscriptions"),
)
APPLICATION = Dataset("application", "broadcastapplicationmetric", (*CHANNEL.columns, "Unique Subscribers"))
DELIVERY = Dataset("delivery", "deliverymetrics", ("Push Type", "Status", _DATE, "Count"))

DATASETS = (APPLICATION, CHANNEL, DELIVERY)


def find_dataset(name: str) -> Dataset:
    """Find a dataset by its short name or by Apple's path segment."""
    for dataset in DATASETS:
        if name in (dataset.name, dataset.segment):
            return dataset
    raise ValueError(f"unknown dataset {name!r}: use {', '.join(each.name for each in DATASETS)}")
