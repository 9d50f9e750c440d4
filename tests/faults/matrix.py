"""
The fault matrix: whatever goes wrong, nothing is lost.

    python -m tests.faults.matrix                  all of it, on every core
    python -m tests.faults.matrix --part           a part of it, for the test suite
    python -m tests.faults.matrix --only 503       the fields whose name has this
    python -m tests.faults.matrix --write FILE     the tables, for the docs

Each field is one whole run against the emulator in which one thing goes wrong. It ends in one of two ways: mended, and
the object is what Apple serves; or refused, with an error of the provider's family, in bounded time, and the object of
before is untouched. Anything else is lost, and the command fails. All that was logged, at DEBUG, and all that a
traceback with local variables would show, is searched for the token and for signed URLs.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import logging
import multiprocessing
import os
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from tests.faults.plan import ENDPOINTS, TIMES, Cell, cells, stratified

COMMAND = "make fault-matrix"

CHANNELS = 200
TOKEN = "matrix-token+that/must-not-be-seen"
OLD = b"the object of before\n"

# What is waited, scaled down; the rules that decide how long stay as they are, and what they decide is added up.
WAIT = 0.002
READ_TIMEOUT = {"worker": 0.5, "event loop": 0.5, "batch": 1.0, "batch, worker": 1.0}
MAX_BYTES = 8 << 20

LONGEST = 30.0
"""Seconds that one field may take, even where the fault is for ever."""


TIMEOUT = 25.0
"""The tasks' own timeout."""

SHORT_TIMEOUT = 3.0
"""The same where it ends the wait for an export that never becomes ready."""


class TaskTimeout(Exception):
    """What Airflow does to a task that waits too long."""


class Outcome(NamedTuple):
    """What a field has come to."""

    cell: Cell
    word: str
    error: str = ""
    detail: str = ""
    seconds: float = 0.0
    waited: float = 0.0


def log_to(path: Path) -> None:
    """Send all that this process says into a file, the terminal's two streams included."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, force=True)
    logging.getLogger("asyncio").setLevel(logging.DEBUG)


class World:
    """Apple, and a network on which the name ``localhost`` can lead astray."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        from airflow_provider_apns.emulator import Emulator
        from tests.faults.certificates import make_certificates

        places = make_certificates(folder / "certificates")
        os.environ["REQUESTS_CA_BUNDLE"] = str(places["good"] / "ca.pem")
        options: dict[str, Any] = {"channels": CHANNELS, "token": TOKEN}
        self._plain = stack.enter_context(Emulator(**options))
        # The endpoint whose connections break is at a host name of its own, the others at the address.
        secure = options | {"tls": True, "tls_dir": places["good"]}
        self._secure = {
            "request": stack.enter_context(Emulator(**secure)),
            "status": stack.enter_context(Emulator(**secure, status_host="localhost")),
            "download": stack.enter_context(Emulator(**secure, download_host="localhost")),
        }
        self._wrong_ports = {
            f"certificate {kind}": stack.enter_context(Emulator(tls=True, tls_dir=place)).port
            for kind, place in places.items()
        }
        self._wrong_ports["TLS with plain http"] = self._plain.port
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self._wrong_ports["connection refused"] = unused.getsockname()[1]
        self.needles = {"token": TOKEN, "signed URL": self._plain.signature_mark}
        self._getaddrinfo = socket.getaddrinfo
        self._network = ""
        self._left = 0
        self._failures: Counter[str] = Counter()

    def apple(self, cell: Cell) -> Any:
        return self._secure[cell.endpoint] if cell.fault.network else self._plain

    def connection(self, cell: Cell) -> str:
        apple = self.apple(cell)
        connection = json.loads(apple.connection_json)
        if cell.fault.network:
            if cell.endpoint == "request":
                connection["host"] = f"https://localhost:{apple.port}"
            connection["extra"]["trusted_hosts"] = ["localhost", "127.0.0.1"]
        return json.dumps(connection)

    @contextmanager
    def broken(self, cell: Cell) -> Iterator[None]:
        """Let the fault happen."""
        from airflow_provider_apns.emulator import Fault

        apple, times, batch = self.apple(cell), TIMES[cell.times], cell.mode.startswith("batch")
        apple.ledger.clear()
        if cell.fault.network:
            self._network = cell.fault.network
            self._failures.clear()
            self._left = sys.maxsize if times is None else times * (BATCH["max_concurrency"] if batch else 1)
        else:
            apple.inject(
                Fault(
                    cell.endpoint,
                    cell.fault.kind,
                    times=times,
                    after=cell.after,
                    each=batch,
                    **dict(cell.fault.options),
                )
            )
        try:
            with (
                mock.patch("socket.getaddrinfo", self._look_up),
                mock.patch("airflow_provider_apns.hooks.apns.network_failure", self._count),
            ):
                yield
        finally:
            self._left = 0
            apple.clear_faults()

    def _count(self, request: Any, *error: Any) -> Any:
        """
        Let the network heal before a request of a batch has used up its tries.

        Here they follow each other at once, so that one request could meet most of the failures meant for all.
        """
        from airflow_provider_apns.exports import MAX_TRIES, network_failure

        self._failures[request.what] += 1
        if self._failures[request.what] == MAX_TRIES - 2 and self._left < sys.maxsize // 2:
            self._left = 0
        return network_failure(request, *error)

    def _look_up(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in ("localhost", b"localhost"):
            return self._getaddrinfo(host, port, *args, **options)
        if self._left > 0:
            self._left -= 1
            if self._network == "unknown host name":
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            port = self._wrong_ports[self._network]
        return self._getaddrinfo("127.0.0.1", port, *args, **options)


TODAY = datetime.now(timezone.utc).date()
DAYS = {"start_date": TODAY - timedelta(days=3), "end_date": TODAY - timedelta(days=1)}
BATCH: dict[str, Any] = {"max_concurrency": 64}


def work(cell: Cell, apple: Any, path: Path) -> None:
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


def work_with_operator(cell: Cell, apple: Any, path: Path) -> None:
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

    batch = cell.mode.startswith("batch")
    operator = ApnsToObjectStorageOperator(
        task_id="matrix",
        dataset="channel" if batch else "application",
        channel_ids=list(apple.channel_ids) if batch else None,
        path=str(path),
        deferrable=cell.mode != "batch, worker",
        max_bytes=MAX_BYTES,
        poke_interval=WAIT,
        timeout=_timeout(cell),
        **BATCH,
        **DAYS,
    )
    try:
        operator.execute({})
    except TaskDeferred as deferred:
        deferred.trigger.first_delay = 0
        operator.execute_complete({}, asyncio.run(_fire(deferred.trigger, _timeout(cell))))


def _timeout(cell: Cell) -> float:
    endless = cell.fault.name == "unknown-status" or cell.waits_longer
    return SHORT_TIMEOUT if endless and cell.times == "for ever" else TIMEOUT


async def _fire(trigger: Any, timeout: float) -> Any:
    # Through the same words as in the database.
    path, arguments = trigger.serialize()
    arguments = json.loads(json.dumps(arguments))
    again = type(trigger)(**arguments)
    assert path.endswith(type(trigger).__name__)
    try:
        event = await asyncio.wait_for(anext(again.run()), timeout)
    except asyncio.TimeoutError:
        raise TaskTimeout("Airflow ends a deferred task in this way.") from None
    return json.loads(json.dumps(event.payload))


def served(cell: Cell, apple: Any) -> bytes:
    """Return the object that has to be there when all has gone well, made from what Apple serves."""
    days = DAYS["start_date"], DAYS["end_date"]
    if cell.mode == "worker":
        whole = bytes(apple.csv("application", *days))
        if cell.fault.name == "bad-number":
            return whole.rpartition(b",")[0] + b",many\n"
        return whole
    rows: list[tuple[str, ...]] = []
    if cell.mode == "event loop":
        tables, labels = {"": apple.csv("application", *days)}, ["app_id"]
    else:
        tables = {channel_id: apple.csv("channel", *days, channel_id) for channel_id in apple.channel_ids}
        labels = ["app_id", "channel_id"]
    for channel_id, table in tables.items():
        header, *lines = csv.reader(io.StringIO(table.decode()))
        names = [name.lower().replace(" ", "_") for name in header[1:]]
        for day, *counts in lines:
            who = [apple.app_id, channel_id][: len(labels)]
            shown = ["" if count == "-1" else count for count in counts]
            rows.append((day, *who, *shown, "true" if "-1" in counts else "false"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([["date", *labels, *names, "withheld"], *sorted(rows, key=lambda row: row[: 1 + len(labels)])])
    return text.getvalue().encode()


_waited: list[float] = []


def try_cell(cell: Cell, world: World, folder: Path) -> Outcome:
    """Run one field, and say what it has come to."""
    apple = world.apple(cell)
    os.environ["AIRFLOW_CONN_APNS_DEFAULT"] = world.connection(cell)
    path = folder / "lake" / "object.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(OLD)
    error: BaseException | None = None
    began = time.monotonic()
    _waited.clear()
    with world.broken(cell), mock.patch("airflow_provider_apns.shared.READ_TIMEOUT", READ_TIMEOUT[cell.mode]):
        try:
            work(cell, apple, path)
        except Exception as raised:
            error = raised
    seconds, waited = time.monotonic() - began, sum(_waited)
    word, name, detail = judge(cell, world, folder, path, error, seconds)
    return Outcome(cell, word, name, detail, seconds, 0.0 if cell.mode.startswith("batch") else waited)


def judge(
    cell: Cell, world: World, folder: Path, path: Path, error: BaseException | None, seconds: float
) -> tuple[str, str, str]:
    from airflow_provider_apns.exceptions import ApnsError

    apple, content = world.apple(cell), path.read_bytes() if path.exists() else b""
    cause = error if error is None or isinstance(error, (ApnsError, TaskTimeout)) else error.__cause__
    name = type(cause or error).__name__ if error else ""
    text = str(error or "")
    if beside := [str(found) for found in folder.rglob("*") if found.is_file() and found != path]:
        return "lost", name, f"left beside it: {beside}"
    if seconds > LONGEST:
        return "lost", name, f"took {seconds:.0f} s"
    if apple.ledger.violations:
        return "lost", name, f"{apple.ledger.violations}"
    if error is None:
        if content != served(cell, apple):
            return "lost", name, f"the object is {content[:200]!r}"
        if cell.times == "for ever" and not cell.must_mend and cell.fault.name != "bad-number":
            return "mended", "", "surprise"
        return "mended", "", ""
    if content != OLD:
        return "lost", name, f"{text}; the object of before has become {content[:200]!r}"
    if not isinstance(cause, (ApnsError, TaskTimeout)):
        return "lost", name, "".join(traceback.format_exception(error))
    if shown := shows(error, world):
        return "lost", name, f"a traceback with locals shows the {shown}"
    if cell.must_mend:
        return "lost", name, f"not mended: {text}"
    if len(text) < 20:
        return "lost", name, f"says too little: {text!r}"
    return "refused", name, text


def shows(error: BaseException, world: World) -> str:
    """Name the secrets that a traceback with local variables would show, along the whole chain of causes."""
    from tests.support.secrets_search import forms

    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    text = "".join(told.format(chain=True)).encode()
    return ", ".join(name for name, needle in world.needles.items() if any(f in text for f in forms(needle).values()))


@contextmanager
def scaled() -> Iterator[None]:
    """Make all waits short, and keep account of them."""
    from airflow_provider_apns import batches
    from airflow_provider_apns.hooks import apns as hooks

    decide = hooks.retry_delay

    def retry_delay(error: BaseException | None, tries: int) -> float:
        _waited.append(decide(error, tries))
        return min(_waited[-1], WAIT)

    def connector(*args: Any, **options: Any) -> Any:
        # Seconds of a cached address are ages on this scale.
        return tcp_connector(*args, **{**options, "use_dns_cache": False})

    tcp_connector = hooks.aiohttp.TCPConnector
    with (
        mock.patch.object(hooks, "retry_delay", retry_delay),
        mock.patch.object(batches, "retry_delay", retry_delay),
        mock.patch.object(hooks.aiohttp, "TCPConnector", connector),
        mock.patch.object(batches, "poll_delay", return_value=WAIT),
    ):
        yield


def run_part(number: int, part: Sequence[Cell], folder: Path, results: Any) -> None:
    """Run some of the fields in a process of their own."""
    home = folder / f"process-{number}"
    (home / "tmp").mkdir(parents=True)
    log_to(folder / f"log-{number}.txt")
    tempfile.tempdir = str(home / "tmp")
    with ExitStack() as stack:
        world = World(stack, folder / f"world-{number}")
        stack.enter_context(scaled())
        for cell in part:
            results.put(try_cell(cell, world, home))
    results.put(world.needles)


def run(chosen: Sequence[Cell], processes: int) -> tuple[list[Outcome], list[str]]:
    """Run fields, and return their outcomes and the secrets that were found in the logs."""
    from tests.support.secrets_search import find_secrets

    outcomes: list[Outcome] = []
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(prefix="apns-matrix-") as name:
        folder = Path(name)
        results = context.Queue()
        workers = [
            context.Process(target=run_part, args=(number, chosen[number::processes], folder, results))
            for number in range(processes)
        ]
        for worker in workers:
            worker.start()
        needles: dict[str, str] = {}
        done = 0
        while done < processes:
            try:
                result = results.get(timeout=LONGEST * 2)
            except Exception:
                for worker in workers:
                    worker.terminate()
                for log in folder.glob("log-*.txt"):
                    print(log.read_text()[-5000:])
                raise
            if isinstance(result, dict):
                needles, done = result, done + 1
            else:
                outcomes.append(result)
                show_progress(outcomes, len(chosen))
        for worker in workers:
            worker.join()
        logs = folder / "logs"
        logs.mkdir()
        for log in folder.glob("log-*.txt"):
            log.rename(logs / log.name)
        # The needles are to be found where they are put, or the search is worth nothing.
        size = sum(log.stat().st_size for log in logs.iterdir())
        assert size > 100 * len(chosen), "nothing was logged"
        leaks = [f"{found.needle} in {found.form} form in {found.place}" for found in find_secrets(logs, needles)]
        if leaks and (keep := os.environ.get("KEEP_LOGS")):
            import shutil

            shutil.copytree(logs, keep)
    order = {cell: number for number, cell in enumerate(chosen)}
    return sorted(outcomes, key=lambda outcome: order[outcome.cell]), leaks


def show_progress(outcomes: Sequence[Outcome], total: int) -> None:
    last = outcomes[-1]
    if last.word == "lost":
        print(f"LOST {last.cell} ({last.seconds:.1f} s): {last.error} {last.detail[:1500]}", flush=True)
    elif last.detail == "surprise":
        print(f"mended for ever? {last.cell}", flush=True)
    if last.seconds > 8:
        print(f"slow: {last.cell} took {last.seconds:.1f} s")
    if len(outcomes) % 200 == 0:
        print(f"{len(outcomes)} of {total}", flush=True)


# -- the report --------------------------------------------------------------------------------------------------------


def totals(outcomes: Sequence[Outcome]) -> str:
    words = Counter(outcome.word for outcome in outcomes)
    return (
        f"{len(outcomes):,} tried: {words['mended']:,} mended, {words['refused']:,} refused clearly, "
        f"{words['lost']:,} lost"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the totals by endpoint and mode."""
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        endpoint = f"{outcome.cell.endpoint}{', at the download' if outcome.cell.after else ''}"
        groups[endpoint, outcome.cell.mode].append(outcome)
    rows = []
    for (endpoint, mode), group in groups.items():
        words = Counter(outcome.word for outcome in group)
        counts = [f"{number:,}" for number in (len(group), words["mended"], words["refused"], words["lost"])]
        rows.append([endpoint, MODE_NAMES[mode], *counts])
    everything = Counter(outcome.word for outcome in outcomes)
    counts = [f"**{n:,}**" for n in (len(outcomes), everything["mended"], everything["refused"], everything["lost"])]
    rows.append(["**all**", "", *counts])
    return table(["where it goes wrong", "how it is run", "tried", "mended", "refused clearly", "lost"], rows)


MODE_NAMES = {
    "worker": "worker, one export (`ApnsHook`)",
    "event loop": "triggerer, one export (`ApnsAsyncHook`)",
    "batch": f"triggerer, batch of {CHANNELS}",
    "batch, worker": f"worker, batch of {CHANNELS}",
}


def details(outcomes: Sequence[Outcome], endpoint: str) -> str:
    """Return what each fault of an endpoint has come to."""
    found: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for outcome in outcomes:
        if outcome.cell.endpoint == endpoint:
            word = "mended" if outcome.word == "mended" else f"`{outcome.error}`"
            found[outcome.cell.fault.name][outcome.cell.times][word] += 1
    rows = [
        [name, *(", ".join(sorted(times[when], reverse=True)) or "-" for when in TIMES)]
        for name, times in found.items()
    ]
    return table(["fault", *TIMES], rows)


def document(outcomes: Sequence[Outcome], leaks: Sequence[str], seconds: float) -> str:
    from tests.faults.text import INTRODUCTION, NOTES

    bounded = [each for each in outcomes if not (each.cell.mode.startswith("batch") or each.cell.waits_longer)]
    longest = max(bounded, key=lambda outcome: outcome.waited)
    return (
        "\n\n".join(
            [
                INTRODUCTION.strip(),
                f"    $ {COMMAND}\n    {totals(outcomes)}\n    {len(leaks)} secrets shown by logs or tracebacks",
                f"It takes about {max(1, round(seconds / 60))} minutes on two cores.",
                summary(outcomes),
                NOTES.strip().format(longest=f"{longest.waited / 60:.0f}", cell=f"{longest.cell}"),
                *(
                    part
                    for endpoint in ENDPOINTS
                    for part in (f"## Faults of the {endpoint}", details(outcomes, endpoint))
                ),
            ]
        )
        + "\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.matrix", description="Run the fault matrix.")
    parser.add_argument("--part", action="store_true", help="only a part of it, with every fault and every mode")
    parser.add_argument("--only", default="", metavar="TEXT", help="only fields whose name has this")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables there")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 2)
    options = parser.parse_args()
    # Imported once, before the processes part.
    from airflow_provider_apns.transfers import apns_to_object_storage  # noqa: F401

    chosen = [cell for cell in (stratified() if options.part else cells()) if options.only in str(cell)]
    began = time.monotonic()
    outcomes, leaks = run(chosen, options.processes)
    seconds = time.monotonic() - began
    print(summary(outcomes))
    for leak in leaks:
        print(f"LEAK {leak}")
    print(f"{totals(outcomes)}; {len(leaks)} secrets in the logs; {seconds:.0f} s")
    lost = any(outcome.word == "lost" for outcome in outcomes)
    if options.write and not (lost or leaks):
        options.write.write_text(document(outcomes, leaks, seconds))
    return 1 if lost or leaks or len(outcomes) != len(chosen) else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="apns-matrix-home-") as home:
        os.environ.setdefault("AIRFLOW_HOME", home)
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        sys.exit(main())
