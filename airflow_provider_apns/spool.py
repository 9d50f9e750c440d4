"""Rows of many reports, kept on the local disk until all of them are there, and given back in order."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_apns.reports import Column, Row

SORT_KEYS = ("date", "channel_id", "push_type", "status")
"""Rows come by date, then channel, then what tells them apart; those that a report lacks are passed over."""


class Spool(AbstractContextManager["Spool"]):
    """
    Collects rows in a temporary SQLite file, so that memory stays bounded however many channels there are.

    A report may bring columns that earlier ones did not have; rows without them have nulls there.

    :param columns: the columns that every row has, even when there are no rows at all.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = list(columns)
        self.rows = 0
        self._inserted: tuple[Column, ...] = ()
        self._insert = ""
        self._dates: list[int] = []

    def __enter__(self) -> Spool:
        self._folder = tempfile.TemporaryDirectory(prefix="apns-")
        self._database = sqlite3.connect(Path(self._folder.name) / "rows.sqlite", isolation_level=None)
        # The file is scratch: it is thrown away with the process, so nothing has to survive a crash.
        self._database.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8192;")
        # One transaction for all there is: nobody else reads the file.
        self._database.execute("BEGIN")
        self._database.execute(f"CREATE TABLE rows ({', '.join(map(_definition, self.columns))})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()
        self._folder.cleanup()

    def add(self, rows: Iterable[Row], columns: Sequence[Column]) -> None:
        """
        Keep rows.

        :param rows: the rows.
        :param columns: what their values are, in the same order.
        """
        if columns != self._inserted:
            self._prepare(tuple(columns))
        cursor = self._database.executemany(self._insert, self._stored(rows))
        self.rows += max(cursor.rowcount, 0)

    def _prepare(self, columns: tuple[Column, ...]) -> None:
        """Make room for columns that are new, and keep the statement: most reports have the same ones."""
        for column in columns:
            if column not in self.columns:
                self._database.execute(f"ALTER TABLE rows ADD COLUMN {_definition(column)}")
                self.columns.append(column)
        names = ", ".join(_quoted(column.name) for column in columns)
        marks = ", ".join("?" for _ in columns)
        self._insert = f"INSERT INTO rows ({names}) VALUES ({marks})"  # noqa: S608 - the names are quoted
        self._inserted = columns
        self._dates = [index for index, column in enumerate(columns) if column.kind == "date"]

    def _stored(self, rows: Iterable[Row]) -> Iterator[list[Any]]:
        for row in rows:
            values = list(row)
            for index in self._dates:
                values[index] = str(values[index])
            yield values

    def read(self, partition: Sequence[str] = ()) -> Iterator[Row]:
        """
        Give the rows back, ordered by date and channel.

        :param partition: columns to order by before all others, so that each partition's rows come together.
        """
        present = {column.name for column in self.columns}
        keys = [*partition, *(key for key in SORT_KEYS if key in present and key not in partition)]
        order = ", ".join(_quoted(key) for key in keys)
        names = ", ".join(_quoted(column.name) for column in self.columns)
        restored = [
            (index, _RESTORE[column.kind]) for index, column in enumerate(self.columns) if column.kind in _RESTORE
        ]
        query = f"SELECT {names} FROM rows ORDER BY {order}"  # noqa: S608 - the names are quoted
        for row in self._database.execute(query):
            values = list(row)
            for index, restore in restored:
                if values[index] is not None:
                    values[index] = restore(values[index])
            yield tuple(values)


_RESTORE: dict[str, Callable[[Any], date | bool]] = {"date": date.fromisoformat, "boolean": bool}
"""How to get back what SQLite keeps as something else."""


def _definition(column: Column) -> str:
    return f"{_quoted(column.name)} {'TEXT' if column.kind in ('string', 'date') else 'INTEGER'}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
