"""Running coroutines in a worker."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def run_in_thread(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """
    Run a coroutine in an event loop of a thread of its own, and return its result.

    Airflow ends a task by an exception that a signal handler raises in the main thread, wherever that is. Within an
    event loop it would land in whatever callback runs, and get lost; here, the main thread does nothing but wait. When
    it is interrupted, it ends the loop and everything in it.

    :param work: makes the coroutine.
    """
    run = _Run(work)
    try:
        return run.wait()
    except BaseException:
        run.cancel()
        raise


class _Run(Generic[T]):
    """
    What the two threads share.

    The exception may come between any two steps of Python code. What ``threading`` and ``concurrent.futures`` wait with
    is Python code, too: it would leave their locks taken, and both threads would wait for ever. So there is one plain
    lock, which the thread of the loop holds until it is done, and all else is plain attributes.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._context = contextvars.copy_context()
        self._cancel_task: Callable[[], object] | None = None
        self._failure: BaseException | None = None
        self._is_cancelled = self._is_done = False
        self._running = threading.Lock()
        self._running.acquire()

    def wait(self) -> T:
        """Begin, and return the result."""
        _thread.start_new_thread(self._context.run, (self._run,))
        while not self._is_done:
            # Not for longer: a signal that comes just before the lock is waited for is not handled before that ends.
            self._running.acquire(timeout=0.2)
        if self._failure is not None:
            raise self._failure
        return self._result

    def cancel(self) -> None:
        """End the coroutine, if it is still running, and wait until nothing of it is left."""
        self._is_cancelled = True  # A thread that only now begins ends by itself.
        while (cancel_task := self._cancel_task) is not None and not self._is_done:
            with suppress(RuntimeError):  # The loop has been closed this moment.
                cancel_task()
            self._running.acquire(timeout=0.2)

    def _run(self) -> None:
        try:
            self._result = asyncio.run(self._main())
        except BaseException as error:  # The waiting thread raises it.
            self._failure = error
        finally:
            # Task and loop end here: asyncio's Python code runs as they go, and an exception in that would be lost.
            self._cancel_task = None
            self._is_done = True
            self._running.release()

    async def _main(self) -> T:
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # within a coroutine there is one
        self._cancel_task = partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel)
        if self._is_cancelled:
            raise asyncio.CancelledError
        return await self._work()
