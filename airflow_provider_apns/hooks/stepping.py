"""What the synchronous transports share: stepping through an exchange, and retrying."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_apns.exceptions import ApnsServiceError
from airflow_provider_apns.protocol.retries import Patience

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.messages import Exchange, HttpAnswer, HttpRequest

T = TypeVar("T")


def step_through(exchange: Exchange[T], ask: Callable[[HttpRequest], HttpAnswer]) -> T:
    """
    Carry out an exchange.

    :param exchange: yields the requests, and receives the answers.
    :param ask: sends a request, and returns the answer.
    """
    answer = None
    while True:
        try:
            request = exchange.send(answer)  # type: ignore[arg-type]  # None starts it
        except StopIteration as end:
            result: T = end.value
            return result
        answer = ask(request)


def patiently(attempt: Callable[[], T], tries: int) -> T:
    """
    Try until a try succeeds.

    :param attempt: one try.
    :param tries: the number of tries.
    :raises ApnsError: the last failure, or one that a retry cannot fix.
    """
    patience = Patience(tries)
    while True:
        try:
            return attempt()
        except ApnsServiceError as error:
            delay = patience.delay_after(error)
        time.sleep(delay)
