"""How a wait ends: alike in every mode, with Airflow's own meaning of ``soft_fail``, ``never_fail`` and ``timeout``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import date, datetime, timedelta, timezone
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_provider_apns import _compat
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.protocol import retries
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from airflow_provider_apns.triggers import apns as triggers
from tests.integration.dags.outcomes import MODES, OPTIONS
from tests.support.airflow_live import AIRFLOW_3, AIRFLOW_3_0
from tests.support.dag_test import run_dag

pytestmark = pytest.mark.integration

DAG_FILE = Path(__file__).parent / "dags" / "outcomes.py"
TIME_IS_UP = "the time is up"

Start = Callable[..., tuple[Emulator, dict[str, str]]]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, yesterday: date) -> Iterator[Start]:
    """Start an emulator, and ask it for an export; gives a sensor's arguments, too."""
    with ExitStack() as stack:

        def _start(name: str, **options: Any) -> tuple[Emulator, dict[str, str]]:
            apple = stack.enter_context(Emulator(**options))
            monkeypatch.setenv(f"AIRFLOW_CONN_APNS_{name.upper()}", apple.connection_json)
            conn_id = f"apns_{name}"
            export = ApnsHook(conn_id).request_export("application", yesterday - timedelta(days=1), yesterday)
            return apple, {"status_url": export.status_url, "apns_conn_id": conn_id}

        yield _start


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``dag.test()`` quick, and let it do what it leaves out of what a scheduler and a worker do."""
    triggers._hooks()
    monkeypatch.setattr(retries, "retry_delay", lambda *_: 0.001)
    monkeypatch.setattr(retries, "FIRST_POLL_DELAY", 0.1)
    monkeypatch.setitem(triggers._WaitingTrigger.__init__.__kwdefaults__, "first_delay", 0.0)
    with suppress(ImportError):
        supervisor = import_module("airflow.sdk.execution_time.supervisor")
        # Airflow before 3.3 builds it anew for each task, which takes seconds.
        monkeypatch.setattr(supervisor, "in_process_api_server", cache(supervisor.in_process_api_server))

    if not AIRFLOW_3:
        instance: Any = import_module("airflow.models.taskinstance").TaskInstance
        run = instance._run_raw_task

        def begin_and_run(self: Any, **arguments: Any) -> Any:
            self.check_and_change_state_before_execution(ignore_all_deps=True, ignore_ti_state=True)
            return run(self, **arguments)

        monkeypatch.setattr(instance, "_run_raw_task", begin_and_run)

    wait, resume, defer = triggers.ApnsExportTrigger.run, ApnsExportSensor.resume_execution, ApnsExportSensor.defer
    limits: dict[str, float] = {}

    def note_limit(self: ApnsExportSensor, *, trigger: Any, timeout: timedelta, **arguments: Any) -> None:
        limits[self.status_url] = timeout.total_seconds()
        defer(self, trigger=trigger, timeout=timeout, **arguments)

    async def wait_within_limit(self: triggers.ApnsExportTrigger) -> AsyncIterator[TriggerEvent]:
        try:
            event = await asyncio.wait_for(anext(wait(self)), limits[self.status_url])
        except asyncio.TimeoutError:
            event = TriggerEvent(TIME_IS_UP)
        yield event

    def resume_as_scheduler_says(self: ApnsExportSensor, next_method: str, next_kwargs: Any, context: Any) -> Any:
        if next_kwargs["event"] == TIME_IS_UP:
            error = "Trigger timeout" if AIRFLOW_3 else "Trigger/execution timeout"
            next_method, next_kwargs = "__fail__", {"error": error}
        return resume(self, next_method, next_kwargs, context)

    monkeypatch.setattr(ApnsExportSensor, "defer", note_limit)
    monkeypatch.setattr(triggers.ApnsExportTrigger, "run", wait_within_limit)
    monkeypatch.setattr(ApnsExportSensor, "resume_execution", resume_as_scheduler_says)


# Without an option, with soft_fail, with never_fail: the state, and the number of tries.
AT_ONCE = {"neither": ("failed", 1), "soft_fail": ("skipped", 1), "never_fail": ("skipped", 1)}
AFTER_RETRIES = {"neither": ("failed", 2), "soft_fail": ("failed", 2), "never_fail": ("skipped", 1)}
TABLE = {
    "failed": AT_ONCE,
    "expired": AT_ONCE,
    "refused": AT_ONCE,
    "outage": AFTER_RETRIES,
    "late": AT_ONCE,
    "missing": AT_ONCE,
    "incomplete": AT_ONCE,
    "untrusted": AT_ONCE,
}


@pytest.fixture
def failures(start: Start, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The sensor's arguments for each failure."""
    apple, good = start("good")
    down, during_outage = start("outage")
    down.inject("status:503:times=forever")
    for name, changes in {"refused": {"password": "another-token"}, "incomplete": {"login": ""}}.items():
        connection = json.dumps(json.loads(apple.connection_json) | changes)
        monkeypatch.setenv(f"AIRFLOW_CONN_APNS_{name.upper()}", connection)
    return {
        "failed": start("failed", fail=1.0)[1],
        "expired": start("expired", expire=1.0)[1],
        "refused": good | {"apns_conn_id": "apns_refused"},
        "outage": during_outage,
        "late": start("late", processing_seconds=3600)[1] | {"timeout": 0.5},
        "missing": good | {"apns_conn_id": "apns_missing"},
        "incomplete": good | {"apns_conn_id": "apns_incomplete"},
        "untrusted": good | {"status_url": "https://metrics.example.com/v1/status/1"},
    }


@pytest.mark.main_job
@pytest.mark.usefixtures("airflow_db", "quick")
def test_each_failure_ends_in_the_same_way_in_each_mode(
    failures: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTCOMES", json.dumps({"failures": failures}))
    result = run_dag(DAG_FILE, "outcomes")
    assert {task.task_id: (task.state, task.try_number) for task in result.tasks} == {
        f"{failure}.{option}.{mode}": TABLE[failure][option]
        for failure in TABLE
        for option in OPTIONS
        for mode in MODES
    }


@pytest.mark.skipif(AIRFLOW_3_0, reason="Airflow 3.0's dag.test() resumes a retry with the event of the try before")
@pytest.mark.main_job
@pytest.mark.usefixtures("airflow_db", "quick")
def test_the_time_of_a_retry_counts_from_the_first_start(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage ends the first try; the second begins when the time is up, so it looks once, and gives up."""
    interrupted = {mode: start(mode, processing_seconds=3600) for mode in MODES}
    for apple, _ in interrupted.values():
        apple.inject(f"status:503:times={retries.MAX_TRIES}")
    monkeypatch.setenv("OUTCOMES", json.dumps({"interrupted": {mode: each for mode, (_, each) in interrupted.items()}}))

    result = run_dag(DAG_FILE, "late_retries")
    assert {(task.state, task.try_number) for task in result.tasks} == {("failed", 2)}
    looks = {mode: apple.ledger.gets - retries.MAX_TRIES for mode, (apple, _) in interrupted.items()}
    if (3, 0) <= _compat._AIRFLOW < (3, 3):
        assert min(looks.values()) > 1, "the sensor's docstring says that each retry begins anew"
    else:
        assert looks == dict.fromkeys(MODES, 1)


class TestTheFirstStart:
    """Of a task in Airflow 3.3, whose store lasts as long as its run."""

    @pytest.fixture(autouse=True)
    def _on_airflow_3_3(self) -> None:
        if not _compat.AIRFLOW_V_3_3_PLUS:
            pytest.skip("Airflow has no task state store before 3.3")

    @staticmethod
    def of_try(try_number: int, store: dict[str, Any], *, max_tries: int = 2) -> datetime | None:
        context: Any = {
            "ti": SimpleNamespace(try_number=try_number, max_tries=max_tries),
            "task_state_store": SimpleNamespace(get=store.get, set=store.__setitem__),
        }
        return _compat.first_start(ApnsExportSensor(task_id="wait", status_url="x", retries=2), context)

    def test_is_kept_for_later_starts(self) -> None:
        store: dict[str, Any] = {}
        assert self.of_try(1, store) is None
        before = datetime.now(tz=timezone.utc)
        first = self.of_try(2, store)
        assert first is not None
        assert timedelta(0) < before - first < timedelta(seconds=5)
        assert self.of_try(3, store) == first

    def test_is_another_one_once_the_task_is_cleared(self) -> None:
        store: dict[str, Any] = {}
        self.of_try(1, store)
        assert self.of_try(2, store, max_tries=3) is None


def test_a_sensor_without_a_timeout_has_airflows_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat.sdk import conf

    assert ApnsExportSensor(task_id="wait", status_url="x").timeout == conf.getfloat("sensors", "default_timeout")
    if _compat.AIRFLOW_V_3_3_PLUS:  # before, it is read as soon as Airflow is loaded
        monkeypatch.setenv("AIRFLOW__SENSORS__DEFAULT_TIMEOUT", "1234")
        assert ApnsExportSensor(task_id="wait", status_url="x").timeout == 1234
