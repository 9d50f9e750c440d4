"""The differences between Airflow versions that ``apache-airflow-providers-common-compat`` does not cover."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from airflow import __version__ as _airflow_version

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Connection, Context

T = TypeVar("T")

_AIRFLOW = tuple(map(int, _airflow_version.split(".")[:2]))
# The oldest supported common-compat has neither this nor `mask_secret`.
AIRFLOW_V_3_3_PLUS = _AIRFLOW >= (3, 3)


def mask_secret(secret: str) -> None:
    """Show a secret as ``***`` in all logs from now on."""
    import_module("airflow.utils.log.secrets_masker" if _AIRFLOW < (3, 0) else "airflow.sdk.log").mask_secret(secret)


def gauge(name: str, value: float, tags: dict[str, str]) -> None:
    """Set one of Airflow's metrics."""
    for module in ("airflow.sdk.observability.stats", "airflow.observability.stats", "airflow.stats"):
        with suppress(ImportError, AttributeError):
            stats: Any = import_module(module)
            getattr(stats, "Stats", stats).gauge(name, value, tags=tags)
            return


def end_at_sigterm() -> None:
    """
    End a task that receives SIGTERM; for ``on_kill`` to call.

    Airflow 2 ends the task itself. Airflow 3 calls ``on_kill`` in its signal handler, and otherwise lets the task go on
    until it sends SIGKILL. It also calls ``on_kill`` after ``execution_timeout`` has ended the task.

    :raises SystemExit: for which Airflow retries the task, unless it was marked as failed.
    """
    from airflow.providers.common.compat.sdk import AirflowTaskTimeout

    if _AIRFLOW >= (3, 0) and not isinstance(sys.exc_info()[1], AirflowTaskTimeout):
        raise SystemExit(128 + signal.SIGTERM)


def is_deferral_timeout(next_method: str, next_kwargs: Mapping[str, Any] | None) -> bool:
    """Tell whether a task resumes because its trigger timed out, which Airflow 2 words differently."""
    errors = ("Trigger timeout", "Trigger/execution timeout")
    return next_method == "__fail__" and (next_kwargs or {}).get("error") in errors


def deferral_limit(task: BaseOperator, timeout: float) -> float:
    """
    Return the number of seconds after which Airflow ends a task's deferral.

    Airflow 2 applies ``execution_timeout`` to a deferral, too.

    :param task: the task.
    :param timeout: the deferral's own timeout, in seconds.
    """
    if task.execution_timeout is None or _AIRFLOW >= (3, 0):
        return timeout
    return min(timeout, task.execution_timeout.total_seconds())


async def read_connection(conn_id: str, read: Callable[[Connection], T]) -> T:
    """
    Look up a connection and read it, without blocking the event loop.

    ``BaseHook.aget_connection`` exists since Airflow 3.1; before, the lookup runs in a thread. The connection is read
    in a thread on all versions: reading it masks its secrets, and Airflow 3.0 cannot do that on an event loop.

    :param conn_id: the connection.
    :param read: what reads it.
    :raises AirflowNotFoundException: if there is no such connection.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
    from asgiref.sync import sync_to_async

    hook_class: Any = BaseHook
    # Functions without arguments: asgiref would add a frame with the arguments to a traceback.
    if hasattr(hook_class, "aget_connection"):
        # In `dag.test()`, this lookup does not reach Airflow's database; the other one does.
        with suppress(AirflowNotFoundException):
            connection: Connection = await hook_class.aget_connection(conn_id)
            return await sync_to_async(lambda: read(connection))()
    return await sync_to_async(lambda: read(hook_class.get_connection(conn_id)))()


def first_start(task: BaseOperator, context: Context) -> datetime | None:
    """
    Return when a task first started: its first try since it was last cleared.

    Airflow 3.0 to 3.2 do not tell a worker about earlier tries, so the result is always ``None`` there.

    :param task: the running task.
    :param context: its context.
    :return: the time, or ``None`` if this is the first start.
    """
    if "ti" not in context:
        return None
    ti: Any = context["ti"]
    # Airflow counts tries on when a task is cleared, and raises max_tries.
    first_try = (ti.max_tries or 0) - (task.retries or 0) + 1
    if _AIRFLOW < (3, 0):
        return _first_start_in_history(ti, first_try) if ti.try_number > first_try else None
    store: Any = context.get("task_state_store")
    if store is None:
        return None
    key = f"start_of_try_{first_try}"
    if stored := store.get(key):
        return datetime.fromisoformat(stored)
    store.set(key, datetime.now(tz=timezone.utc).isoformat())
    return None


def _first_start_in_history(ti: Any, first_try: int) -> datetime | None:
    """Read Airflow 2's database, which a worker can reach."""
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    history: Any = import_module("airflow.models.taskinstancehistory").TaskInstanceHistory
    same = (getattr(history, name) == getattr(ti, name) for name in ("dag_id", "task_id", "run_id", "map_index"))
    with create_session() as session:
        start: datetime | None = session.scalar(
            select(func.min(history.start_date)).where(*same, history.try_number >= first_try)
        )
    return start


def sends_events(outlet: object) -> bool:
    """Tell whether an outlet is an asset, an alias or a reference; a task may have other outlets, for lineage."""
    from airflow.providers.common.compat.sdk import AssetAlias

    # Their base class has another name in Airflow 2.
    return isinstance(outlet, AssetAlias.__bases__)


def alias_event_extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra of an alias' asset event. Before Airflow 3.1 it must not have lists, so they become text."""
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
