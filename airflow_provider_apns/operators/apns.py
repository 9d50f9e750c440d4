"""Requesting an export, downloading it, and listing channels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_apns._templates import is_known
from airflow_provider_apns.exceptions import failing_at_once
from airflow_provider_apns.links.apns import ApnsConsoleLink, ApnsStoredObjectLink
from airflow_provider_apns.protocol.channel_ids import check_channel
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.reports.formats import check_register

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_apns.storage import Download


class ApnsRequestExportOperator(BaseOperator):
    """
    Asks Apple to build a report, and returns its status URL.

    The same request within 24 hours returns the same status URL. So a retry is safe, but gets no newer data.

    :param dataset: ``application``, ``channel`` or ``delivery``, or Apple's own name for it. (templated)
    :param first_day: first day of the report, ``yyyy-MM-dd``, at most 30 days ago (UTC). (templated)
    :param last_day: last day, included; in the past (UTC), and later than the first. (templated)
    :param channel_id: the channel in base64, for the channel dataset only. (templated)
    :param app_id: bundle identifier, if not the connection's. (templated)
    :param url_expires_in_minutes: how many minutes a download URL is valid, 20 to 60.
    :param apns_conn_id: the connection. (templated)
    """

    template_fields: Sequence[str] = (
        "dataset",
        "first_day",
        "last_day",
        "channel_id",
        "app_id",
        "apns_conn_id",
    )
    operator_extra_links = (ApnsConsoleLink(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        dataset: str,
        first_day: str | date,
        last_day: str | date,
        channel_id: str | None = None,
        app_id: str | None = None,
        url_expires_in_minutes: int = 60,
        apns_conn_id: str = "apns_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.first_day = first_day
        self.last_day = last_day
        self.channel_id = channel_id
        self.app_id = app_id
        self.url_expires_in_minutes = url_expires_in_minutes
        self.apns_conn_id = apns_conn_id
        if is_known(dataset) and is_known(channel_id):
            check_channel(Dataset.parse(dataset), channel_id)

    @failing_at_once()
    def execute(self, context: Context) -> str:
        """
        Request the export.

        :return: the status URL.
        """
        from airflow_provider_apns.hooks.apns import ApnsHook

        export = ApnsHook(self.apns_conn_id).request_export(
            self.dataset,
            self.first_day,
            self.last_day,
            self.channel_id,
            self.app_id,
            self.url_expires_in_minutes,
        )
        self.log.info("Apple is building the report. Its status URL is %s", export.status_url)
        return export.status_url


class ApnsDownloadExportOperator(BaseOperator):
    """
    Downloads a report to an object store, byte for byte as Apple built it.

    The object appears only when it is whole. If the download URL has expired, the operator gets a new one.

    :param status_url: the export, which must be ready. (templated)
    :param path: where to write: the URL of an ``ObjectStoragePath``, such as ``s3://conn_id@bucket/key.csv``,
        or a local path. (templated)
    :param apns_conn_id: the connection that the export was requested with. (templated)
    :param object_storage_conn_id: the object store's connection, if the URL does not name it. (templated)
    :param overwrite: whether to replace an existing object; otherwise, the task fails.
    :param dataset: the report's dataset, to be checked; by default, any. (templated)
    :param max_bytes: the largest decompressed report, a guard against decompression bombs; 64 MiB by default.
    """

    template_fields: Sequence[str] = ("status_url", "path", "apns_conn_id", "object_storage_conn_id", "dataset")
    operator_extra_links = (ApnsConsoleLink(), ApnsStoredObjectLink())
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        status_url: str,
        path: str,
        apns_conn_id: str = "apns_default",
        object_storage_conn_id: str | None = None,
        overwrite: bool = True,
        dataset: str | None = None,
        max_bytes: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.status_url = status_url
        self.path = path
        self.apns_conn_id = apns_conn_id
        self.object_storage_conn_id = object_storage_conn_id
        self.overwrite = overwrite
        self.dataset = dataset
        self.max_bytes = max_bytes
        self._download: Download | None = None

    @failing_at_once()
    def execute(self, context: Context) -> str:
        """
        Download the report.

        :return: the path.
        """
        from airflow_provider_apns.hooks.apns import ApnsHook
        from airflow_provider_apns.protocol.bodies import MAX_BYTES
        from airflow_provider_apns.storage import object_path

        download = ApnsHook(self.apns_conn_id, max_bytes=self.max_bytes or MAX_BYTES).download_export(
            self.status_url,
            object_path(self.path, self.object_storage_conn_id),
            dataset=self.dataset,
            overwrite=self.overwrite,
        )
        self.log.info("Wrote %s: %s bytes, SHA-256 %s", download.path, f"{download.size:,}", download.sha256)
        self._download = download
        return download.path

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return the lineage for OpenLineage: which export was written where."""
        from airflow_provider_apns.lineage import lineage_of

        if self._download is None:
            return None
        return lineage_of(f"export/{self.status_url.rpartition('/')[2]}", [self._download])


class ApnsListChannelsOperator(BaseOperator):
    """
    Lists an app's channels, and keeps a register of them, because Apple does not list deleted channels.

    The register has ``channel_id``, ``first_seen`` and ``last_seen`` (UTC; timestamps in Parquet, ISO 8601 in JSON
    Lines). Channels that it already has are kept. Give its path to ``channel_ids`` of
    :class:`~airflow_provider_apns.transfers.apns_to_object_storage.ApnsToObjectStorageOperator`. A channel that is
    created and deleted between two runs is never seen, so run the task more often than your shortest channel lives.

    :param path: the register, one for each app: the URL of an ``ObjectStoragePath`` that ends with ``.jsonl`` or
        ``.parquet`` (which needs the extra ``parquet``). (templated)
    :param app_id: bundle identifier, if not the connection's. (templated)
    :param apns_conn_id: the connection, with ``key_id`` and ``private_key``. (templated)
    :param object_storage_conn_id: the object store's connection, if the path does not name it. (templated)
    """

    template_fields: Sequence[str] = ("path", "app_id", "apns_conn_id", "object_storage_conn_id")
    operator_extra_links = (ApnsStoredObjectLink(),)
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        path: str,
        app_id: str | None = None,
        apns_conn_id: str = "apns_default",
        object_storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.app_id = app_id
        self.apns_conn_id = apns_conn_id
        self.object_storage_conn_id = object_storage_conn_id
        if isinstance(path, str) and is_known(path):
            check_register(path)

    @failing_at_once()
    def execute(self, context: Context) -> str:
        """
        List the channels, and update the register.

        :return: the register's path.
        """
        from airflow_provider_apns.batches import registering
        from airflow_provider_apns.hooks.apns import ApnsHook
        from airflow_provider_apns.hooks.connections import utc_now
        from airflow_provider_apns.reports.register import listed
        from airflow_provider_apns.storage import object_path

        path = object_path(self.path, self.object_storage_conn_id)
        check_register(str(path))
        before = registering.load(path) or {}
        now = utc_now()
        seen = listed(ApnsHook(self.apns_conn_id).list_channels(self.app_id), now)
        registering.keep(path, seen)
        registering.tell(path, before, seen)
        return str(path)
