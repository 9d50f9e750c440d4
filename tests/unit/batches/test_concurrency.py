from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from airflow_provider_apns.batches.concurrency import Progress, all_in_threads, for_each


class TestForEach:
    @pytest.mark.parametrize(("items", "limit"), [(0, 3), (1, 3), (10, 3), (3, 10)])
    async def test_all_are_done_and_never_more_at_once(self, items: int, limit: int) -> None:
        done, running, most = [], 0, 0

        async def work(item: int) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            done.append(item)

        await for_each(range(items), work, limit)
        assert sorted(done) == list(range(items))
        assert most == min(items, limit)

    async def test_the_first_failure_ends_all(self) -> None:
        begun, cancelled = [], []

        async def work(item: int) -> None:
            begun.append(item)
            if item == 2:
                raise LookupError("the third")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(item)
                raise

        with pytest.raises(LookupError, match="the third"):
            await for_each(range(100), work, 3)
        assert begun == [0, 1, 2]
        assert cancelled == [0, 1]

    async def test_who_ends_it_is_heard_whatever_fails_at_that_moment(self) -> None:
        async def work(item: int) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if item == 0:
                    raise LookupError("just before") from None
                raise

        ended = asyncio.ensure_future(for_each(range(3), work, 3))
        await asyncio.sleep(0.01)
        ended.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ended


async def test_progress_is_logged_every_few_seconds_not_for_every_export(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    caplog.set_level(logging.INFO)
    with monkeypatch.context() as clock:
        clock.setattr(asyncio.get_running_loop(), "time", lambda: now)
        progress = Progress("%s of %s done.", 2000)
        for _ in range(2000):
            now += 0.01
            progress.step()
    messages = [record.getMessage() for record in caplog.records]
    assert 3 <= len(messages) <= 5
    assert messages[-1] == "2,000 of 2,000 done."


def test_what_is_made_in_threads_is_made_together_and_comes_in_order() -> None:
    together = threading.Barrier(8)

    def work(item: int) -> int:
        together.wait(timeout=10)
        return item * item

    assert all_in_threads(work, iter(range(200))) == [item * item for item in range(200)]
