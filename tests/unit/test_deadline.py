"""One timer for all: what is late is ended, what is in time is not, and another's wish to end a task comes first."""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_apns.deadline import Deadline


async def stay(deadline: Deadline, seconds: float) -> str:
    with deadline:
        await asyncio.sleep(seconds)
    return "done"


async def test_what_is_in_time_goes_on() -> None:
    deadline = Deadline(5)
    assert await stay(deadline, 0.01) == "done"
    deadline.close()


async def test_what_is_late_ends_with_a_timeout() -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await stay(Deadline(0.1), 60)
    assert time.monotonic() - began < 10


async def test_each_task_has_its_own_time() -> None:
    deadline = Deadline(0.5)

    async def later() -> str:
        await asyncio.sleep(0.3)
        return await stay(deadline, 0.3)  # ends after the first one's time is up, within its own

    late, in_time = await asyncio.gather(stay(deadline, 60), later(), return_exceptions=True)
    assert isinstance(late, TimeoutError)
    assert in_time == "done"


async def test_a_second_block_of_the_same_task_begins_anew() -> None:
    deadline = Deadline(0.5)
    for _ in range(3):
        assert await stay(deadline, 0.25) == "done"


async def test_a_task_that_another_cancels_is_cancelled_and_not_late() -> None:
    deadline = Deadline(60)
    task = asyncio.ensure_future(stay(deadline, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    deadline.close()


async def test_an_error_of_the_block_is_passed_on() -> None:
    deadline = Deadline(60)
    with pytest.raises(ValueError, match="mine"), deadline:
        raise ValueError("mine")
    deadline.close()


async def test_after_a_timeout_the_task_goes_on_as_any_other() -> None:
    deadline = Deadline(0.1)
    with pytest.raises(TimeoutError):
        await stay(deadline, 60)
    await asyncio.sleep(0.01)  # a cancellation left behind would strike here
    assert await stay(deadline, 0.01) == "done"
    deadline.close()
