"""What differs between Airflow versions, in one place; the rest is ``apache-airflow-providers-common-compat``'s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


async def get_connection(conn_id: str) -> Connection:
    """
    Look up a connection without blocking the event loop.

    Airflow 3.1 brought ``BaseHook.aget_connection``; before it, the lookup runs in a thread.
    """
    from airflow.providers.common.compat.sdk import BaseHook

    hook_class: Any = BaseHook
    if hasattr(hook_class, "aget_connection"):
        connection: Connection = await hook_class.aget_connection(conn_id)
        return connection
    from asgiref.sync import sync_to_async

    return await sync_to_async(hook_class.get_connection)(conn_id)  # type: ignore[no-any-return]
