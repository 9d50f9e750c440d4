"""What tests of several modules need."""

from __future__ import annotations

import traceback
from datetime import date, datetime, timedelta, timezone


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
