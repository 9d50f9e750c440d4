"""The normalised columns: Apple's in snake_case, and those that say which app and channel a row is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from itertools import count
from typing import TypeAlias

from airflow_provider_apns.protocol.datasets import APPLE_COLUMNS, Dataset, Kind

Value: TypeAlias = "bool | int | str | date | None"
Row: TypeAlias = tuple[Value, ...]


@dataclass(frozen=True)
class Column:
    """A column of the normalised output. Its name is in snake_case."""

    name: str
    kind: Kind


def snake_case(name: str) -> str:
    """Return a column's normalised name: ``Date (UTC)`` becomes ``date``, ``Push Type`` becomes ``push_type``."""
    if name == "Date (UTC)":
        return "date"
    cleaned = re.sub(r"[^0-9a-z]+", "_", name.strip().lower()).strip("_") or "column"
    return f"apple_{cleaned}" if cleaned in ("app_id", "channel_id", "withheld") else cleaned


@cache
def documented_columns(dataset: Dataset) -> tuple[Column, ...]:
    """Return the normalised columns of Apple's report, without those that Apple may add later."""
    return (
        *(Column(snake_case(name), kind) for name, kind in APPLE_COLUMNS[dataset]),
        *((Column("withheld", "boolean"),) if dataset.has_withheld else ()),
    )


@lru_cache(maxsize=8)  # Ten thousand reports share the same columns.
def labelled(columns: tuple[Column, ...], dataset: Dataset) -> tuple[Column, ...]:
    """Return a report's columns, with ``app_id`` (and ``channel_id``) after the date."""
    names = ("app_id", "channel_id") if dataset.per_channel else ("app_id",)
    return (columns[0], *(Column(name, "string") for name in names), *columns[1:])


@cache
def normalised_columns(dataset: Dataset) -> tuple[Column, ...]:
    """Return the columns that every object of a dataset has."""
    return labelled(documented_columns(dataset), dataset)


def added_columns(names: Iterable[str], dataset: Dataset) -> Iterator[Column]:
    """Normalise the names of columns that Apple added. Number those that would clash."""
    taken = {column.name for column in documented_columns(dataset)}
    for base in map(snake_case, names):
        name = next(name for n in count(1) if (name := base if n == 1 else f"{base}_{n}") not in taken)
        taken.add(name)
        yield Column(name, "string")
