"""What the scenario asks for, and how to tell by Apple's own CSV whether an object is the right one."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import duckdb

APP_ID = "com.example.app"
SUFFIXES = (".csv", ".jsonl", ".parquet")
COUNTS = ("Broadcasts Published", "Broadcasts Delivered", "Total Subscriptions")

Row = tuple[Any, ...]
Csv = Callable[..., bytes]


@dataclass(frozen=True)
class Asked:
    """
    One object that is asked for.

    :param dag_id: which DAG brings it
    :param key: where it shall be
    :param dataset: of which dataset
    :param first_day: the first day
    :param last_day: the last day
    :param channel_ids: of which channels
    """

    dag_id: str
    key: str
    dataset: str
    first_day: date
    last_day: date
    channel_ids: tuple[str, ...] = ()

    @property
    def exports(self) -> int:
        """How many exports it takes."""
        return len(self.channel_ids) or 1

    @property
    def conf(self) -> dict[str, Any]:
        """The configuration of a DAG run that brings it."""
        days = {"first_day": str(self.first_day), "last_day": str(self.last_day)}
        return {"key": self.key, "channel_ids": self.channel_ids, **days}

    def is_right(self, content: bytes, apple: Csv) -> bool:
        """Compare an object with what Apple has; ``apple`` gives the CSV for dataset, days and channel."""
        asked = self.dataset, self.first_day, self.last_day
        if not self.channel_ids:
            return content == apple(*asked)
        expected = [row for each in self.channel_ids for row in _rows(apple(*asked, each), each)]
        return _read(content, Path(self.key).suffix) == sorted(expected)


def _rows(report: bytes, channel_id: str) -> Iterable[Row]:
    """Normalise Apple's CSV, on the test's own account."""
    for line in csv.DictReader(io.StringIO(report.decode())):
        counts = [int(line[name]) for name in COUNTS]
        shown = [None if count == -1 else count for count in counts]
        yield date.fromisoformat(line["Date (UTC)"]), APP_ID, channel_id, *shown, -1 in counts


def _read(content: bytes, suffix: str) -> list[Row]:
    with NamedTemporaryFile(suffix=suffix) as file:
        file.write(content)
        file.flush()
        return duckdb.sql(f"SELECT * FROM '{file.name}'").fetchall()


def plan(today: date, channel_ids: Sequence[str], *, batches: int, mapped: int, three_tasks: int) -> list[Asked]:
    """Return everything that is asked for: each export once."""
    pairs = [(today - timedelta(days=back + 1), today - timedelta(days=back)) for back in range(2, 2 + three_tasks)]
    left = iter(channel_ids)
    size = (len(channel_ids) - mapped) // max(batches, 1)

    def channels(dag_id: str, number: int, count: int, suffix: str) -> Asked:
        days = today - timedelta(days=3), today - timedelta(days=2)
        return Asked(dag_id, f"{dag_id}-{number}{suffix}", "channel", *days, tuple(islice(left, count)))

    return [
        *(channels("batch", number, size, SUFFIXES[number % 3]) for number in range(batches)),
        *(channels("mapped", number, 1, ".csv") for number in range(mapped)),
        *(Asked("three_tasks", f"three_tasks-{days[0]}.csv", "application", *days) for days in pairs),
    ]


def runs(asked: Sequence[Asked]) -> list[tuple[str, dict[str, Any]]]:
    """Return the DAG runs, with their configurations, that bring all that; the mapped ones are a single run."""
    every = [(each.dag_id, each.conf) for each in asked if each.dag_id != "mapped"]
    if mapped := [each.conf for each in asked if each.dag_id == "mapped"]:
        every.append(("mapped", mapped[0] | {"key": "mapped", "exports": mapped}))
    return every
