"""
The fault matrix: whatever goes wrong, nothing is lost.

    python -m tests.faults.matrix                  all of it, on every core
    python -m tests.faults.matrix --part           a part of it, for the test suite
    python -m tests.faults.matrix --only 503       the fields whose name has this
    python -m tests.faults.matrix --write FILE     the tables, for the docs

Each field is one whole run against the emulator in which one thing goes wrong. It ends in one of two ways: fixed, and
the object is what Apple serves; or refused, with an error of the provider's family, in bounded time, and the object of
before is untouched. Anything else is lost, and the command fails. All that was logged, at DEBUG, and all that a
traceback with local variables would show, is searched for the token and for signed URLs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.objects import DAYS, object_of_before, served
from tests.faults.plan import Cell, cells, stratified
from tests.faults.report import Outcome, document, summary, totals
from tests.support.secrets_search import find_secrets, forms

if TYPE_CHECKING:
    from airflow_provider_apns.emulator import Emulator
    from tests.faults.world import World

MAX_BYTES = 8 << 20

LONGEST = 30.0
"""Seconds that one field may take, even where the fault is for ever."""

TIMEOUT = 25.0
"""The tasks' own timeout."""

SHORT_TIMEOUT = 3.0
"""The same where it ends the wait for an export that never becomes ready."""


class TaskTimeout(Exception):
    """What Airflow does to a task that waits too long."""


# -- one field ---------------------------------------------------------------------------------------------------------


def work(cell: Cell, apple: Emulator, path: Path) -> None:
    """Do what the field is about, up to the object at its destination."""
    if cell.mode == "worker":
        work_with_hook(path)
    else:
        work_with_operator(cell, apple, path)


def work_with_hook(path: Path) -> None:
    from airflow_provider_apns.hooks.apns import ApnsHook

    hook = ApnsHook(max_bytes=MAX_BYTES)
    export = hook.request_export("application", **DAYS)
    hook.get_export(export.status_url).check()
    hook.download_export(export.status_url, str(path), dataset="application")


def work_with_operator(cell: Cell, apple: Emulator, path: Path) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator
    from tests.faults.world import MAX_CONCURRENCY, WAIT

    endless = cell.fault == "unknown-status" or cell.waits_longer
    timeout = SHORT_TIMEOUT if endless and cell.times == "for ever" else TIMEOUT
    operator = ApnsToObjectStorageOperator(
        task_id="matrix",
        dataset="channel" if cell.is_batch else "application",
        channel_ids=list(apple.channel_ids) if cell.is_batch else None,
        path=str(path),
        deferrable=cell.mode != "batch, worker",
        max_bytes=MAX_BYTES,
        max_concurrency=MAX_CONCURRENCY,
        poke_interval=WAIT,
        timeout=timeout,
        **DAYS,
    )
    step: Callable[[], object] = partial(operator.execute, {})
    while True:
        try:
            step()
            return
        except TaskDeferred as deferred:
            trigger = deferred.trigger
        step = partial(operator.execute_complete, {}, asyncio.run(fire(trigger, timeout)))


async def fire(trigger: Any, timeout: float) -> Any:
    """Run a trigger, through the same words as in the database."""
    _, arguments = trigger.serialize()
    again = type(trigger)(**json.loads(json.dumps({**arguments, "first_delay": 0})))
    try:
        event = await asyncio.wait_for(anext(again.run()), timeout)
    except asyncio.TimeoutError:
        raise TaskTimeout("Airflow ends a deferred task in this way.") from None
    return json.loads(json.dumps(event.payload))


def try_cell(cell: Cell, world: World, folder: Path) -> Outcome:
    """Run one field, and say what it has come to."""
    apple = world.apple(cell)
    os.environ["AIRFLOW_CONN_APNS_DEFAULT"] = world.connection(cell)
    path = folder / "lake" / "object.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(object_of_before(cell.mode))
    error: BaseException | None = None
    began = time.monotonic()
    with world.broken(cell):
        try:
            work(cell, apple, path)
        except Exception as raised:
            error = raised
    seconds = time.monotonic() - began
    beside = [str(found) for found in folder.rglob("*") if found.is_file() and found != path]
    if beside or seconds > LONGEST or apple.ledger.violations:
        detail = f"took {seconds:.0f} s, left beside it: {beside}, violations: {apple.ledger.violations}"
        return Outcome(cell, "lost", detail=detail, seconds=seconds)
    word, name, detail = judge(cell, apple, path.read_bytes(), error)
    return Outcome(cell, word, name, detail, seconds, world.waited)


def judge(cell: Cell, apple: Emulator, content: bytes, error: BaseException | None) -> tuple[str, str, str]:
    """Return what it has come to, the error's name, and what is to be told of it."""
    from airflow_provider_apns.exceptions import ApnsError

    if error is None:
        if content != served(cell.mode):
            return "lost", "", f"the object is {content[:200]!r}"
        return "fixed", "", "surprise" if cell.times == "for ever" and not cell.must_mend else ""
    # What is to fail at once is wrapped for Airflow.
    cause = error if isinstance(error, (ApnsError, TaskTimeout)) else error.__cause__
    name, text = type(cause or error).__name__, str(error)
    if content != object_of_before(cell.mode):
        return "lost", name, f"{text}; the object of before has become {content[:200]!r}"
    if not isinstance(cause, (ApnsError, TaskTimeout)):
        return "lost", name, "".join(traceback.format_exception(error))
    if shown := shows(error, needles(apple)):
        return "lost", name, f"a traceback with locals shows the {shown}"
    if cell.must_mend:
        return "lost", name, f"not fixed: {text}"
    if len(text) < 20:
        return "lost", name, f"says too little: {text!r}"
    return "refused", name, text


def needles(apple: Emulator) -> dict[str, str]:
    return {"token": apple.token, "signed URL": apple.signature_mark}


def shows(error: BaseException, secrets: dict[str, str]) -> str:
    """Name the secrets that a traceback with local variables would show, along the whole chain of causes."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    text = "".join(told.format(chain=True)).encode()
    return ", ".join(name for name, secret in secrets.items() if any(form in text for form in forms(secret).values()))


# -- all of them -------------------------------------------------------------------------------------------------------


def begin_process(folder: Path) -> None:
    """Make a world in a process of its own, with a log that has all that the process says."""
    from tests.faults.world import World

    global WORLD, HOME
    HOME = folder / str(os.getpid())
    (HOME / "tmp").mkdir(parents=True)
    tempfile.tempdir = str(HOME / "tmp")
    log = os.open(folder / "logs" / f"{os.getpid()}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, force=True)
    logging.getLogger("asyncio").setLevel(logging.DEBUG)
    WORLD = World(ExitStack(), folder / f"world-{os.getpid()}")


WORLD: World
HOME: Path


def try_here(cell: Cell) -> Outcome:
    return try_cell(cell, WORLD, HOME)


def run(chosen: Sequence[Cell], processes: int) -> tuple[list[Outcome], list[str]]:
    """Run fields, and return their outcomes and the secrets that were found in the logs."""
    from airflow_provider_apns.emulator import Emulator
    from tests.faults.world import TOKEN

    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="apns-matrix-") as name:
        logs = Path(name, "logs")
        logs.mkdir()
        with multiprocessing.get_context("fork").Pool(processes, begin_process, [Path(name)]) as pool:
            results = pool.imap_unordered(try_here, chosen)
            for _ in chosen:
                outcomes.append(results.next(timeout=LONGEST * 2))
                show_progress(outcomes, len(chosen))
            pool.close()
            pool.join()
        assert sum(log.stat().st_size for log in logs.iterdir()) > 100 * len(chosen), "nothing was logged"
        found = find_secrets(logs, needles(Emulator(token=TOKEN)))
        leaks = [f"{leak.needle} in {leak.form} form in {leak.place}" for leak in found]
    order = {cell: number for number, cell in enumerate(chosen)}
    return sorted(outcomes, key=lambda outcome: order[outcome.cell]), leaks


def show_progress(outcomes: Sequence[Outcome], total: int) -> None:
    last = outcomes[-1]
    if last.word == "lost":
        print(f"LOST {last.cell} ({last.seconds:.1f} s): {last.error} {last.detail[:1500]}", flush=True)
    elif last.detail == "surprise":
        print(f"fixed for ever? {last.cell}", flush=True)
    if last.seconds > 8:
        print(f"slow: {last.cell} took {last.seconds:.1f} s", flush=True)
    if len(outcomes) % 200 == 0:
        print(f"{len(outcomes)} of {total}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description="Run the fault matrix.")
    parser.add_argument("--part", action="store_true", help="only a part of it, with every fault and every mode")
    parser.add_argument("--only", default="", metavar="TEXT", help="only fields whose name has this")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables there")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()
    # Imported once, before the processes part.
    from airflow_provider_apns.transfers import apns_to_object_storage  # noqa: F401
    from tests.faults import world  # noqa: F401

    chosen = [cell for cell in (stratified() if options.part else cells()) if options.only in str(cell)]
    began = time.monotonic()
    outcomes, leaks = run(chosen, options.processes)
    seconds = time.monotonic() - began
    print(summary(outcomes))
    for leak in leaks:
        print(f"LEAK {leak}")
    print(f"{totals(outcomes)}; {len(leaks)} secrets in the logs; {seconds:.0f} s")
    failed = bool(leaks) or any(outcome.word == "lost" for outcome in outcomes)
    if options.write and not failed:
        options.write.write_text(document(outcomes, len(leaks), seconds))
    return int(failed)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="apns-matrix-home-") as home:
        os.environ.setdefault("AIRFLOW_HOME", home)
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        sys.exit(main())
