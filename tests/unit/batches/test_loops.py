from __future__ import annotations

import asyncio
import contextvars
import random
import sys
import threading
import time

import pytest

from airflow_provider_apns.batches.concurrency import for_each
from airflow_provider_apns.batches.loops import run_in_thread
from tests.unit.batches.alarm import Alarm, alarm


def test_gives_what_the_coroutine_returns() -> None:
    told = contextvars.ContextVar("told", default="nothing")
    told.set("the caller's context")

    async def work() -> tuple[str, bool]:
        await asyncio.sleep(0)
        return told.get(), threading.current_thread() is threading.main_thread()

    assert run_in_thread(work) == ("the caller's context", False)


def test_raises_what_the_coroutine_raises() -> None:
    async def work() -> None:
        raise LookupError("the coroutine's own")

    with pytest.raises(LookupError, match="the coroutine's own"):
        run_in_thread(work)


async def test_works_within_a_running_event_loop() -> None:
    async def work() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    assert run_in_thread(work) is not asyncio.get_running_loop()


def test_whenever_an_alarm_comes_it_arrives_and_nothing_goes_on() -> None:
    threads = set(sys._current_frames())
    begun: list[int] = []
    ended: list[int] = []

    async def wait(item: int) -> None:
        begun.append(item)
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append(item)

    for longest in (0.0003, 0.001, 0.003, 0.01):
        for _ in range(50):
            with pytest.raises(Alarm), alarm(random.uniform(1e-6, longest)):
                run_in_thread(lambda: for_each(range(10), wait, 3))
            assert len(ended) == len(begun)
    assert begun
    give_up = time.monotonic() + 5
    while set(sys._current_frames()) - threads:  # those that were still beginning
        assert time.monotonic() < give_up
        time.sleep(0.01)
    assert len(ended) == len(begun)


def test_an_alarm_that_comes_while_all_ends_arrives() -> None:
    def run_for_ever() -> None:
        while True:
            run_in_thread(lambda: asyncio.sleep(0))

    for _ in range(50):
        with pytest.raises(Alarm), alarm(random.uniform(1e-6, 0.003)):
            run_for_ever()
