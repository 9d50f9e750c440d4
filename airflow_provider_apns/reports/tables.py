"""Collects the rows of many reports, whose columns may differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_apns.reports.columns import Column, Row, Value

SORT_KEYS = ("date", "app_id", "channel_id", "push_type", "status")
"""Rows are sorted by date, then by channel, then by what tells them apart."""


class Table:
    """
    Rows of many reports. A row has nulls in columns that only other rows have.

    ``columns`` are the columns of every row. They exist even if there are no rows.
    """

    def __init__(self, columns: Iterable[Column]) -> None:
        self.columns = tuple(columns)
        self.rows: list[Row] = []

    def add(self, rows: Iterable[Row], columns: Sequence[Column]) -> None:
        """Add rows whose values are in these columns."""
        if columns == self.columns:
            self.rows += rows
            return
        new = tuple(column for column in columns if column not in self.columns)
        if new:
            self.columns += new
            self.rows = [(*row, *(None for _ in new)) for row in self.rows]
        places = [columns.index(column) if column in columns else None for column in self.columns]
        self.rows += [tuple(None if place is None else row[place] for place in places) for row in rows]

    def sort(self) -> None:
        """Sort the rows. The result does not depend on the order of the reports."""
        names = [column.name for column in self.columns]
        for key in reversed(SORT_KEYS):  # One key at a time takes a fifth less memory than all at once.
            if key in names:
                self.rows.sort(key=itemgetter(names.index(key)))

    def by(self, names: Sequence[str]) -> dict[tuple[Value, ...], list[Row]]:
        """Group the rows by the values of some columns."""
        values_of = self.values_of(names)
        groups: dict[tuple[Value, ...], list[Row]] = {}
        for row in self.rows:
            groups.setdefault(values_of(row), []).append(row)
        return groups

    def values_of(self, names: Sequence[str]) -> Callable[[Row], tuple[Value, ...]]:
        """Return a function that takes a row's values of some columns."""
        present = [column.name for column in self.columns]
        places = [present.index(name) for name in names]
        return lambda row: tuple(row[place] for place in places)
