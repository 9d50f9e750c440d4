"""Workers to be killed: forked from a process that has imported everything, so that a test can kill many of them."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

FULL, FAILED = 3, 5
"""Exit codes of a worker: its disk was full; anything else went wrong."""

_workers = multiprocessing.get_context("forkserver")
_workers.set_forkserver_preload(
    ["airflow_provider_apns.hooks.apns", "airflow_provider_apns.transfers.apns_to_object_storage", __name__]
)


class Worker:
    """One worker, in a process of its own."""

    def __init__(self, *arguments: Any) -> None:
        self._process = _workers.Process(target=_main, args=arguments, daemon=True)
        self._process.start()

    def kill(self) -> None:
        """End it at once, unless it has ended."""
        self._process.kill()

    def wait(self) -> int | None:
        """Return its exit code, or the number of the signal that ended it as a negative number."""
        self._process.join(60)
        return self._process.exitcode


class Nursery:
    """
    Starts workers.

    :param env: environment variables, such as connections
    :param log: where the workers' logs are added
    """

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self._env, self._log = dict(env), log
        self._started: list[Worker] = []

    def start(self, **job: Any) -> Worker:
        """Start a worker; see :func:`work` for what it can do."""
        self._started.append(Worker(self._env, self._log, job))
        return self._started[-1]

    def close(self) -> None:
        """End those that still run."""
        for worker in self._started:
            worker.kill()


def _main(env: dict[str, str], log: Path, job: dict[str, Any]) -> None:
    os.environ |= env
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        work(**job)
    except BaseException as error:
        with suppress(OSError):  # the log may be over the limit, too
            traceback.print_exc()
        is_full = isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EFBIG)
        os._exit(FULL if is_full else FAILED)
    os._exit(0)


def work(
    *,
    path: str,
    status_url: str = "",
    operator: dict[str, Any] | None = None,
    stop_at: str = "",
    marker: str = "",
    limit: int = 0,
) -> None:
    """Download an export, or run the operator.

    :param path: the destination
    :param status_url: the export
    :param operator: the operator's arguments
    :param stop_at: fall asleep there, ``fsync`` or ``published``, once ``marker`` has been written
    :param limit: the largest file that this process can write
    """
    from airflow_provider_apns import storage
    from airflow_provider_apns.hooks.apns import ApnsHook
    from airflow_provider_apns.protocol import retries
    from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

    def asleep(*args: Any) -> None:
        Path(marker).touch()
        time.sleep(60)

    retries.retry_delay = lambda error, tries: 0.01
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if stop_at == "fsync":
        os.fsync = asleep
    elif stop_at == "published":
        storage._report_lineage = asleep
    if operator is None:
        ApnsHook().download_export(status_url, path)
        return
    quick = {"task_id": "x", "deferrable": False, "poke_interval": 0.01}
    ApnsToObjectStorageOperator(path=path, **quick, **operator).execute({})
