"""Request, wait, download and write in one task, for one export or for ten thousand channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_apns import _compat
from airflow_provider_apns.exceptions import ApnsError, ApnsInvalidRequestError, failing_at_once
from airflow_provider_apns.links.apns import ApnsConsoleLink, ApnsStoredObjectLink
from airflow_provider_apns.operators.apns import ExportDatesMixin

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_apns.batches import Batch, Order
    from airflow_provider_apns.exports import Window
    from airflow_provider_apns.partitions import Layout, Written

_PATHS_NAMED = 100


class ApnsToObjectStorageOperator(ExportDatesMixin, BaseOperator):
    """
    Brings Apple's reports into an object store: requests, waits, downloads and writes, all in one task.

    While Apple builds the exports, the task is deferred: once, however many there are, and without a worker slot.
    The rows of all reports are written with normalised columns, by date and channel; a withheld count is null and
    ``withheld`` is true. Nothing is published unless everything has been downloaded. A retry asks Apple for the same
    exports again, which within 24 hours gives those that are there already.

    Since Apple refuses a request for one single day, a neighbouring day is requested, too, where ``start_date`` and
    ``end_date`` are the same; only the day that was asked for is written.

    The task returns a summary: ``path``, ``paths`` (the first hundred), ``objects``, ``rows``, ``bytes``, ``sha256``
    (of a single object), ``days``, ``channels_requested``, ``channels_exported`` and ``channels_missing``. Asset
    outlets get an event whose extra has ``path``, ``rows`` and ``days``: a list, but for an ``AssetAlias`` before
    Airflow 3.1 a text with commas.

    :param dataset: ``application``, ``channel`` or ``delivery``, or Apple's own name of it. (templated)
    :param start_date: first day, ``yyyy-MM-dd``, at most 30 days ago (UTC). (templated)
    :param end_date: last day, included, and over (UTC); may be the first day, too. (templated)
    :param path: where to write: the URL of an ``ObjectStoragePath``, such as ``s3://conn_id@bucket/key.parquet``.
        ``{date}`` in it writes one object per day, ``{channel_id}`` one per channel, in URL-safe base64 without
        padding. (templated)
    :param channel_ids: the channels, for the channel dataset: a list, a template or an upstream task's output; a
        channel that is named twice is asked for once. (templated)
    :param output_format: ``csv``, ``jsonl`` or ``parquet`` (which needs the extra ``parquet``). (templated)
    :param on_missing_channel: ``fail`` if Apple does not know a channel, naming all such channels; or ``skip`` them,
        and name them in the summary.
    :param max_concurrency: how many requests at once, 1 to 100.
    :param deferrable: whether to wait in the triggerer; without it, the worker waits.
    :param app_id: bundle identifier, if not the connection's. (templated)
    :param apns_conn_id: the connection. (templated)
    :param object_storage_conn_id: the object store's connection, if the path does not name it. (templated)
    :param overwrite: whether to replace objects that are there; without it, the task fails, and so does a retry that
        finds what the try before it wrote.
    :param poke_interval: the longest time between two looks at an export, in seconds.
    :param timeout: seconds after which the wait is given up.
    :param max_bytes: the largest decompressed report, a guard against decompression bombs; 4 GiB without it.
    :param start_from_trigger: request and wait in the triggerer, and start a worker only to download (Airflow 3.3 and
        newer). All arguments must then be plain texts or templates, and the task's ``on_execute_callback`` and
        ``pre_execute`` are not called before the request; the path, the format and ``overwrite`` are checked after the
        wait, not before it.
    :param asset_partitions: give asset outlets one event per day, with the day as its partition key (Airflow 3.3 and
        newer), for DAGs that are scheduled by partition. Those events start no DAG that is scheduled by the bare asset.
    """

    template_fields: Sequence[str] = (
        "dataset",
        "export_start_date",
        "export_end_date",
        "path",
        "channel_ids",
        "output_format",
        "app_id",
        "apns_conn_id",
        "object_storage_conn_id",
    )
    operator_extra_links = (ApnsConsoleLink(), ApnsStoredObjectLink())
    ui_color = "#e8f0fe"

    def __init__(
        self,
        *,
        dataset: str,
        path: str,
        start_date: str | date | None = None,
        end_date: str | date | None = None,
        export_start_date: str | date | None = None,
        export_end_date: str | date | None = None,
        channel_ids: Sequence[str] | str | None = None,
        output_format: Literal["csv", "jsonl", "parquet"] = "csv",
        on_missing_channel: Literal["fail", "skip"] = "fail",
        max_concurrency: int = 32,
        deferrable: bool = True,
        app_id: str | None = None,
        apns_conn_id: str = "apns_default",
        object_storage_conn_id: str | None = None,
        overwrite: bool = True,
        poke_interval: timedelta | float = 60,
        timeout: timedelta | float = 24 * 60 * 60,
        max_bytes: int | None = None,
        start_from_trigger: bool = False,
        asset_partitions: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._set_export_dates(export_start_date or start_date, export_end_date or end_date)
        self.dataset = dataset
        self.path = path
        self.channel_ids = channel_ids
        self.output_format = output_format
        self.on_missing_channel = on_missing_channel
        self.max_concurrency = max_concurrency
        self.deferrable = deferrable
        self.app_id = app_id
        self.apns_conn_id = apns_conn_id
        self.object_storage_conn_id = object_storage_conn_id
        self.overwrite = overwrite
        self.poke_interval = _seconds(poke_interval)
        self.timeout = _seconds(timeout)
        self.max_bytes = max_bytes
        self.asset_partitions = asset_partitions
        self._summary: _Summary | None = None
        if asset_partitions:
            _compat.check_asset_partitions()
        if start_from_trigger:
            self._start_from_trigger()

    def _start_from_trigger(self) -> None:
        if not self.deferrable:
            raise ValueError("start_from_trigger needs deferrable=True.")
        self._check_options()
        arguments = {
            "dataset": self.dataset,
            "export_start_date": _text(self.export_start_date),
            "export_end_date": _text(self.export_end_date),
            "channel_ids": self.channel_ids,
            "app_id": self.app_id,
            "on_missing_channel": self.on_missing_channel,
            "apns_conn_id": self.apns_conn_id,
            "poke_interval": self.poke_interval,
            "max_concurrency": self.max_concurrency,
        }
        _compat.start_from_trigger(
            self,
            "airflow_provider_apns.triggers.apns.ApnsRequestTrigger",
            arguments,
            next_method="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    @failing_at_once()
    def execute(self, context: Context) -> dict[str, Any]:
        """
        Do the job; with ``deferrable``, up to the wait.

        :return: the summary.
        """
        import asyncio

        from airflow_provider_apns.exports import Window
        from airflow_provider_apns.hooks.apns import utc_now

        today = utc_now().date()
        job = self._job(Window.read(self.export_start_date, self.export_end_date, today))
        batch = asyncio.run(self._request(job, today))
        if self.deferrable:
            self._defer(batch)
        asyncio.run(self._wait(batch))
        return self._write(context, job, batch)

    @failing_at_once()
    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """
        Take up the task after the wait.

        :param event: what the trigger reported: the batch, or an error.
        :return: the summary.
        """
        from airflow_provider_apns.batches import Batch

        if "error" in event:
            raise ApnsError.from_event(event)
        batch = Batch.unpack(event["exports"])
        return self._write(context, self._job(batch.window), batch)

    def _job(self, window: Window) -> _Job:
        """Check all that can be checked before anything is sent."""
        from airflow_provider_apns.batches import Order
        from airflow_provider_apns.hooks.apns import ApnsHook
        from airflow_provider_apns.partitions import Layout, check_destination
        from airflow_provider_apns.reports import check_output_format

        self._check_options()
        order = Order.read(self.dataset, window, self.channel_ids)
        layout = Layout.read(self.path, self.object_storage_conn_id, order.dataset)
        output_format = check_output_format(self.output_format)
        app_id = ApnsHook(self.apns_conn_id).account.resolve_app_id(self.app_id)
        check_destination(layout, window, order.channel_ids, self.overwrite)
        return _Job(order, app_id, layout, output_format)

    def _check_options(self) -> None:
        from airflow_provider_apns.exports import POOL_SIZE

        if self.on_missing_channel not in ("fail", "skip"):
            raise ApnsInvalidRequestError(
                f"on_missing_channel must be 'fail' or 'skip', not {self.on_missing_channel!r}."
            )
        if not 1 <= self.max_concurrency <= POOL_SIZE:
            raise ApnsInvalidRequestError(f"max_concurrency must be 1 to {POOL_SIZE}, not {self.max_concurrency}.")

    async def _request(self, job: _Job, today: date) -> Batch:
        from airflow_provider_apns.batches import check_missing, request_exports
        from airflow_provider_apns.hooks.apns import ApnsAsyncHook

        async with ApnsAsyncHook(self.apns_conn_id) as hook:
            batch = await request_exports(
                hook, job.order, app_id=job.app_id, today=today, max_concurrency=self.max_concurrency
            )
        check_missing(batch, self.on_missing_channel)
        return batch

    def _defer(self, batch: Batch) -> None:
        from airflow_provider_apns.triggers.apns import ApnsBatchTrigger

        self.log.info("Waiting for %s exports, for %.0f s at most.", f"{len(batch.exports):,}", self.timeout)
        self.defer(
            trigger=ApnsBatchTrigger(
                exports=batch.pack(),
                apns_conn_id=self.apns_conn_id,
                poke_interval=self.poke_interval,
                max_concurrency=self.max_concurrency,
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=self.timeout),
        )

    async def _wait(self, batch: Batch) -> None:
        import asyncio

        from airflow_provider_apns.batches import wait_for_exports
        from airflow_provider_apns.exceptions import ApnsServiceError
        from airflow_provider_apns.hooks.apns import ApnsAsyncHook

        async with ApnsAsyncHook(self.apns_conn_id) as hook:
            waiting = wait_for_exports(
                hook, batch.status_urls, poke_interval=self.poke_interval, max_concurrency=self.max_concurrency
            )
            try:
                await asyncio.wait_for(waiting, self.timeout)
            except asyncio.TimeoutError as error:
                raise ApnsServiceError(f"The exports were not ready within {self.timeout:.0f} s.") from error

    def _write(self, context: Context, job: _Job, batch: Batch) -> dict[str, Any]:
        import asyncio

        from airflow_provider_apns.batches import download_exports, new_spool
        from airflow_provider_apns.hooks.apns import MAX_BYTES, ApnsAsyncHook
        from airflow_provider_apns.partitions import write_objects

        async def download() -> None:
            async with ApnsAsyncHook(self.apns_conn_id, max_bytes=self.max_bytes or MAX_BYTES) as hook:
                await download_exports(
                    hook,
                    batch,
                    spool,
                    dataset=job.order.dataset,
                    app_id=job.app_id,
                    max_concurrency=self.max_concurrency,
                )

        channel_ids = [channel_id for channel_id, _ in batch.exports if channel_id]
        summary = _Summary(job, batch)
        with new_spool(job.order.dataset) as spool:
            asyncio.run(download())
            for written in write_objects(spool, job.layout, job.order.window, channel_ids, job.output_format):
                summary.add(written)
        self.log.info("Wrote %s rows to %s", f"{summary.rows:,}", summary.path)
        self._tell_assets(context, summary)
        self._summary = summary
        return summary.to_dict()

    def _tell_assets(self, context: Context, summary: _Summary) -> None:
        from airflow.providers.common.compat.sdk import Asset, AssetAlias

        extra: dict[str, Any] = {"path": summary.path, "rows": summary.rows, "days": summary.days}
        for outlet in filter(_compat.sends_events, self.outlets or ()):
            event = context["outlet_events"][outlet]
            if isinstance(outlet, AssetAlias):
                event.add(Asset(summary.path), _compat.alias_event_extra(extra))
                continue
            event.extra.update(extra)
            if self.asset_partitions:
                event.add_partitions(summary.days)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage what was exported, and the first hundred objects that were written."""
        from airflow_provider_apns.lineage import lineage_of

        if self._summary is None:
            return None
        return lineage_of(self._summary.source, self._summary.named)


def _text(value: str | date) -> str:
    return value.isoformat() if isinstance(value, date) else value


def _seconds(value: timedelta | float) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


@dataclass(frozen=True)
class _Job:
    """What a task is to do, checked."""

    order: Order
    app_id: str
    layout: Layout
    output_format: str


class _Summary:
    """Adds up what was written."""

    def __init__(self, job: _Job, batch: Batch) -> None:
        self._job = job
        self._batch = batch
        self.named: list[Written] = []
        self._sha256 = ""
        self._objects = 0
        self._bytes = 0
        self.rows = 0

    def add(self, written: Written) -> None:
        if self._objects < _PATHS_NAMED:
            self.named.append(written)
        self._sha256 = written.sha256
        self._objects += 1
        self._bytes += written.size
        self.rows += written.rows or 0

    @property
    def source(self) -> str:
        """What was exported."""
        return f"{self._job.app_id}/{self._job.order.dataset.value}"

    @property
    def path(self) -> str:
        """The one object's path, or the template of several."""
        return self.named[0].path if self._objects == 1 else self._job.layout.template

    @property
    def days(self) -> list[str]:
        return [day.isoformat() for day in self._job.order.window.days()]

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "paths": [written.path for written in self.named],
            "objects": self._objects,
            "rows": self.rows,
            "bytes": self._bytes,
            "sha256": self._sha256 if self._objects == 1 else None,
            "days": self.days,
            "channels_requested": len(self._job.order.channel_ids),
            "channels_exported": len([channel_id for channel_id, _ in self._batch.exports if channel_id]),
            "channels_missing": list(self._batch.missing),
        }
