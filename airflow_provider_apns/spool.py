"""Rows of many reports, kept on the local disk until all of them are there, and given back in order."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

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
        for column in columns:
            if column not in self.columns:
                self._database.execute(f"ALTER TABLE rows ADD COLUMN {_definition(column)}")
                self.columns.append(column)
        names = ", ".join(_quoted(column.name) for column in columns)
        marks = ", ".join("?" for _ in columns)
        insert = f"INSERT INTO rows ({names}) VALUES ({marks})"  # noqa: S608 - the names are quoted
        cursor = self._database.executemany(insert, ([_stored(value) for value in row] for row in rows))
        self.rows += max(cursor.rowcount, 0)

    def read(self, partition: Sequence[str] = ()) -> Iterator[Row]:
        """
        Give the rows back, ordered by date and channel.

        :param partition: columns to order by before all others, so that each partition's rows come together.
        """
        present = {column.name for column in self.columns}
        keys = [*partition, *(key for key in SORT_KEYS if key in present and key not in partition)]
        order = ", ".join(_quoted(key) for key in keys)
        names = ", ".join(_quoted(column.name) for column in self.columns)
        kinds = [column.kind for column in self.columns]
        query = f"SELECT {names} FROM rows ORDER BY {order}"  # noqa: S608 - the names are quoted
        for row in self._database.execute(query):
            yield tuple(
                value if value is None or kind in ("string", "count") else _restored(value, kind)
                for value, kind in zip(row, kinds, strict=True)
            )


def _definition(column: Column) -> str:
    return f"{_quoted(column.name)} {'TEXT' if column.kind in ('string', 'date') else 'INTEGER'}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _stored(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def _restored(value: str | int, kind: str) -> date | bool:
    return date.fromisoformat(str(value)) if kind == "date" else bool(value)
