"""What a request orders: its JSON body, and everything that can be wrong with it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from airflow_provider_apns.emulator.datasets import Dataset

_DAY = timedelta(days=1)
_OLDEST = timedelta(days=30)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_MINUTES = "dataDownloadUrlExpiresInMinutes"


class Refusal(Exception):
    """Apple refuses a request."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Query:
    """What one CSV is about. The last day is included."""

    dataset: Dataset
    start: date
    end: date
    channel_id: str | None = None


@dataclass(frozen=True)
class Order:
    """What a valid request asks for. Two equal orders within 24 hours are one export."""

    query: Query
    minutes: int

    @property
    def names(self) -> tuple[str | None, ...]:
        """The names by which faults and fates can pick this order."""
        return (self.query.channel_id, self.query.dataset.name, self.query.dataset.segment)


def read_order(dataset: Dataset, body: bytes, today: date) -> Order:
    """Read the body of a request."""
    fields = _json_object(body)
    needed = {"startDate", "endDate"} | ({"channelId"} if dataset.per_channel else set())
    if missing := needed - fields.keys():
        raise Refusal(400, f"missing {', '.join(sorted(missing))}")
    if unknown := fields.keys() - needed - {_MINUTES}:
        raise Refusal(400, f"unexpected {', '.join(sorted(unknown))} for {dataset.segment}")
    start, end = _day(fields, "startDate"), _day(fields, "endDate")
    _check_range(start, end, today)
    minutes = fields.get(_MINUTES, 60)
    if type(minutes) is not int or not 20 <= minutes <= 60:
        raise Refusal(400, f"{_MINUTES} must be an integer from 20 to 60")
    return Order(Query(dataset, start, end, _channel_id(fields) if dataset.per_channel else None), minutes)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not JSON") from None
    if not isinstance(fields, dict):
        raise Refusal(400, "the body is not a JSON object")
    return fields


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


def _day(fields: dict[str, Any], key: str) -> date:
    value = fields[key]
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise Refusal(400, f"{key} must be a date in the form yyyy-MM-dd")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise Refusal(400, f"{key} is not a date in the calendar") from None


def _check_range(start: date, end: date, today: date) -> None:
    supported = f"the supported date range is {today - _OLDEST} to {today - _DAY}"
    if start < today - _OLDEST or end > today - _DAY:
        raise Refusal(400, f"{supported}, got {start} to {end}")
    if end <= start:
        raise Refusal(400, f"endDate must be later than startDate; {supported}")


def _channel_id(fields: dict[str, Any]) -> str:
    value = fields["channelId"]
    if not isinstance(value, str) or not value or not _BASE64.fullmatch(value):
        raise Refusal(400, "channelId must be base64")
    return value
