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

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsError, ApnsServiceError
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.sensors.apns import ApnsExportSensor
from tests.unit.conftest import Connect
from tests.unit.helpers import day

TIMED_OUT = ("__fail__", {"error": "Trigger timeout"})


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


def first_event(trigger: Any) -> Any:
    """What a trigger reports, looked at without delay."""
    trigger.first_delay = 0

    async def first() -> Any:
        return await anext(trigger.run())

    return asyncio.run(first())


def run(task: ApnsExportSensor) -> Any:
    """Run a sensor to its end, as a worker and a triggerer do together."""
    context: Any = {"ti": TaskInstance()}
    try:
        return task.execute(context)
    except TaskDeferred as deferral:
        event = first_event(deferral.trigger)
        return task.resume_execution(deferral.method_name, {"event": event.payload}, context)


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
            task.execute({})  # type: ignore[typeddict-item]
        path, arguments = deferral.value.trigger.serialize()
        assert path == "airflow_provider_apns.triggers.apns.ApnsExportTrigger"
        assert (arguments["status_url"], arguments["apns_conn_id"]) == (status_url, "apns_default")
        assert arguments["poke_interval"] == 20
        assert deferral.value.timeout == timedelta(minutes=5)
        assert apple.ledger.gets == 0

    @modes
    def test_a_token_that_is_replaced_meanwhile(
        self, apple: Emulator, status_url: str, connect: Connect, options: dict[str, Any]
    ) -> None:
        apple.rotate_token("the-new-token")
        connect(apple)
        assert run(sensor(status_url, **options)) == status_url

    def test_templates(self) -> None:
        assert set(ApnsExportSensor.template_fields) == {"status_url", "apns_conn_id"}


class TestFailing:
    @modes
    @pytest.mark.parametrize(("fate", "word"), [("fail", "FAILED"), ("expire", "EXPIRED")])
    def test_an_export_without_a_report_fails_without_retries(
        self, apple: Emulator, options: dict[str, Any], fate: str, word: str
    ) -> None:
        apple.configure(**{fate: 1.0})
        status_url = ApnsHook().request_export("application", day(-7), day(-1)).status_url
        with pytest.raises(AirflowFailException, match=f"{word}.*24 hours"):
            run(sensor(status_url, **options))

    @modes
    @pytest.mark.parametrize(
        ("fault", "told"),
        [("status:401", "does not accept the data export token"), ("status:404", "404"), ("status:400", "400")],
    )
    def test_what_no_retry_can_mend_fails_without_retries(
        self, apple: Emulator, status_url: str, options: dict[str, Any], fault: str, told: str
    ) -> None:
        apple.inject(f"{fault}:times=forever")
        with pytest.raises(AirflowFailException, match=told):
            run(sensor(status_url, **options))

    @modes
    @pytest.mark.parametrize("status_url", ["https://evil.com/", "", "None", "file:///etc/passwd"])
    def test_a_foreign_status_url(self, apple: Emulator, status_url: str, options: dict[str, Any]) -> None:
        with pytest.raises(AirflowFailException, match=r"no status URL|The token was not sent"):
            run(sensor(status_url, **options))
        assert apple.ledger.connections == 0

    @modes
    def test_an_outage_is_left_to_airflows_retries(
        self, apple: Emulator, status_url: str, options: dict[str, Any], short_waits: list[float]
    ) -> None:
        apple.inject("status:503:times=forever")
        with pytest.raises(ApnsServiceError, match="503"):
            run(sensor(status_url, **options))

    @modes
    def test_soft_fail_skips(self, apple: Emulator, status_url: str, options: dict[str, Any]) -> None:
        apple.inject("status:failed")
        with pytest.raises(AirflowSkipException):
            run(sensor(status_url, soft_fail=True, **options))

    @pytest.mark.parametrize(("soft_fail", "expected"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)])
    @pytest.mark.parametrize("mode", ["deferrable", "poke", "reschedule"])
    def test_the_timeout_is_a_sensors_timeout_in_every_mode(
        self, apple: Emulator, status_url: str, mode: str, soft_fail: bool, expected: type[Exception]
    ) -> None:
        if mode == "reschedule":
            pytest.importorskip("airflow.sdk", reason="Airflow 2 asks its database for the first try")
        apple.configure(processing_polls=1_000_000)
        if mode == "deferrable":
            task = sensor(status_url, soft_fail=soft_fail)
            with pytest.raises(expected):
                task.resume_execution(*TIMED_OUT, {})  # type: ignore[arg-type]
            return
        task = sensor(status_url, soft_fail=soft_fail, deferrable=False, mode=mode, timeout=0)
        with pytest.raises(expected):
            run(task)

    @pytest.mark.parametrize("soft_fail", [False, True])
    def test_an_execution_timeout_that_ends_the_wait_is_retried(self, status_url: str, soft_fail: bool) -> None:
        task = sensor(status_url, soft_fail=soft_fail, timeout=3600, execution_timeout=timedelta(minutes=5))
        task.start_from_trigger = True  # Airflow 2 holds every deferral to it
        expected: type[Exception] = AirflowSkipException if soft_fail else ApnsServiceError
        with pytest.raises(expected, match="within 300 s"):
            task.resume_execution(*TIMED_OUT, {})  # type: ignore[arg-type]

    def test_an_execution_timeout_is_not_that_of_the_wait(self, status_url: str) -> None:
        pytest.importorskip("airflow.sdk", reason="Airflow 2 holds every deferral to it")
        task = sensor(status_url, timeout=3600, execution_timeout=timedelta(minutes=5))
        with pytest.raises(AirflowSensorTimeout, match="within 3600 s"):
            task.resume_execution(*TIMED_OUT, {})  # type: ignore[arg-type]

    def test_an_error_of_another_version_of_the_provider_is_retried(self, status_url: str) -> None:
        event = {"error": "ApnsErrorOfTheFuture", "message": "Something new."}
        with pytest.raises(ApnsError, match=r"Something new\."):
            sensor(status_url).resume_execution("execute_complete", {"event": event}, {})  # type: ignore[arg-type]


class TestFromTheTrigger:
    def test_needs_to_be_deferrable(self) -> None:
        for option in ("start_from_trigger", "end_from_trigger"):
            with pytest.raises(ValueError, match="need deferrable=True"):
                sensor("x", deferrable=False, **{option: True})

    def test_ends_in_the_trigger(self, apple: Emulator, status_url: str) -> None:
        with pytest.raises(TaskDeferred) as deferral:
            sensor(status_url, end_from_trigger=True).execute({})  # type: ignore[typeddict-item]
        event = first_event(deferral.value.trigger)
        assert event.xcoms == {"return_value": status_url}
