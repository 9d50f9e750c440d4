"""What differs between Airflow versions, in one place; the rest is ``apache-airflow-providers-common-compat``'s."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from airflow import __version__ as _airflow_version

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import BaseOperator, Connection

T = TypeVar("T")

_AIRFLOW = tuple(map(int, _airflow_version.split(".")[:2]))
# The oldest common-compat that is accepted has neither this nor `mask_secret`.
AIRFLOW_V_3_3_PLUS = _AIRFLOW >= (3, 3)


def mask_secret(secret: str) -> None:
    """Show a secret as ``***`` in all logs from now on."""
    import_module("airflow.utils.log.secrets_masker" if _AIRFLOW < (3, 0) else "airflow.sdk.log").mask_secret(secret)


def is_deferral_timeout(next_method: str, next_kwargs: Mapping[str, Any] | None) -> bool:
    """Tell whether a task is resumed because its trigger's time is up, which Airflow 2 puts in other words."""
    errors = ("Trigger timeout", "Trigger/execution timeout")
    return next_method == "__fail__" and (next_kwargs or {}).get("error") in errors


def deferral_limit(task: BaseOperator, timeout: float) -> float:
    """
    Return after how many seconds Airflow ends a task's deferral.

    Airflow 2, and the start from a trigger, hold a deferral to ``execution_timeout``, too.

    :param task: the task.
    :param timeout: what it deferred itself for, in seconds.
    """
    if task.execution_timeout is None or (_AIRFLOW >= (3, 0) and not task.start_from_trigger):
        return timeout
    return min(timeout, task.execution_timeout.total_seconds())


async def read_connection(conn_id: str, read: Callable[[Connection], T]) -> T:
    """
    Look up a connection and read it, without blocking the event loop.

    Airflow 3.1 brought ``BaseHook.aget_connection``; before it, the lookup runs in a thread. The reading does so on all
    versions: as soon as a secret is seen, Airflow tells its supervisor, and on an event loop Airflow 3.0 fails at that.

    :param conn_id: the connection.
    :param read: what reads it.
    """
    from airflow.providers.common.compat.sdk import BaseHook
    from asgiref.sync import sync_to_async

    hook_class: Any = BaseHook
    # Without arguments: where the caller handles an exception, asgiref adds a frame with them to its traceback.
    if hasattr(hook_class, "aget_connection"):
        connection: Connection = await hook_class.aget_connection(conn_id)
        return await sync_to_async(lambda: read(connection))()
    return await sync_to_async(lambda: read(hook_class.get_connection(conn_id)))()


def sends_events(outlet: object) -> bool:
    """Tell whether an outlet is an asset, an alias or a reference to one; for lineage, tasks may have others, too."""
    from airflow.providers.common.compat.sdk import AssetAlias

    # What they have in common has other names in Airflow 2.
    return isinstance(outlet, AssetAlias.__bases__)


def alias_event_extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra of an alias' asset event: Airflow before 3.1 fails where it has lists, so they become text."""
    if _AIRFLOW >= (3, 1):
        return dict(extra)
    return {name: ",".join(value) if isinstance(value, list) else value for name, value in extra.items()}


def check_asset_partitions() -> None:
    """
    Check that a task can give its asset events partition keys.

    :raises ValueError: before Airflow 3.3.
    """
    if not AIRFLOW_V_3_3_PLUS:
        raise ValueError("asset_partitions needs Airflow 3.3 or newer: leave it out.")


def start_from_trigger(
    task: BaseOperator, trigger: str, arguments: Mapping[str, Any], next_method: str, timeout: timedelta
) -> None:
    """
    Let a task begin in the triggerer, without a worker.

    :param task: the task.
    :param trigger: the trigger's class path.
    :param arguments: the trigger's arguments; those that are template fields of the task are rendered there.
    :param next_method: the task's method that takes up the event.
    :param timeout: how long the trigger may run.
    :raises ValueError: where it cannot work: before Airflow 3.3, which renders no templates in the triggerer, and with
        an argument that Airflow 3.3 would not resolve there.
    """
    if not AIRFLOW_V_3_3_PLUS:
        raise ValueError("start_from_trigger needs Airflow 3.3 or newer: leave it out.")
    for name, value in arguments.items():
        _check_renders_in_triggerer(name, value)
    from airflow.triggers.base import StartTriggerArgs

    task.start_trigger_args = StartTriggerArgs(
        trigger_cls=trigger, trigger_kwargs=dict(arguments), next_method=next_method, timeout=timeout
    )
    task.start_from_trigger = True


def _check_renders_in_triggerer(name: str, value: object) -> None:
    if isinstance(value, (list, tuple)):
        for item in value:
            _check_renders_in_triggerer(name, item)
    elif not isinstance(value, (str, int, float, type(None))):
        raise ValueError(
            f"start_from_trigger: {name} must be plain text or a template, not {type(value).__name__}, which reaches "
            "the triggerer unresolved. An upstream task's output can be given as "
            "\"{{ ti.xcom_pull(task_ids='request_export', map_indexes=-1) }}\"."
        )
    elif isinstance(value, str) and re.search(r"xcom_pull\((?![^)]*map_indexes)", value):
        raise ValueError(
            f"start_from_trigger: {name} pulls an XCom without map_indexes, which never returns in the triggerer: "
            "write xcom_pull(task_ids=…, map_indexes=-1)."
        )
