"""Running the same work for many items, a limited number at once, with progress in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from airflow_provider_apns.batches.loops import run_in_thread

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

PROGRESS_INTERVAL = 5.0

_THREADS = 16


class Progress:
    """
    Logs a batch's progress every few seconds.

    :param text: the message, with ``%s`` for the number done and for the total.
    :param total: the number of items.
    """

    def __init__(self, text: str, total: int) -> None:
        self._text = text
        self._total = total
        self._done = 0
        self._last = asyncio.get_running_loop().time()

    def step(self) -> None:
        """Count one more item as done."""
        self._done += 1
        now = asyncio.get_running_loop().time()
        if self._done == self._total or now - self._last >= PROGRESS_INTERVAL:
            self._last = now
            log.info(self._text, f"{self._done:,}", f"{self._total:,}")


async def for_each(items: Sequence[T], work: Callable[[T], Awaitable[None]], max_concurrency: int) -> None:
    """
    Run work for every item; the first failure ends all of it.

    :param items: the items.
    :param work: the work for one item.
    :param max_concurrency: how many items at once.
    """
    if len(items) < 2:
        for item in items:
            await work(item)  # An asyncio task would cost a fifth of a poll's CPU.
        return
    left = iter(items)

    async def take() -> None:
        for item in left:
            await work(item)

    workers = [asyncio.ensure_future(take()) for _ in range(max_concurrency)]
    try:
        # Not gather: if a worker fails while gather is cancelled, gather raises its failure, and the others go on.
        ended, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for worker in ended:
        worker.result()


async def map_in_threads(work: Callable[[T], R], items: Iterable[T]) -> AsyncIterator[R]:
    """Run work in threads for each item, and yield the results in the items' order."""
    left, run_in_executor = iter(items), asyncio.get_running_loop().run_in_executor
    with ThreadPoolExecutor(_THREADS) as threads:
        while some := [run_in_executor(threads, work, item) for item in islice(left, 4 * _THREADS)]:
            try:
                for result in some:
                    yield await result
            finally:
                for result in some:
                    result.cancel()


def all_in_threads(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Run work in threads for each item, while the calling thread only waits; see :func:`.run_in_thread`."""

    async def main() -> list[R]:
        return [result async for result in map_in_threads(work, items)]

    return run_in_thread(main)
