"""Requesting an export, and downloading it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_apns.exceptions import failing_at_once
from airflow_provider_apns.links.apns import ApnsConsoleLink, ApnsStoredObjectLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_apns.storage import Download


class ExportDatesMixin:
    """
    Lets ``start_date`` and ``end_date`` name the days of a report, where Airflow's own arguments have those names.

    The days are kept as ``export_start_date`` and ``export_end_date``, under which they may be given, too (and must be
    in ``expand()`` on Airflow 2); a task keeps the scheduling dates of its DAG.
    """

    _DATES = ("start_date", "end_date")

    export_start_date: str | date
    export_end_date: str | date

    def _set_export_dates(self, start_date: str | date | None, end_date: str | date | None) -> None:
        if start_date is None or end_date is None:
            raise TypeError("missing keyword argument: start_date and end_date, the first and last day of the report")
        self.export_start_date = start_date
        self.export_end_date = end_date

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Prepare a mapped task, whose ``start_date`` and ``end_date`` are the report's days, as everywhere."""
        renamed = {f"export_{name}" if name in cls._DATES else name: value for name, value in kwargs.items()}
        return super().partial(**renamed)  # type: ignore[misc]


class ApnsRequestExportOperator(ExportDatesMixin, BaseOperator):
    """
    Asks Apple to build a report, and returns its status URL.

    Asking is safe to repeat: the same request within 24 hours answers with the same status URL. For the same
    reason, it brings no newer data before that.

    :param dataset: ``application``, ``channel`` or ``delivery``, or Apple's own name of it. (templated)
    :param start_date: first day of the report, ``yyyy-MM-dd``, at most 30 days ago (UTC). (templated)
    :param end_date: last day, included: later than the first, and over (UTC). (templated)
    :param channel_id: the channel in base64; for the channel dataset, and only for it. (templated)
    :param app_id: bundle identifier, if not the connection's. (templated)
    :param url_expires_in_minutes: how long a download URL shall live, 20 to 60.
    :param apns_conn_id: the connection. (templated)
    """

    template_fields: Sequence[str] = (
        "dataset",
        "export_start_date",
        "export_end_date",
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
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        export_start_date: str | date | None = None,
        export_end_date: str | date | None = None,
        channel_id: str | None = None,
        app_id: str | None = None,
        url_expires_in_minutes: int = 60,
        apns_conn_id: str = "apns_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self._set_export_dates(export_start_date or start_date, export_end_date or end_date)
        self.channel_id = channel_id
        self.app_id = app_id
        self.url_expires_in_minutes = url_expires_in_minutes
        self.apns_conn_id = apns_conn_id

    @failing_at_once()
    def execute(self, context: Context) -> str:
        """
        Ask.

        :return: the status URL.
        """
        from airflow_provider_apns.hooks.apns import ApnsHook

        export = ApnsHook(self.apns_conn_id).request_export(
            self.dataset,
            self.export_start_date,
            self.export_end_date,
            self.channel_id,
            self.app_id,
            self.url_expires_in_minutes,
        )
        self.log.info("Apple builds the report; its status URL is %s", export.status_url)
        return export.status_url


class ApnsDownloadExportOperator(BaseOperator):
    """
    Downloads a report to an object store, byte for byte as Apple built it, in bounded memory.

    The object appears only once it is whole. A download URL that has expired is replaced by a new one.

    :param status_url: the export, which must be ready. (templated)
    :param path: where to write: the URL of an ``ObjectStoragePath``, such as ``s3://conn_id@bucket/key.csv``,
        or a local path. (templated)
    :param apns_conn_id: the connection that the export was requested with. (templated)
    :param object_storage_conn_id: the object store's connection, if the URL does not name it. (templated)
    :param overwrite: whether to replace an object that is there; without it, the task fails.
    :param dataset: the dataset that the report must be of; any of Apple's without it. (templated)
    :param max_bytes: the largest decompressed report, a guard against decompression bombs; 4 GiB without it.
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
        Download.

        :return: the path.
        """
        from airflow_provider_apns.hooks.apns import MAX_BYTES, ApnsHook
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
        """Tell OpenLineage which export went where."""
        from airflow_provider_apns.lineage import lineage_of
        from airflow_provider_apns.partitions import Written

        if self._download is None:
            return None
        written = Written(self._download.path, None, self._download.size, self._download.sha256)
        return lineage_of(f"export/{self.status_url.rpartition('/')[2]}", [written])
