"""Waiting for Apple to build an export."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_apns import _compat
from airflow_provider_apns.exceptions import ApnsError, ApnsServiceError, failing_at_once
from airflow_provider_apns.links.apns import ApnsConsoleLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ApnsExportSensor(BaseSensorOperator):
    """
    Waits until an export can be downloaded, and returns its status URL for the task downstream.

    While it is deferred (the default), it holds no worker slot. It polls the export often at first, then less often, up
    to every ``poke_interval``. ``FAILED`` and ``EXPIRED`` fail the task at once, without retries.

    ``timeout``, ``soft_fail`` and ``never_fail`` mean the same in every mode. If the time is up, or if a retry cannot
    help, ``soft_fail`` and ``never_fail`` skip the task instead of failing it; ``never_fail`` also does so for any
    other failure. ``silent_fail``, ``exponential_backoff`` and ``max_wait`` apply only to waits in a worker.

    :param status_url: what :class:`~airflow_provider_apns.operators.apns.ApnsRequestExportOperator` returned.
        (templated)
    :param apns_conn_id: the connection that the export was requested with. (templated)
    :param deferrable: whether to wait in the triggerer; otherwise, ``mode`` says how to wait in a worker.
    :param poke_interval: seconds between two polls: at most, if deferred; exactly, otherwise.
    :param timeout: seconds after which the sensor gives up, counted from the task's first start, retries included.
        The default is Airflow's ``[sensors] default_timeout``. Airflow 3.0 to 3.2 do not tell a task when it first
        started, so the time starts again with each retry.
    """

    template_fields: Sequence[str] = ("status_url", "apns_conn_id")
    operator_extra_links = (ApnsConsoleLink(),)
    ui_color = "#e8f0fe"

    _deadline = math.inf

    def __init__(
        self,
        *,
        status_url: str,
        apns_conn_id: str = "apns_default",
        deferrable: bool = True,
        poke_interval: timedelta | float = 60,
        timeout: timedelta | float | None = None,
        **kwargs: Any,
    ) -> None:
        if timeout is not None:  # Airflow before 3.3 has a default in the signature, and does not accept None.
            kwargs["timeout"] = timeout
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.status_url = status_url
        self.apns_conn_id = apns_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """
        Wait for the export.

        :return: the status URL.
        """
        with self._skipping():
            remaining = self._remaining(context)
            self._deadline = time.monotonic() + remaining
            if not self.deferrable:
                return super().execute(context)
            if remaining <= 0:
                return self.poke(context).xcom_value
            self._defer(remaining)

    def _defer(self, remaining: float) -> None:
        from airflow_provider_apns.triggers.apns import ApnsExportTrigger

        self.log.info("Waiting for export %s for %.0f s at most.", self.status_url, remaining)
        self.defer(
            trigger=ApnsExportTrigger(
                status_url=self.status_url, apns_conn_id=self.apns_conn_id, poke_interval=float(self.poke_interval)
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=remaining),
        )

    @failing_at_once()
    def poke(self, context: Context) -> PokeReturnValue:
        """
        Poll once, from a worker.

        :raises AirflowSensorTimeout: if the export is not ready, and the time is up.
        """
        from airflow_provider_apns.hooks.apns import ApnsHook

        export = ApnsHook(self.apns_conn_id).get_export(self.status_url).check()
        if not export.is_ready:
            # In most modes and versions, Airflow's own clock restarts with each retry, and ignores `never_fail`.
            if time.monotonic() > self._deadline:
                raise self._time_is_up(self.timeout)
            self.log.info(
                "Export %s is %s; polling again in %.0f s.", export.status_url, export.status, self.poke_interval
            )
        return PokeReturnValue(is_done=export.is_ready, xcom_value=self.status_url)

    @failing_at_once()
    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """
        Resume the task after the wait.

        :param event: the trigger's event.
        :return: the status URL.
        """
        if "error" in event:
            raise ApnsError.from_event(event)
        self.log.info("Export %s is ready.", self.status_url)
        return self.status_url

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Resume the task; a wait that timed out is a sensor timeout on every Airflow.

        :raises ApnsServiceError: for a retry, if ``execution_timeout`` ended the wait.
        """
        with self._skipping():
            if not _compat.is_deferral_timeout(next_method, next_kwargs):
                # Not the base sensor's own, which skips in more cases than a wait in a worker does.
                return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
            limit = _compat.deferral_limit(self, self.timeout)
            if limit < self.timeout and self._remaining(context) > 0 and not (self.soft_fail or self.never_fail):
                raise ApnsServiceError(
                    f"Export {self.status_url} was not ready within {limit:.0f} s, the task's execution_timeout."
                )
            raise self._time_is_up(limit)

    def _remaining(self, context: Context) -> float:
        start = _compat.first_start(self, context)
        passed = (datetime.now(tz=timezone.utc) - start).total_seconds() if start else 0.0
        return self.timeout - passed

    def _time_is_up(self, seconds: float) -> AirflowSensorTimeout:
        return AirflowSensorTimeout(f"Export {self.status_url} was not ready within {seconds:.0f} s.")

    @contextmanager
    def _skipping(self) -> Iterator[None]:
        """Skip the task instead of failing it, as ``soft_fail`` and ``never_fail`` do in Airflow's poke mode."""
        from airflow.exceptions import AirflowRescheduleException

        try:
            yield
        except (AirflowSkipException, AirflowRescheduleException):
            raise
        except (AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
