from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_apns import _compat
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsError, ApnsServiceError
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from tests.unit.conftest import Connect
from tests.unit.helpers import day

NO_CONTEXT: Any = {}


class TaskInstance:
    """As much of a task instance as a sensor in reschedule mode asks for."""

    dag_id, task_id, run_id, map_index, try_number, max_tries = "dag", "wait", "run", -1, 1, 0

    def get_first_reschedule_date(self, context: Any) -> None:
        return None


@pytest.fixture
def status_url(apple: Emulator) -> str:
    return ApnsHook().request_export("application", day(-7), day(-1)).status_url


def sensor(status_url: str, **options: Any) -> ApnsExportSensor:
    return ApnsExportSensor(task_id="wait", status_url=status_url, **{"poke_interval": 0.01, "timeout": 30, **options})


def run(task: ApnsExportSensor) -> Any:
    """Run a sensor to its end, as a worker and a triggerer do together."""
    context: Any = {"ti": TaskInstance()}
    try:
        return task.execute(context)
    except TaskDeferred as deferral:
        trigger: Any = deferral.trigger
        trigger.first_delay = 0

        async def first_event() -> Any:
            return await anext(trigger.run())

        event = asyncio.run(first_event()).payload
        return task.resume_execution(deferral.method_name, {"event": event}, context)


def time_is_up(task: ApnsExportSensor) -> None:
    """Resume a sensor whose deferral has lasted too long."""
    task.resume_execution("__fail__", {"error": "Trigger timeout"}, NO_CONTEXT)


modes = pytest.mark.parametrize("options", [{"deferrable": True}, {"deferrable": False}], ids=["deferrable", "poke"])


class TestWaiting:
    @modes
    def test_returns_the_status_url(self, apple: Emulator, status_url: str, options: dict[str, Any]) -> None:
        apple.configure(processing_polls=2)
        assert run(sensor(status_url, **options)) == status_url
        assert apple.ledger.gets == 3
        assert apple.ledger.downloads == 0

    def test_reschedule_mode_gives_the_worker_back(self, apple: Emulator, status_url: str) -> None:
        pytest.importorskip("airflow.sdk", reason="Airflow 2 asks its database for the first try")
        from airflow.exceptions import AirflowRescheduleException

        apple.configure(processing_polls=1)
        task = sensor(status_url, deferrable=False, mode="reschedule")
        with pytest.raises(AirflowRescheduleException):
            run(task)
        assert apple.ledger.gets == 1
        assert run(task) == status_url

    def test_deferrable_is_the_default_and_asks_nothing_in_the_worker(self, apple: Emulator, status_url: str) -> None:
        task = sensor(status_url, poke_interval=timedelta(seconds=20), timeout=timedelta(minutes=5))
        with pytest.raises(TaskDeferred) as deferral:
            task.execute(NO_CONTEXT)
        path, arguments = deferral.value.trigger.serialize()
        assert path == "airflow_provider_apns.triggers.apns.ApnsExportTrigger"
        assert (arguments["status_url"], arguments["apns_conn_id"]) == (status_url, "apns_default")
        assert arguments["poke_interval"] == 20
        assert deferral.value.timeout == timedelta(minutes=5)
        assert apple.ledger.gets == 0

    @modes
    def test_a_token_that_has_been_replaced(
        self, apple: Emulator, status_url: str, connect: Connect, options: dict[str, Any]
    ) -> None:
        apple.rotate_token("the-new-token")
        connect(apple)
        assert run(sensor(status_url, **options)) == status_url

    def test_templates(self) -> None:
        assert set(ApnsExportSensor.template_fields) == {"status_url", "apns_conn_id"}


class TestFailing:
    @modes
    @pytest.mark.parametrize(
        ("fault", "soft_fail", "expected", "told"),
        [
            # What no retry can fix fails without retries, and an outage is left to Airflow's.
            ("status:failed", False, AirflowFailException, "FAILED.*24 hours"),
            ("status:failed", True, AirflowSkipException, None),
            ("status:400", False, AirflowFailException, "400"),
            ("status:401", False, AirflowFailException, "does not accept the data export token"),
            ("status:404", False, AirflowFailException, "404"),
            ("status:503:times=forever", False, ApnsServiceError, "503"),
        ],
    )
    def test_how_it_ends(
        self,
        apple: Emulator,
        status_url: str,
        short_waits: list[float],
        options: dict[str, Any],
        fault: str,
        soft_fail: bool,
        expected: type[Exception],
        told: str | None,
    ) -> None:
        apple.inject(fault)
        with pytest.raises(expected, match=told):
            run(sensor(status_url, soft_fail=soft_fail, **options))

    @modes
    @pytest.mark.parametrize("status_url", ["https://evil.com/", "", "None", "file:///etc/passwd"])
    def test_a_foreign_status_url(self, apple: Emulator, status_url: str, options: dict[str, Any]) -> None:
        with pytest.raises(AirflowFailException, match=r"not a status URL|The token was not sent"):
            run(sensor(status_url, **options))
        assert apple.ledger.connections == 0

    def test_an_error_of_another_version_of_the_provider_is_retried(self, status_url: str) -> None:
        event = {"error": "ApnsErrorOfTheFuture", "message": "Something new."}
        with pytest.raises(ApnsError, match=r"Something new\."):
            sensor(status_url).resume_execution("execute_complete", {"event": event}, NO_CONTEXT)


class TestTimeout:
    @pytest.mark.parametrize(("soft_fail", "expected"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)])
    @pytest.mark.parametrize("mode", ["deferrable", "poke", "reschedule"])
    def test_is_a_sensors_timeout_in_every_mode(
        self, apple: Emulator, status_url: str, mode: str, soft_fail: bool, expected: type[Exception]
    ) -> None:
        if mode == "reschedule":
            pytest.importorskip("airflow.sdk", reason="Airflow 2 asks its database for the first try")
        apple.configure(processing_polls=1_000_000)
        ending, options = (time_is_up, {}) if mode == "deferrable" else (run, {"deferrable": False, "mode": mode})
        with pytest.raises(expected):
            ending(sensor(status_url, soft_fail=soft_fail, timeout=0, **options))

    @pytest.mark.parametrize(
        ("airflow", "soft_fail", "expected", "limit"),
        [
            # Airflow 2 holds a deferral to execution_timeout, too, after which a task is tried again.
            ((2, 11), False, ApnsServiceError, 300),
            ((2, 11), True, AirflowSkipException, 300),
            ((3, 0), False, AirflowSensorTimeout, 3600),
        ],
    )
    def test_and_execution_timeout(
        self,
        monkeypatch: pytest.MonkeyPatch,
        airflow: tuple[int, int],
        soft_fail: bool,
        expected: type[Exception],
        limit: int,
    ) -> None:
        monkeypatch.setattr(_compat, "_AIRFLOW", airflow)
        task = sensor("https://a/1", soft_fail=soft_fail, timeout=3600, execution_timeout=timedelta(minutes=5))
        with pytest.raises(expected, match=f"within {limit} s"):
            time_is_up(task)
