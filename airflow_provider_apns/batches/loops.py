"""Running coroutines in a worker, where Airflow may interrupt the main thread."""

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
    Run a coroutine in an event loop in its own thread, and return its result.

    Airflow ends a task with an exception that a signal handler raises in the main thread, at any point. In an event
    loop, it would be raised in whatever callback is running, and get lost. Here, the main thread only waits. When it is
    interrupted, it ends the loop and everything in it.

    :param work: returns the coroutine.
    """
    run = _Run(work)
    try:
        return run.wait()
    except BaseException:
        run.cancel()
        raise


class _Run(Generic[T]):
    """
    The state that the two threads share.

    The exception can come between any two steps of Python code. The waiting functions of ``threading`` and
    ``concurrent.futures`` are Python code, too: interrupted there, they would keep their locks, and both threads would
    wait forever. So there is one plain lock, which the loop's thread holds until it is done. All else is plain
    attributes.
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
        """Start the thread, and return the coroutine's result."""
        _thread.start_new_thread(self._context.run, (self._run,))
        while not self._is_done:
            # A signal that comes just before this call is handled only after it returns, so it must return soon.
            self._running.acquire(timeout=0.2)
        if self._failure is not None:
            raise self._failure
        return self._result

    def cancel(self) -> None:
        """Cancel the coroutine if it is still running, and wait until the thread is done."""
        self._is_cancelled = True  # A thread that has only just started ends by itself.
        while (cancel_task := self._cancel_task) is not None and not self._is_done:
            with suppress(RuntimeError):  # The loop has just been closed.
                cancel_task()
            self._running.acquire(timeout=0.2)

    def _run(self) -> None:
        try:
            self._result = asyncio.run(self._main())
        except BaseException as error:  # wait() raises it.
            self._failure = error
        finally:
            # Drop task and loop in this thread: in the main one, an exception during their clean-up would be lost.
            self._cancel_task = None
            self._is_done = True
            self._running.release()

    async def _main(self) -> T:
        task: asyncio.Task[Any] = asyncio.current_task()  # type: ignore[assignment]  # within a coroutine there is one
        self._cancel_task = partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel)
        if self._is_cancelled:
            raise asyncio.CancelledError
        return await self._work()
