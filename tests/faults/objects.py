"""The objects of the matrix: what is there before a field, and what has to be there when all has gone well."""

from __future__ import annotations

import csv
import io
from datetime import datetime, timedelta, timezone
from functools import cache

from airflow_provider_apns.emulator import Emulator
from tests.faults.plan import CHANNELS

TODAY = datetime.now(timezone.utc).date()
DAYS = {"first_day": TODAY - timedelta(days=3), "last_day": TODAY - timedelta(days=1)}


@cache
def served(mode: str) -> bytes:
    """Return the object that has to be there when all has gone well, made from what Apple serves."""
    apple, days, per_channel = Emulator(channels=CHANNELS), DAYS.values(), mode.startswith("batch")
    if mode == "worker":
        return apple.csv("application", *days)
    tables = {(apple.app_id,): apple.csv("application", *days)}
    if per_channel:
        tables = {(apple.app_id, each): apple.csv("channel", *days, each) for each in apple.channel_ids}
    rows: list[tuple[str, ...]] = []
    for labels, table in tables.items():
        header, *lines = csv.reader(io.StringIO(table.decode()))
        for day, *numbers in lines:
            shown = ["" if number == "-1" else number for number in numbers]
            rows.append((day, *labels, *shown, "true" if "-1" in numbers else "false"))
    names = ["date", "app_id", *(["channel_id"] if per_channel else [])]
    names += [name.lower().replace(" ", "_") for name in header[1:]]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[*names, "withheld"], *sorted(rows, key=lambda row: row[:3])])
    return text.getvalue().encode()


def object_of_before(mode: str) -> bytes:
    """Return an object that an earlier run may have written: of fewer rows, and with another last value."""
    head, row, *_ = served(mode).splitlines()
    return b"\n".join([head, row[: row.rindex(b",")] + b",true", b""])
