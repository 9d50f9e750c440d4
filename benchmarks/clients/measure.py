"""What a measured process says of itself."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
import tracemalloc
from asyncio.events import Handle
from pathlib import Path
from typing import Any


def given() -> dict[str, Any]:
    """Return what the process was given."""
    arguments: dict[str, Any] = json.load(sys.stdin)
    return arguments


def say(**figures: Any) -> None:
    """Hand the figures back."""
    print(json.dumps(figures), flush=True)


def log_as_in_airflow(path: str) -> None:
    """Write logs as a task or a trigger does in its process: rendered as JSON, one unbuffered write for each line."""
    from airflow.sdk.log import configure_logging

    configure_logging(json_output=True, output=open(path, "ab", buffering=0), sending_to_supervisor=True)  # noqa: SIM115


def memory(field: str = "VmRSS") -> float:
    """Return this process's memory in bytes: ``VmRSS`` is what it has, ``VmHWM`` the most that it had."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def objects() -> float:
    """Return the bytes that Python's own allocators have given out since tracemalloc was started."""
    gc.collect()
    return float(tracemalloc.get_traced_memory()[0])


def forget_peak() -> None:
    """Let ``VmHWM`` begin again."""
    Path("/proc/self/clear_refs").write_text("5")


class LoopWatch:
    """Finds the longest block of the event loop, in milliseconds.

    ``step`` is the longest single callback, ``step_cpu`` the longest by its CPU time, which other processes on the
    machine cannot stretch; ``gap`` is what the triggerer's own watchdog looks at: how much longer than asked for a
    sleep took, with all that was ready before it.
    """

    def __init__(self) -> None:
        self.step = self.step_cpu = self.gap = 0.0

    def __enter__(self) -> LoopWatch:
        run, watch = Handle._run, self

        def timed(handle: Handle) -> None:
            wall, cpu = time.perf_counter(), time.thread_time()
            run(handle)
            watch.step = max(watch.step, (time.perf_counter() - wall) * 1000)
            watch.step_cpu = max(watch.step_cpu, (time.thread_time() - cpu) * 1000)

        self._run, Handle._run = run, timed  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        Handle._run = self._run  # type: ignore[method-assign]

    async def watch(self, pause: float = 0.005) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(pause)
            self.gap = max(self.gap, (time.perf_counter() - before - pause) * 1000)

    def figures(self) -> dict[str, float]:
        return {"step": self.step, "step_cpu": self.step_cpu, "gap": self.gap}
