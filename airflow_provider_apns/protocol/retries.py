"""When to try again, and when to look again."""

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
"""Seconds to connect, after which a try is given up."""

READ_TIMEOUT = 30.0
"""Seconds without a single byte, after which a try is given up."""

MAX_TRIES = 7
MAX_BACKOFF = 32.0
MAX_RETRY_AFTER = 300.0
"""
Seconds that are waited within one call at Apple's wish. Who waits for an export waits longer, too; all else is left to
Airflow's retries.
"""

FIRST_POLL_DELAY = 2.0
POLL_GROWTH = 1.5


def retry_after_of(answer: HttpAnswer) -> float | None:
    """Return the seconds that an answer asks to wait, by the server's own clock; see :func:`read_retry_after`."""
    server_time = _http_date(answer.header("date")) or answer.received_at
    return read_retry_after(answer.header("retry-after"), server_time)


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """
    Read a ``Retry-After`` header.

    :param value: seconds or an HTTP date.
    :param now: the current time by the server's clock.
    :return: seconds to wait, or ``None`` where the header says nothing sensible: unreadable, in the past, or more
        than a day ahead.
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
    if text is None or len(text) > 64:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def should_retry(error: BaseException) -> bool:
    """Whether to try again within the same call: a transient failure whose wished wait is not too long."""
    return isinstance(error, ApnsServiceError) and (error.retry_after or 0) <= MAX_RETRY_AFTER


def retry_delay(error: ApnsServiceError, tries: int) -> float:
    """
    Return the seconds to wait before the next try.

    :param error: why the last try failed.
    :param tries: how many tries there were.
    :return: what the server asked for, else capped exponential backoff; with jitter on top, so that many clients
        do not come back in step.
    """
    if error.retry_after is not None:
        return error.retry_after + random.uniform(0, 1)  # noqa: S311 - jitter
    return min(MAX_BACKOFF, 2.0 ** min(tries - 1, 64)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


class Patience:
    """
    Decides after each failed try of a call whether there is another one, and when.

    While a server that limits the rate lets other requests of the same batch through, tries are not counted: the batch
    makes progress, only slowly.

    :param tries: how many tries there are.
    :param answers: how many answers the batch has had so far.
    """

    def __init__(self, tries: int = MAX_TRIES, answers: int = 0) -> None:
        self._tries = tries
        self._answers = answers
        self._failed = 0
        self._counted = 0

    def delay_after(self, error: ApnsServiceError, answers: int = 0) -> float:
        """
        Return the seconds until the next try.

        :param error: why the last try failed.
        :param answers: how many answers the batch has had by now.
        :raises ApnsServiceError: the error, if there is to be no further try.
        """
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
    """Return a delay that is longer by up to a quarter, so that what begins at the same moment does not go on so."""
    return delay * random.uniform(1.0, 1.25)  # noqa: S311 - jitter


def poll_delay(polls: int, ceiling: float) -> float:
    """
    Return the seconds until the next status poll: soon at first, then slower, with jitter.

    :param polls: how many polls there were, none included.
    :param ceiling: the longest delay, in seconds.
    """
    return min(ceiling, FIRST_POLL_DELAY * POLL_GROWTH ** min(polls, 64)) * random.uniform(0.8, 1.0)  # noqa: S311
