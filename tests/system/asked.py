"""What the scenario asks for, and how to tell by Apple's own CSV whether an object is the right one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import Any

import pyarrow.parquet

APP_ID = "com.example.app"
COUNTS = ("Broadcasts Published", "Broadcasts Delivered", "Total Subscriptions")

Row = tuple[str, str, str, int | None, int | None, int | None, bool]
Csv = Callable[..., bytes]


@dataclass(frozen=True)
class Asked:
    """
    One object that is asked for.

    :param dag_id: which DAG brings it
    :param key: where it shall be
    :param dataset: of which dataset
    :param start: the first day
    :param end: the last day
    :param channel_ids: of which channels
    """

    dag_id: str
    key: str
    dataset: str
    start: date
    end: date
    channel_ids: tuple[str, ...] = ()

    @property
    def exports(self) -> int:
        """How many exports it takes."""
        return len(self.channel_ids) or 1

    def is_right(self, content: bytes, apple: Csv) -> bool:
        """Compare an object with what Apple has; ``apple`` gives the CSV for dataset, days and channel."""
        if self.dag_id == "three_tasks":
            return content == apple(self.dataset, self.start, self.end)
        expected: list[Row] = []
        for channel_id in self.channel_ids:
            expected += _rows(apple(self.dataset, self.start, self.end, channel_id), channel_id)
        return _READERS[self.key.rpartition(".")[2]](content) == sorted(expected)


def _rows(report: bytes, channel_id: str) -> Iterable[Row]:
    """Normalise Apple's CSV, on the test's own account."""
    for line in csv.DictReader(io.StringIO(report.decode())):
        counts = [int(line[name]) for name in COUNTS]
        published, delivered, subscriptions = (None if count == -1 else count for count in counts)
        yield line["Date (UTC)"], APP_ID, channel_id, published, delivered, subscriptions, -1 in counts


def _read_csv(content: bytes) -> list[Row]:
    def number(text: str) -> int | None:
        return int(text) if text else None

    return [
        (day, app, channel, number(published), number(delivered), number(subscriptions), withheld == "true")
        for day, app, channel, published, delivered, subscriptions, withheld in list(
            csv.reader(io.StringIO(content.decode()))
        )[1:]
    ]


def _read_jsonl(content: bytes) -> list[Row]:
    return [tuple(json.loads(line).values()) for line in content.splitlines()]  # type: ignore[misc]


def _read_parquet(content: bytes) -> list[Row]:
    rows = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    return [(row.pop("date").isoformat(), *row.values()) for row in rows]


_READERS: dict[str, Callable[[bytes], list[Row]]] = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}


def plan(
    today: date, channel_ids: Sequence[str], *, batches: int, from_trigger: int, mapped: int, three_tasks: int
) -> list[Asked]:
    """Return everything that is asked for: each export once."""
    newest = today - timedelta(days=2)
    windows = [
        (newest - timedelta(days=back + length), newest - timedelta(days=back))
        for length in range(1, 28)
        for back in range(27 - length)
    ]
    start, end = windows[0]
    left = iter(channel_ids)
    size = (len(channel_ids) - from_trigger - mapped) // max(batches, 1)

    def channels(dag_id: str, number: int, count: int = 1, suffix: str = "csv") -> Asked:
        return Asked(dag_id, f"{dag_id}-{number}.{suffix}", "channel", start, end, tuple(islice(left, count)))

    return [
        *(channels("batch", number, size, tuple(_READERS)[number % 3]) for number in range(batches)),
        *(channels("from_trigger", number) for number in range(from_trigger)),
        *(channels("mapped", number) for number in range(mapped)),
        *(
            Asked("three_tasks", f"three_tasks-{first}-{last}.csv", "application", first, last)
            for first, last in windows[:three_tasks]
        ),
    ]


def runs(asked: Sequence[Asked]) -> list[tuple[str, dict[str, Any]]]:
    """Return the DAG runs, with their configurations, that bring all that."""
    mapped = [each for each in asked if each.dag_id == "mapped"]
    every = [(each.dag_id, _conf(each)) for each in asked if each not in mapped]
    if mapped:
        exports = [{"channel_ids": each.channel_ids, "key": each.key} for each in mapped]
        every.append(("mapped", _conf(mapped[0]) | {"key": "mapped", "exports": exports}))
    return every


def _conf(each: Asked) -> dict[str, Any]:
    return {
        "key": each.key,
        "start": each.start.isoformat(),
        "end": each.end.isoformat(),
        "channel_ids": each.channel_ids,
    }
