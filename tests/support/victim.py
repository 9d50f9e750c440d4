"""Workers to be killed: ``python -m tests.support.victim`` starts one for each line of JSON that it reads.

It imports everything once and forks, so that a test can kill fifty workers in as many seconds. For each line it answers
with the worker's process id, and with how it ended once it has.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class Worker:
    """One worker, in a process of its own."""

    def __init__(self, pid: int, answers: Any) -> None:
        self.pid = pid
        self._answers = answers

    def kill(self) -> None:
        """End it at once, unless it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Return its exit code, or the number of the signal that ended it as a negative number."""
        return int(json.loads(self._answers.readline()))


class Nursery:
    """Starts workers, one at a time."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        command = [sys.executable, "-m", "tests.support.victim"]
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def start(self, **job: Any) -> Worker:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return Worker(int(self._process.stdout.readline()), self._process.stdout)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)
        self._log.close()


def main() -> None:
    from airflow_provider_apns.hooks import apns as hooks
    from airflow_provider_apns.transfers import apns_to_object_storage  # noqa: F401

    hooks.retry_delay = lambda error, tries: 0.01
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                work(**json.loads(line))
            except OSError as error:
                os._exit(3 if error.errno in (errno.ENOSPC, errno.EFBIG) else 4)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(5)
            os._exit(0)
        print(pid, file=answers, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def work(
    *,
    path: str,
    status_url: str = "",
    operator: dict[str, Any] | None = None,
    stop_at: str = "",
    marker: str = "",
    limit: int = 0,
    tmp: str = "",
) -> None:
    """Download an export, or run the operator.

    :param stop_at: fall asleep there, ``fsync`` or ``published``, once ``marker`` has been written
    :param limit: the largest file that this process can write
    """
    import tempfile

    from airflow_provider_apns import storage
    from airflow_provider_apns.hooks.apns import ApnsHook

    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if tmp:
        tempfile.tempdir = tmp

    def asleep(*args: Any) -> None:
        Path(marker).touch()
        time.sleep(60)

    if stop_at == "fsync":
        storage._sync = asleep
    elif stop_at == "published":
        storage._report_lineage = asleep
    if operator:
        from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

        ApnsToObjectStorageOperator(task_id="x", path=path, deferrable=False, poke_interval=0.01, **operator).execute(
            {}
        )
    else:
        ApnsHook().download_export(status_url, path)


if __name__ == "__main__":
    main()
