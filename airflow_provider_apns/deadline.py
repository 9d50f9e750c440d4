"""One timer for all that must not take too long."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadline:
    """
    Ends what takes longer than it may, in however many tasks of an event loop; a task is in it once at a time.

    A timer for each request, as HTTP libraries set them, stays in the event loop long after it was cancelled: with a
    thousand waiting exports, that took a tenth of a poll's CPU.

    :param seconds: how long one block may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun: dict[asyncio.Task[object] | None, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._begun[asyncio.current_task(loop)] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._end_late)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        in_time = self._begun.pop(task, None) is not None
        if in_time or task is None or not isinstance(error, asyncio.CancelledError):
            return
        # Since Python 3.11 a task counts who wants it to end: another's wish comes before this one.
        if hasattr(task, "uncancel") and task.uncancel():
            return
        raise TimeoutError from None

    def _end_late(self) -> None:
        """End what is late, and come back for the one that began next."""
        loop, self._timer = asyncio.get_running_loop(), None
        for task, begun in list(self._begun.items()):
            if begun + self._seconds > loop.time():
                self._timer = loop.call_at(begun + self._seconds, self._end_late)
                return
            del self._begun[task]
            if task is not None:
                task.cancel()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
