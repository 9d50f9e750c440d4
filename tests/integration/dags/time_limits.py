"""What test_time_limits.py runs: a task for each of its tries, in ``TIME_LIMITS`` (JSON).

Each task's time begins when its operator is called for the try's turn: 0 is ``execute``, 1 is what follows a deferral.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

PLAN = json.loads(os.environ.get("TIME_LIMITS", '{"tries": []}'))


class Limit:
    """Lets a task's time be up, and notes in a file how late it ended and in which functions it was."""

    def __init__(self, end: str, seconds: float, turn: int) -> None:
        self.end, self.seconds, self.turn = end, seconds, turn
        self.turns = count()
        self.begun = 0.0
        self.timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))

    def begin(self, context: Any) -> None:
        if next(self.turns) != self.turn:
            return
        self.begun = time.monotonic()
        if self.end == "SIGTERM":
            self.timer.start()
        else:
            context["task"].execution_timeout = timedelta(seconds=self.seconds)

    def note(self, context: Any) -> None:
        late = time.monotonic() - self.begun - self.seconds
        error = context["exception"]
        calls = [f"{Path(f.filename).stem}.{f.name}" for f in traceback.extract_tb(error.__traceback__)]
        with Path(PLAN["notes"]).open("a") as notes:
            notes.write(json.dumps({"late": late, "error": type(error).__name__, "calls": calls}) + "\n")


def method(limit: Limit, name: str) -> Callable[[Any], None]:
    """Airflow copies tasks, but not functions."""
    return lambda context: getattr(limit, name)(context)


with DAG("time_limits", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
    for number, (end, seconds, turn, arguments) in enumerate(PLAN["tries"]):
        limit = Limit(end, seconds, turn)
        ApnsToObjectStorageOperator(
            task_id=f"try_{number}",
            pre_execute=method(limit, "begin"),
            on_failure_callback=method(limit, "note"),
            **arguments,
        )
