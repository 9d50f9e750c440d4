"""What tests of several modules need."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any, TypeVar

from airflow_provider_apns.protocol.account import Account
from airflow_provider_apns.protocol.messages import Exchange, HttpAnswer, HttpRequest

T = TypeVar("T")

NOW = datetime(2026, 3, 10, 18, 1, tzinfo=timezone.utc)
TODAY = NOW.date()
DAY = timedelta(days=1)
TOKEN = "an-opaque-data-export-token"
CHANNEL_ID = "+/8AAAAAAAAAAAAAAAAAAA=="
STATUS_URL = "https://api.icloud.apple.com/v1/status/1"
SIGNED_URL = "https://store.example.com/data.csv?Expires=1&Signature=s3cret"


def today() -> date:
    return datetime.now(timezone.utc).date()


def day(offset: int) -> str:
    """A day as a DAG author writes it: -1 is yesterday."""
    return (today() + timedelta(days=offset)).isoformat()


def traceback_with_locals(error: BaseException) -> str:
    """What structured logs and rich show of an error: its frames, but the tests' own, with local variables; its causes."""  # noqa: E501
    shown = []
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and each not in seen:
            seen.append(each)
            waiting += [each.__cause__, None if each.__suppress_context__ else each.__context__]
            summary = traceback.TracebackException.from_exception(each, capture_locals=True)
            shown.append(str(each))
            shown += [repr(frame.locals) for frame in summary.stack if "/tests/" not in frame.filename]
    return "\n".join(shown)


def account(**changes: Any) -> Account:
    """What a connection to Apple's own API says."""
    fields = {"login": "A1B2C3D4E5", "password": TOKEN, "extra": {"app_id": "com.example.app"}} | changes
    return Account.read("my_conn", **fields)


def answer(status: int = 200, body: object = b"", headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """An answer with a body of bytes, or of what is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpAnswer(status, headers or {}, NOW, content)


def sent_by(exchange: Exchange[Any], *answers: HttpAnswer) -> list[HttpRequest]:
    """The requests of an exchange: its first, and one after each answer."""
    return [next(exchange), *map(exchange.send, answers)]


def result_of(exchange: Exchange[T], *answers: HttpAnswer) -> T:
    """What an exchange comes to after exactly these answers."""
    sent_by(exchange, *answers[:-1])
    try:
        exchange.send(answers[-1])
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("It asks for more.")
