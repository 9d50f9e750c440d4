"""Links on a task's page: to Apple's console, and to the object that the task wrote."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

CONSOLE_URL = "https://icloud.developer.apple.com/dashboard/"


class ApnsConsoleLink(BaseOperatorLink):
    """Leads to CloudKit Console, where data export tokens are made."""

    name = "CloudKit Console"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the link."""
        return CONSOLE_URL


class ApnsStoredObjectLink(BaseOperatorLink):
    """Leads to the object that the task wrote, or to its folder, in the console of S3 or Google Cloud Storage."""

    name = "Stored object"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the link, or an empty string if the task has not written anything, or the store has no such page.

        :param operator: the task.
        :param ti_key: the task instance.
        """
        from airflow.providers.common.compat.sdk import XCom

        result: Any = XCom.get_value(ti_key=ti_key, key="return_value")
        path = result.get("path") if isinstance(result, dict) else result
        if not isinstance(path, str) or (found := _OBJECT.fullmatch(path)) is None:
            return ""
        conn_id = found["conn_id"] or getattr(operator, "object_storage_conn_id", None)
        if conn_id and _is_elsewhere(conn_id):
            return ""
        return console_page(found["scheme"], found["bucket"], found["key"])


_OBJECT = re.compile(r"(?P<scheme>s3a?|gs|gcs)://(?:(?P<conn_id>[^@/]+)@)?(?P<bucket>[^@/]+)/(?P<key>.+)", re.DOTALL)


def console_page(scheme: str, bucket: str, key: str) -> str:
    """
    Return the address of an object's page in its store's console.

    :param scheme: ``s3``, ``s3a``, ``gs`` or ``gcs``.
    :param bucket: the bucket.
    :param key: the object's key; with ``{date}`` or ``{channel_id}`` in it, the page is that of the folder.
    """
    folder, brace, _ = key.partition("{")
    prefix = folder[: folder.rfind("/") + 1]
    if scheme.startswith("s3"):
        page, shown = ("buckets", prefix) if brace else ("object", key)
        return f"https://console.aws.amazon.com/s3/{page}/{quote(bucket)}?prefix={quote(shown, safe='')}"
    page, shown = ("", prefix.rstrip("/")) if brace else ("_details/", key)
    return f"https://console.cloud.google.com/storage/browser/{page}{quote(f'{bucket}/{shown}')}"


def _is_elsewhere(conn_id: str) -> bool:
    """Tell whether a connection leads to another store with the same protocol, such as MinIO."""
    from airflow.providers.common.compat.sdk import BaseHook

    extra = BaseHook.get_connection(conn_id).extra_dejson
    services = extra.get("service_config")
    s3 = services.get("s3") if isinstance(services, dict) else None
    return bool(extra.get("endpoint_url") or (isinstance(s3, dict) and s3.get("endpoint_url")))
