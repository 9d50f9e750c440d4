"""A task whose time is up ends at once, wherever it is: by ``execution_timeout``, or by SIGTERM when marked failed."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import psutil
import pytest

from airflow_provider_apns.emulator import Emulator
from tests.support.dag_test import run_dag

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.usefixtures("airflow_db", "prompt")]

DAG_FILE = Path(__file__).parent / "dags" / "time_limits.py"
TRIES = 20


class Place(NamedTuple):
    """Where a task is when its time is up.

    :param function: what it is doing there
    :param turn: 0 in ``execute``, 1 after a deferral
    :param apple: settings of the emulator
    :param fault: what makes it slow
    :param share: how many of the channels a try exports
    :param arguments: of the operator
    """

    function: str
    turn: int
    apple: dict[str, Any]
    fault: str = ""
    share: int | None = None
    arguments: Mapping[str, Any] = MappingProxyType({})


IN_WORKER = {"deferrable": False, "poke_interval": 0.01}
PLACES = {
    "requesting": Place("job.request", 0, {"channels": 2000}, arguments=IN_WORKER),
    "waiting": Place("job.wait", 0, {"channels": 20, "processing_seconds": 3600}, arguments=IN_WORKER),
    "downloading": Place("job.write", 1, {"channels": 20}, "download:trickle:times=forever,seconds=0.02"),
    "writing": Place("job.write", 1, {"channels": 150}, arguments={"path": "{channel_id}/{date}.csv"}),
    # The first request of each channel is answered, and its export fails; what it is asked for then hangs.
    "healing": Place(
        "job.heal", 1, {"channels": 4 * TRIES, "fail": 1}, "request:stall:times=forever,after=1,each=true", share=4
    ),
}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]


@pytest.fixture
def apple(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(**place.apple) as apple:
        if place.fault:
            apple.inject(place.fault)
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
        yield apple


@pytest.fixture(params=["execution_timeout", "SIGTERM"])
def end(request: pytest.FixtureRequest) -> Iterator[str]:
    before = signal.getsignal(signal.SIGTERM)
    yield request.param
    signal.signal(signal.SIGTERM, before)


def test_every_try_ends_in_time(
    apple: Emulator, place: Place, end: str, yesterday: date, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels, share = apple.channel_ids, place.share or len(apple.channel_ids)
    days = {"first_day": str(yesterday - timedelta(days=29)), "last_day": str(yesterday)}
    path = place.arguments.get("path", "{date}.csv")
    tries = []
    for number in range(TRIES):
        some = channels[number * share % len(channels) :][:share]
        what = {"dataset": "channel", "channel_ids": some, "path": f"{tmp_path}/{number}/{path}"}
        tries.append((end, random.uniform(0.02, 1.2), place.turn, {**days, **place.arguments, **what}))
    notes = tmp_path / "notes.jsonl"
    monkeypatch.setenv("TIME_LIMITS", json.dumps({"tries": tries, "notes": str(notes)}))
    children = psutil.Process().children(recursive=True)

    result = run_dag(DAG_FILE)

    told = [json.loads(line) for line in notes.read_text().splitlines()]
    sys.stdout.write(f"{end}: {sorted(round(note['late'], 2) for note in told)}\n")
    assert set(result.states().values()) == {"failed"}
    assert len(told) == TRIES
    assert {note["error"] for note in told} == {"AirflowTaskTimeout" if end == "execution_timeout" else "SystemExit"}
    assert max(note["late"] for note in told) < (2 if os.getloadavg()[0] > (os.cpu_count() or 1) else 1)
    assert sum(place.function in note["calls"] for note in told) > TRIES / 2
    begun = sum(any((tmp_path / str(number)).rglob("*.csv")) for number in range(TRIES))
    assert begun > TRIES / 4 if place is PLACES["writing"] else begun == 0
    assert psutil.Process().children(recursive=True) == children
    time.sleep(0.3)
    assert threads_at_work() == []


def threads_at_work() -> list[str]:
    """Return what other threads are doing for the operator."""
    others = (frame for thread, frame in sys._current_frames().items() if thread != threading.get_ident())
    stacks = map(str, map(traceback.extract_stack, others))
    return [stack for stack in stacks if "airflow_provider_apns/batches" in stack]
