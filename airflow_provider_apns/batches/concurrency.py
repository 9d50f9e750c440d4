"""Doing the same for many items: so many at once, with steady progress in the log."""

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
    Logs how far a batch is: every few seconds, not for every export.

    :param text: what to say, with ``%s`` for the numbers done and in all.
    :param total: how many there are.
    """

    def __init__(self, text: str, total: int) -> None:
        self._text = text
        self._total = total
        self._done = 0
        self._last = asyncio.get_running_loop().time()

    def step(self) -> None:
        """Count one more as done."""
        self._done += 1
        now = asyncio.get_running_loop().time()
        if self._done == self._total or now - self._last >= PROGRESS_INTERVAL:
            self._last = now
            log.info(self._text, f"{self._done:,}", f"{self._total:,}")


async def for_each(items: Sequence[T], work: Callable[[T], Awaitable[None]], max_concurrency: int) -> None:
    """
    Do something for every item, so many at once; the first failure ends all.

    :param items: the items.
    :param work: what to do.
    :param max_concurrency: how many at once.
    """
    if len(items) < 2:
        for item in items:
            await work(item)  # A task would take a fifth of a poll's CPU.
        return
    left = iter(items)

    async def take() -> None:
        for item in left:
            await work(item)

    workers = [asyncio.ensure_future(take()) for _ in range(max_concurrency)]
    try:
        # Not gather: if a worker fails at the moment when all are to end, it tells of the failure, and they go on.
        ended, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for worker in ended:
        worker.result()


async def map_in_threads(work: Callable[[T], R], items: Iterable[T]) -> AsyncIterator[R]:
    """
    Do something for each of maybe many items in threads, some at once.

    :param work: what to do.
    :param items: the items.
    :return: the results, in the order of the items.
    """
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
    """
    Do something for every item in threads, while the caller only waits; see :func:`.run_in_thread`.

    :param work: what to do.
    :param items: the items.
    :return: the results, in the order of the items.
    """

    async def main() -> list[R]:
        return [result async for result in map_in_threads(work, items)]

    return run_in_thread(main)
