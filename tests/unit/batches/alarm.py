from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Alarm(BaseException):
    """What ends a task, as ``AirflowTaskTimeout`` does for ``execution_timeout``: no ``except Exception`` stops it."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise :class:`Alarm` in the main thread, wherever that is after some time."""

    def ring(*_: object) -> None:
        raise Alarm

    previous = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
