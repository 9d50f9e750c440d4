"""Which rows go into which object: one object for all, one per day, one per channel."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_apns._templates import has_template
from airflow_provider_apns.exceptions import ApnsInvalidRequestError
from airflow_provider_apns.protocol.channel_ids import file_name_of

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.datasets import Dataset
    from airflow_provider_apns.reports.columns import Row
    from airflow_provider_apns.reports.tables import Table

DATE, CHANNEL, APP, DATASET = "{date}", "{channel_id}", "{app_id}", "{dataset}"

PLACEHOLDERS = (DATE, CHANNEL, APP, DATASET)


class Key(NamedTuple):
    """
    Names an object of a layout.

    :param day: its day, if there is one object per day.
    :param channel_id: its channel, if there is one object per channel.
    """

    day: date | None = None
    channel_id: str | None = None


@dataclass(frozen=True)
class Layout:
    """
    Where rows are written.

    :param template: the path, with ``{date}`` for one object per day, ``{channel_id}`` for one per channel, both,
        or neither for a single object.
    """

    template: str

    @classmethod
    def read(cls, path: str, dataset: Dataset, app_id: str) -> Layout:
        """
        Read a DAG author's path, and fill in the app and the dataset.

        :raises ApnsInvalidRequestError: see :func:`check_path`.
        """
        check_path(path, dataset)
        return cls(path.replace(APP, app_id).replace(DATASET, dataset.short_name))

    @property
    def per_day(self) -> bool:
        """Whether there is one object per day."""
        return DATE in self.template

    @property
    def per_channel(self) -> bool:
        """Whether there is one object per channel."""
        return CHANNEL in self.template

    def keys(self, wanted: Mapping[str | None, Collection[date]]) -> list[Key]:
        """
        Return the keys of all objects, the newest day first. A day or channel without rows has an object, too.

        Because the oldest day is written last, a run that was interrupted wants the same window again, and so gets the
        same exports.

        :param wanted: the days of each channel.
        """
        keys = {
            Key(day if self.per_day else None, channel if self.per_channel else None)
            for channel, days in wanted.items()
            for day in days
        }
        return sorted(keys, key=lambda key: (str(key.day), str(key.channel_id)), reverse=True)

    def group(self, table: Table) -> dict[Key, list[Row]]:
        """Return the rows of each object."""
        columns = [name for name, wanted in (("date", self.per_day), ("channel_id", self.per_channel)) if wanted]
        groups: dict[Any, list[Row]] = table.by(columns)
        keys = {values: dict(zip(columns, values, strict=True)) for values in groups}
        return {Key(keys[v].get("date"), keys[v].get("channel_id")): rows for v, rows in groups.items()}

    def path_of(self, key: Key) -> str:
        """Return an object's path."""
        return self.template.replace(DATE, str(key.day)).replace(CHANNEL, file_name_of(key.channel_id or ""))


def check_path(path: str, dataset: Dataset) -> None:
    """
    Check the placeholders of a path.

    :raises ApnsInvalidRequestError: if it has an unknown placeholder, or ``{channel_id}`` for a dataset without
        channels.
    """
    if has_template(path):
        raise ApnsInvalidRequestError(f"path {path!r} has a template in it that Airflow has not rendered.")
    for placeholder in re.findall(r"\{[^{}]*\}", path):
        if placeholder not in PLACEHOLDERS:
            raise ApnsInvalidRequestError(
                f"path has the unknown placeholder {placeholder}: the known ones are {', '.join(PLACEHOLDERS)}."
            )
    if CHANNEL in path and not dataset.per_channel:
        raise ApnsInvalidRequestError(f"path has {CHANNEL}, but the {dataset.short_name} dataset has no channels.")
