"""When to retry a request, and when to poll again."""

from __future__ import annotations

import logging
import random
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from airflow_provider_apns.exceptions import ApnsServiceError

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.messages import HttpAnswer

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"""Seconds that a try may take to connect."""

READ_TIMEOUT = 30.0
"""Seconds that a try may go without receiving a byte."""

MAX_TRIES = 7
MAX_BACKOFF = 32.0
MAX_RETRY_AFTER = 300.0
"""
The longest wait, in seconds, that a server can request within one call. Waiting for an export may take longer;
everything else is left to Airflow's retries.
"""

FIRST_POLL_DELAY = 2.0
POLL_GROWTH = 1.5


def retry_after_of(answer: HttpAnswer) -> float | None:
    """Return the seconds that an answer asks the client to wait, by the server's own clock."""
    server_time = _http_date(answer.header("date")) or answer.received_at
    return read_retry_after(answer.header("retry-after"), server_time)


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """
    Read a ``Retry-After`` header: seconds or an HTTP date. ``now`` is the time by the server's clock.

    Return ``None`` if the value is unreadable, in the past, or more than a day ahead.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII):
        seconds = float(text)
    else:
        moment = _http_date(text)
        if moment is None:
            return None
        seconds = (moment - now).total_seconds()
    return seconds if 0 <= seconds <= 86_400 else None


def _http_date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def should_retry(error: BaseException) -> bool:
    """Whether to retry within the same call: the failure is transient, and the requested wait is not too long."""
    return isinstance(error, ApnsServiceError) and (error.retry_after or 0) <= MAX_RETRY_AFTER


def retry_delay(error: ApnsServiceError, tries: int) -> float:
    """
    Return the seconds to wait before the next try: what the server asked for, or else a capped exponential backoff.

    Jitter keeps many clients from coming back in step.
    """
    if error.retry_after is not None:
        return error.retry_after + random.uniform(0, 1)  # noqa: S311 - jitter
    return min(MAX_BACKOFF, 2.0 ** min(tries - 1, 64)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


class Patience:
    """
    Decides after each failed try of a call whether there is another one, and when.

    While a rate-limiting server answers other requests of the same batch, tries do not count: the batch is slow, but it
    moves. ``answers`` is how many answers the batch has had so far.
    """

    def __init__(self, tries: int = MAX_TRIES, answers: int = 0) -> None:
        self._tries = tries
        self._answers = answers
        self._failed = 0
        self._counted = 0

    def delay_after(self, error: ApnsServiceError, answers: int = 0) -> float:
        """Return the seconds until the next try, or raise the error if there is none."""
        self._failed += 1
        moving = error.slow_down and answers > self._answers
        self._answers = answers
        self._counted = 1 if moving else self._counted + 1
        if self._counted >= self._tries or not should_retry(error):
            raise error
        delay = retry_delay(error, self._failed)
        log.warning("%s Trying again in %.0f s (try %d).", error, delay, self._failed + 1)
        return delay


def spread(delay: float) -> float:
    """Return a delay up to a quarter longer, so that tasks that start together do not stay in step."""
    return delay * random.uniform(1.0, 1.25)  # noqa: S311 - jitter


def poll_delay(polls: int, ceiling: float) -> float:
    """Return the seconds until the next poll: short at first, then longer up to ``ceiling``, with jitter."""
    return min(ceiling, FIRST_POLL_DELAY * POLL_GROWTH ** min(polls, 64)) * random.uniform(0.8, 1.0)  # noqa: S311
