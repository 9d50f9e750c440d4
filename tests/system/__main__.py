"""
Apple's metrics over a distributed Airflow whose parts die: ``make test-distributed``.

    python -m tests.system [--calm] [--keep FOLDER] [--batches 3] [--channels 2000] [--mapped 40] [--three-tasks 10]
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tests.support.debian import Unavailable
from tests.support.metadata import Run
from tests.support.s3 import S3Server
from tests.support.secrets_search import find_secrets
from tests.system import asked as orders
from tests.system import servers
from tests.system.apple import Apple
from tests.system.cluster import Cluster

OUTAGE = 15.0
PROCESSING = 20
TOKENS = {"token": "first-data-export-token-0123456789", "next token": "other-data-export-token-9876543210"}

STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:4.0f} s] {text}", flush=True)


class Scenario:
    """
    One deployment, and all that happens to it.

    :param folder: for everything that is written
    :param options: the command line
    """

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.faults: list[str] = []
        self.searched = folder / "searched"  # the logs, and the dumps of both databases
        self.searched.mkdir()
        self.connections = folder / "connections.json"
        channels = options.mapped + options.batches * options.channels
        self.postgresql = servers.postgresql(folder / "postgresql")
        self.redis = servers.redis(folder / "redis")
        self.s3 = servers.s3(folder / "s3")
        self.emulator = servers.emulator(
            folder / "apple", TOKENS["token"], channels=channels, processing_seconds=PROCESSING
        )
        self.apple = Apple(self.emulator.port, folder / "apple", channels)
        self.store = S3Server(self.s3.port, servers.BUCKET, servers.S3_KEYS)
        self.asked = orders.plan(
            datetime.now(timezone.utc).date(),
            self.apple.channel_ids,
            batches=options.batches,
            mapped=options.mapped,
            three_tasks=options.three_tasks,
        )
        self.airflow = Cluster(
            self.searched / "airflow",
            postgresql=self.postgresql.port,
            redis=self.redis.port,
            connections=self.connections,
            ca=self.apple.ca,
        )

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.s3.start()
        self.emulator.start()
        self.connect(TOKENS["token"])

    def stop(self) -> None:
        for server in (self.emulator, self.s3, self.redis, self.postgresql):
            server.stop()

    def connect(self, token: str) -> None:
        """Write the file of the secrets backend anew, so that no reader finds half of it."""
        draft = self.connections.with_suffix(".draft")
        content = {"apns_default": self.apple.connection(token), "store": json.loads(self.store.connection)}
        draft.write_text(json.dumps(content))
        draft.replace(self.connections)

    # -- what happens ----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start the single exports at once, with the first batch; then let one part after the other die."""
        asked = orders.runs(self.asked)
        batches = [each for each in asked if each[0] == "batch"]
        singles = [each for each in asked if each[0] != "batch"]
        self.begin([*singles, *batches[:1]])
        if self.options.calm or len(batches) < 3:
            self.begin(batches[1:])
        else:
            self.cause_faults(batches)
        self.wait("every DAG run to end", lambda: self.ended() == len(asked), timeout=900)

    def begin(self, asked: list[tuple[str, dict[str, Any]]]) -> None:
        if asked:
            self.airflow.trigger_all(asked)
            say(f"{len(asked)} DAG runs begin: {', '.join(sorted({dag_id for dag_id, _ in asked}))}")

    def cause_faults(self, batches: list[tuple[str, dict[str, Any]]]) -> None:
        first, second, third = (Run(dag_id, conf["key"]) for dag_id, conf in batches)

        self.await_phase(first, "running", "exports_created", more=self.options.channels // 3)
        self.kill(self.airflow.worker_of(first), f"it requests {first.run_id}")

        self.begin(batches[1:2])
        self.wait(f"a triggerer to wait for {second.run_id}", lambda: bool(self.airflow.triggerer_of(second)))
        self.dump("middle")
        self.kill(self.airflow.triggerer_of(second), f"it waits for {second.run_id}")

        self.await_phase(second, "resumed", "downloads", more=100)
        with self.outage(self.s3.name, f"{second.run_id} is on its way there"):
            self.s3.kill()
        self.s3.start()

        self.begin(batches[2:])
        self.await_phase(third, "running", "exports_created", more=self.options.channels // 3)
        with self.outage(self.emulator.name, f"{third.run_id} is being requested"):
            self.emulator.kill()
        # From here on, only another token is valid.
        self.connect(TOKENS["next token"])
        self.emulator.command[-1] = f"--token={TOKENS['next token']}"
        self.emulator.start()
        self.faults.append("token rotated")

    def await_phase(self, run: Run, phase: str, what: str, *, more: int) -> None:
        """Return when a batch's task is at something, and the ledger shows that it has come some way."""
        self.wait(f"{run.run_id} to be {phase}", lambda: self.airflow.phase(run) == phase)
        enough = self.apple.ledger()[what] + more
        self.wait(
            f"{run.run_id} to come some way",
            lambda: self.apple.ledger()[what] >= enough or self.airflow.phase(run) != phase,
        )

    def kill(self, component: str, detail: str) -> None:
        with self.outage(component, detail):
            self.airflow.kill(component)
        self.airflow.start(component)

    @contextmanager
    def outage(self, what: str, detail: str) -> Iterator[None]:
        states = self.airflow.states()
        say(f"SIGKILL: {what} ({detail}; {states['running']} tasks run, {states['deferred']} wait)")
        yield
        self.faults.append(f"{what} killed")
        time.sleep(OUTAGE)
        say(f"{what} comes back")

    def wait(self, what: str, condition: Callable[[], bool], timeout: float = 240) -> None:
        """Wait, and tell now and then how things stand."""
        told = [time.monotonic()]

        def checked() -> bool:
            if time.monotonic() - told[0] > 20:
                told[0] = time.monotonic()
                states = ", ".join(f"{count} {state}" for state, count in sorted(self.airflow.states().items()))
                say(f"waiting for {what}: {states}")
            return condition()

        self.airflow.wait_for(what, checked, timeout=timeout, on_timeout=lambda: str(self.airflow.states()))

    def ended(self) -> int:
        query = "SELECT count(*) FROM dag_run WHERE state IN ('success', 'failed')"
        return int(self.airflow.metadata.query(query)[0][0])

    # -- what came of it -------------------------------------------------------------------------------------

    def dump(self, name: str) -> None:
        """Write down all that PostgreSQL holds at this moment."""
        to = f"--file={self.searched / f'postgresql-{name}.sql'}"
        where = servers.as_client(self.postgresql)
        subprocess.run([servers.postgresql_program("pg_dump"), *where, to, "airflow"], check=True)

    def report(self) -> dict[str, tuple[object, bool]]:
        """Return the table's lines: what is shown, and whether it is as it must be."""
        exports = sum(each.exports for each in self.asked)
        self.apple.read_journal()
        whole = [each for each in self.asked if self.is_whole(each)]
        states = self.airflow.states()
        unfinished = sum(states.values()) - states["success"]
        tries = "SELECT coalesce(sum(try_number - 1), 0) FROM task_instance WHERE try_number > 0"
        ledger = self.apple.ledger()
        lines: dict[str, tuple[object, bool]] = {
            "exports asked": (f"{exports:,}", True),
            "objects whole": (f"{len(whole)} of {len(self.asked)}", len(whole) == len(self.asked)),
            "faults injected": (f"{len(self.faults)}: {', '.join(self.faults)}", True),
            "task retries taken": (int(self.airflow.metadata.query(tries)[0][0]), True),
            "requests repeated": (self.logged("Trying again in"), True),
            "tasks lost or stuck": (unfinished, unfinished == 0),
            "duplicates": (self.apple.created_again, self.apple.created_again == 0),
            "exports never created": (exports - self.apple.created, exports == self.apple.created),
            "token at a wrong place": (len(ledger["violations"]), not ledger["violations"]),
        }
        found = self.secrets()
        return lines | {"secrets found": ("\n".join(map(str, found)) or 0, not found)}

    def is_whole(self, each: orders.Asked) -> bool:
        try:
            return each.is_right(self.store.read(each.key), self.apple.csv)
        except Exception as error:  # whatever is wrong with it, it is not whole
            say(f"{each.key}: {type(error).__name__}: {error}"[:300])
            return False

    def logged(self, text: str) -> int:
        return sum(path.read_text(errors="replace").count(text) for path in self.searched.rglob("*.log"))

    def secrets(self) -> list[object]:
        self.dump("end")
        shutil.copytree(self.folder / "redis", self.searched / "redis")
        needles = {**TOKENS, "signed URL": self.apple.signature_mark}
        return list(find_secrets(self.searched, needles, fernet_key=self.airflow.fernet_key))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calm", action="store_true", help="without faults, to measure")
    parser.add_argument("--batches", type=int, default=3, help="batches, each in one task")
    parser.add_argument("--channels", type=int, default=2000, help="channels of one batch")
    parser.add_argument("--mapped", type=int, default=40, help="single exports in one mapped task")
    parser.add_argument("--three-tasks", type=int, default=10, help="single exports in three tasks each")
    parser.add_argument("--keep", type=Path, help="a folder, not there yet, for everything that is written")
    options = parser.parse_args()
    # As on a Ctrl-C, all that was started ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="apns-distributed-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)  # PostgreSQL's user must find its own folder in it
    try:
        with ExitStack() as stack:
            scenario = Scenario(folder, options)
            stack.callback(scenario.stop)
            scenario.start()
            say("PostgreSQL, Redis, S3 and the emulator answer")
            with scenario.airflow:
                say("Airflow is up: " + ", ".join(scenario.airflow.commands))
                scenario.run()
                lines = scenario.report()
    except Unavailable as error:
        sys.exit(f"make test-distributed: {error}")
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print()
    for name, (value, good) in lines.items():
        print(f"{name:24}{value}{'' if good else '   <- WRONG'}")
    failed = [name for name, (_, good) in lines.items() if not good]
    print(f"\n{len(lines) - len(failed)} passed, {len(failed)} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
