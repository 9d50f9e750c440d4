"""Waiting for Apple to build an export."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_apns import _compat
from airflow_provider_apns.exceptions import ApnsError, ApnsServiceError, failing_at_once
from airflow_provider_apns.links.apns import ApnsConsoleLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class ApnsExportSensor(BaseSensorOperator):
    """
    Waits until an export can be downloaded, and returns its status URL for the task downstream.

    While it is deferred (the default) it holds no worker slot. It looks at the export soon at first, then less and
    less often up to ``poke_interval``. ``FAILED`` and ``EXPIRED`` fail the task at once, without retries;
    ``timeout`` and ``soft_fail`` mean the same in every mode.

    :param status_url: what :class:`~airflow_provider_apns.operators.apns.ApnsRequestExportOperator` returned.
        (templated)
    :param apns_conn_id: the connection that the export was requested with. (templated)
    :param deferrable: whether to wait in the triggerer; without it, ``mode`` says how to wait in a worker.
    :param poke_interval: seconds between two looks: the longest time when deferred, the exact one otherwise.
    :param timeout: seconds after which the sensor gives up.
    :param start_from_trigger: begin in the triggerer, without a worker (Airflow 3.3 and newer). ``status_url`` must
        then be a template such as ``{{ ti.xcom_pull(task_ids='request_export', map_indexes=-1) }}``, and the task's
        ``on_execute_callback`` and ``pre_execute`` are not called.
    :param end_from_trigger: end in the triggerer, too, when the export is ready; a failure still comes to a worker,
        with its retries and callbacks. ``post_execute`` is not called, there can be no ``outlets`` and no
        ``on_success_callback``, and Airflow refuses the DAG where a plugin has listeners, as OpenLineage's does.
    """

    template_fields: Sequence[str] = ("status_url", "apns_conn_id")
    operator_extra_links = (ApnsConsoleLink(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        status_url: str,
        apns_conn_id: str = "apns_default",
        deferrable: bool = True,
        poke_interval: timedelta | float = 60,
        timeout: timedelta | float = 24 * 60 * 60,
        start_from_trigger: bool = False,
        end_from_trigger: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, **kwargs)
        self.status_url = status_url
        self.apns_conn_id = apns_conn_id
        self.deferrable = deferrable
        self.end_from_trigger = end_from_trigger
        if (start_from_trigger or end_from_trigger) and not deferrable:
            raise ValueError("start_from_trigger and end_from_trigger need deferrable=True.")
        for unheard in ("outlets", "on_success_callback"):
            if end_from_trigger and getattr(self, unheard):
                raise ValueError(f"end_from_trigger: Airflow would pass over {unheard}; leave one of them out.")
        if start_from_trigger:
            _compat.start_from_trigger(
                self,
                "airflow_provider_apns.triggers.apns.ApnsExportTrigger",
                {**self._trigger_arguments(), "first_delay": None},
                next_method="execute_complete",
                timeout=timedelta(seconds=self.timeout),
            )

    def _trigger_arguments(self) -> dict[str, Any]:
        xcom_key = "return_value" if self.do_xcom_push else ""
        return {
            "status_url": self.status_url,
            "apns_conn_id": self.apns_conn_id,
            "poke_interval": float(self.poke_interval),
            "xcom_key": xcom_key if self.end_from_trigger else None,
        }

    @failing_at_once()
    def execute(self, context: Context) -> Any:
        """
        Wait.

        :return: the status URL.
        """
        if not self.deferrable:
            return super().execute(context)
        from airflow_provider_apns.triggers.apns import ApnsExportTrigger

        self.log.info("Waiting for export %s for %.0f s at most.", self.status_url, self.timeout)
        self.defer(
            trigger=ApnsExportTrigger(**self._trigger_arguments()),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    @failing_at_once()
    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, from a worker."""
        from airflow_provider_apns.hooks.apns import ApnsHook

        export = ApnsHook(self.apns_conn_id).get_export(self.status_url).check()
        if not export.is_ready:
            self.log.info(
                "Export %s is %s; looking again in %.0f s.", export.status_url, export.status, self.poke_interval
            )
        return PokeReturnValue(is_done=export.is_ready, xcom_value=self.status_url)

    @failing_at_once()
    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """
        Take up the task after the wait.

        :param event: what the trigger reported.
        :return: the status URL.
        """
        if "error" in event:
            raise ApnsError.from_event(event)
        self.log.info("Export %s is ready.", self.status_url)
        return self.status_url

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Take up the task; a wait whose time is up is a sensor timeout, on every Airflow.

        Airflow 2 would make it a failure to be retried, and Airflow 3.0 forget ``soft_fail``.

        :raises ApnsServiceError: for a retry, if it was ``execution_timeout`` that ended the wait.
        """
        if not _compat.is_deferral_timeout(next_method, next_kwargs):
            return super().resume_execution(next_method, next_kwargs, context)
        from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException

        limit, is_soft = _compat.deferral_limit(self, self.timeout), self.soft_fail or self.never_fail
        if limit < self.timeout and not is_soft:
            raise ApnsServiceError(
                f"Export {self.status_url} was not ready within {limit:.0f} s, the task's execution_timeout."
            )
        outcome = AirflowSkipException if is_soft else AirflowSensorTimeout
        raise outcome(f"Export {self.status_url} was not ready within {limit:.0f} s.")
