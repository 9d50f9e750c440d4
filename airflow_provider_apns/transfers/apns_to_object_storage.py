"""Request, wait, download and write in one task, for one export or for ten thousand channels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_apns import _compat
from airflow_provider_apns._templates import is_known
from airflow_provider_apns.batches.arguments import check_channels, check_days, check_options
from airflow_provider_apns.batches.layout import check_path
from airflow_provider_apns.exceptions import ApnsError, failing_at_once
from airflow_provider_apns.links.apns import ApnsConsoleLink, ApnsStoredObjectLink
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.reports.formats import name_format

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_apns.batches.batch import Batch
    from airflow_provider_apns.batches.job import Job
    from airflow_provider_apns.batches.summary import Summary


class ApnsToObjectStorageOperator(BaseOperator):
    """
    Copies Apple's reports into an object store: requests, waits, downloads and writes, all in one task.

    Without ``first_day`` and ``last_day``, the task keeps its path complete. Of the days that Apple still has (30 days
    ago to yesterday, in UTC), it exports those that are not stored, and those whose numbers may have grown since they
    were stored. It looks at the stored objects and at when they were written.

    The task defers once for all exports, and again only if one fails. It holds no worker slot while Apple builds them.
    Nothing is written before everything has been downloaded. Rows have normalised columns; a withheld count is null,
    and ``withheld`` is true. When an object is replaced, its rows of other days, apps and channels are kept. If an
    export fails, the task asks for its days in another window.

    The task returns a summary: ``path``, ``paths`` (the first hundred), ``objects``, ``rows``, ``bytes``, ``sha256``
    (of a single object), ``days`` (whose content is new or has changed), ``days_unchanged``, ``days_lost``,
    ``rows_kept``, ``channels_requested``, ``channels_exported``, ``channels_missing``, ``channels_failed`` and
    ``token_expires_at``. Asset outlets get an event whose extra has ``path``, ``rows`` and ``days``: a list, or a text
    with commas for an ``AssetAlias`` before Airflow 3.1.

    :param dataset: ``application``, ``channel`` or ``delivery``, or Apple's own name for it. (templated)
    :param path: where to write: the URL of an ``ObjectStoragePath``, such as ``s3://conn_id@bucket/{date}.parquet``.
        ``{date}`` writes one object per day, and is needed to keep a path complete. ``{channel_id}`` writes one object
        per channel, in URL-safe base64 without padding. ``{app_id}`` and ``{dataset}`` are filled in. (templated)
    :param first_day: first day, ``yyyy-MM-dd``, at most 30 days ago (UTC). (templated)
    :param last_day: last day, included; in the past (UTC), and not before the first day. (templated)
    :param settle_days: how many days after the end of a day its numbers are final, 0 to 29. A day that was written
        later than that is not exported again.
    :param channel_ids: the channels, for the channel dataset: a list, a template, or an upstream task's output.
        ``"all"`` asks Apple for those that the app has now. The path of a register, which
        :class:`~airflow_provider_apns.operators.apns.ApnsListChannelsOperator` returns, takes those that were seen on
        or after the first day wanted, deleted ones included. (templated)
    :param output_format: ``csv``, ``jsonl`` or ``parquet`` (needs the extra ``parquet``), if the path's suffix does not
        say it. (templated)
    :param on_channel_error: ``fail`` if a channel cannot be exported, naming all such channels; or ``skip`` them, and
        name them in the summary.
    :param max_concurrency: how many requests at once, 1 to 100.
    :param deferrable: whether to wait in the triggerer; otherwise, the worker waits.
    :param app_id: bundle identifier, if not the connection's. (templated)
    :param apns_conn_id: the connection. (templated)
    :param object_storage_conn_id: the object store's connection, if the path does not name it. (templated)
    :param overwrite: whether to replace objects that exist. If false, the task fails if one does. A retry fails, too,
        if the first try wrote some.
    :param poke_interval: the longest time between two polls of an export, in seconds.
    :param timeout: how many seconds to wait for Apple before the task fails.
    :param max_bytes: the largest decompressed report, a guard against decompression bombs; 64 MiB by default.
    :param asset_partitions: give asset outlets one event per day, with the day as its partition key (Airflow 3.3 and
        newer), for DAGs that are scheduled by partition. These events do not start DAGs that are scheduled on the bare
        asset.
    """

    template_fields: Sequence[str] = (
        "dataset",
        "first_day",
        "last_day",
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
        path: str | os.PathLike[str],
        first_day: str | date | None = None,
        last_day: str | date | None = None,
        settle_days: int = 3,
        channel_ids: Sequence[str] | str | None = None,
        output_format: Literal["csv", "jsonl", "parquet"] | None = None,
        on_channel_error: Literal["fail", "skip"] = "fail",
        max_concurrency: int = 32,
        deferrable: bool = True,
        app_id: str | None = None,
        apns_conn_id: str = "apns_default",
        object_storage_conn_id: str | None = None,
        overwrite: bool = True,
        poke_interval: timedelta | float = 60,
        timeout: timedelta | float = 24 * 60 * 60,
        max_bytes: int | None = None,
        asset_partitions: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.path = os.fspath(path) if isinstance(path, os.PathLike) else path  # Airflow does not render a Path.
        self.first_day = first_day
        self.last_day = last_day
        self.settle_days = settle_days
        self.channel_ids = channel_ids
        self.output_format = output_format
        self.on_channel_error = on_channel_error
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
        self._summary: Summary | None = None
        if asset_partitions:
            _compat.check_asset_partitions()
        self._check_arguments()

    def _check_arguments(self) -> None:
        """Check whatever is known: when the DAG is parsed, and again when all templates are rendered."""
        check_options(self.on_channel_error, self.max_concurrency, self.settle_days)
        check_days(self.first_day, self.last_day, self.path)
        if is_known(self.path) and is_known(self.output_format):
            name_format(self.path, self.output_format)
        if is_known(self.dataset):
            dataset = Dataset.parse(self.dataset)
            if is_known(self.path):
                check_path(self.path, dataset)
            if is_known(self.channel_ids) or isinstance(self.channel_ids, (list, tuple)):
                check_channels(dataset, self.channel_ids)

    @failing_at_once()
    def execute(self, context: Context) -> dict[str, Any]:
        """
        Export and write; with ``deferrable``, request the exports and defer.

        :return: the summary.
        """
        job, batch = self._plan()
        if batch.wanted:
            batch = job.request(batch)
        return self._wait(context, job, batch)

    @failing_at_once()
    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """
        Resume the task after the wait.

        :param event: the trigger's event: the batch and the indexes of its failed exports; or an error.
        :return: the summary.
        """
        from airflow_provider_apns.batches.batch import Batch
        from airflow_provider_apns.hooks.connections import utc_now

        if "error" in event:
            raise ApnsError.from_event(event)
        batch = Batch.unpack(event["exports"])
        job = self._job(batch.path)
        if event["failed"]:
            return self._wait(context, job, job.heal(batch, event["failed"], utc_now()))
        return self._finish(context, job, batch)

    def _wait(self, context: Context, job: Job, batch: Batch) -> dict[str, Any]:
        from airflow_provider_apns.hooks.connections import utc_now

        if batch.exports and self.deferrable:
            self._defer(batch)
        while batch.exports:
            failed = job.wait(batch, poke_interval=self.poke_interval, timeout=self.timeout)
            if not failed:
                break
            batch = job.heal(batch, failed, utc_now())
        return self._finish(context, job, batch)

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

    def _plan(self) -> tuple[Job, Batch]:
        """Check everything that can be checked before anything is sent, and plan the batch."""
        from airflow_provider_apns.batches.planning import announce, find_channels, plan_completion, plan_days
        from airflow_provider_apns.hooks.connections import utc_now
        from airflow_provider_apns.protocol.days import Days

        self._check_arguments()
        now, days = utc_now(), None
        if self.first_day is not None and self.last_day is not None:
            days = Days.read(self.first_day, self.last_day, now.date())
        job = self._job(self.path)
        job.destination.check()
        first_day = (days or Days.available(now.date())).first
        channel_ids = find_channels(job, self.channel_ids, first_day)
        if days is None:
            batch = plan_completion(job.destination, channel_ids, self.settle_days, now)
        else:
            batch = plan_days(job.destination, channel_ids, days, now)
        if not self.overwrite:
            job.destination.check_free(job.destination.layout.keys(batch.wanted))
        job.hook.warn_of_expiry()
        announce(batch, f"{job.destination.dataset.short_name} metrics of {job.app_id}")
        return job, batch

    def _job(self, path: str) -> Job:
        from airflow_provider_apns.batches.job import Job
        from airflow_provider_apns.batches.layout import Layout
        from airflow_provider_apns.batches.publishing import Destination
        from airflow_provider_apns.hooks.apns import ApnsHook
        from airflow_provider_apns.protocol.bodies import MAX_BYTES
        from airflow_provider_apns.reports.formats import read_format

        dataset = Dataset.parse(self.dataset)
        output_format = read_format(path, self.output_format)
        hook = ApnsHook(self.apns_conn_id, max_bytes=self.max_bytes or MAX_BYTES)
        app_id = hook.account.resolve_app_id(self.app_id)
        layout = Layout.read(path, dataset, app_id)
        return Job(
            destination=Destination(layout, output_format, dataset, self.object_storage_conn_id),
            hook=hook,
            app_id=app_id,
            on_channel_error=self.on_channel_error,
            max_concurrency=self.max_concurrency,
        )

    def _finish(self, context: Context, job: Job, batch: Batch) -> dict[str, Any]:
        from airflow_provider_apns.hooks.connections import utc_now

        self._summary = summary = job.write(batch)
        summary.tell(job.destination.dataset.short_name, job.app_id, utc_now())
        self._tell_assets(context, summary)
        return summary.to_dict()

    def _tell_assets(self, context: Context, summary: Summary) -> None:
        from airflow.providers.common.compat.sdk import Asset, AssetAlias

        extra: dict[str, Any] = {"path": summary.path, "rows": summary.rows, "days": summary.days}
        for outlet in filter(_compat.sends_events, self.outlets or ()):
            event = context["outlet_events"][outlet]
            if isinstance(outlet, AssetAlias):
                if not summary.days:
                    continue
                event.add(Asset(asset_uri(summary.path)), _compat.alias_event_extra(extra))
                continue
            event.extra.update(extra)
            if self.asset_partitions:
                event.add_partitions(summary.days)

    def on_kill(self) -> None:
        """End the task at once if it is marked as failed, or its worker shuts down."""
        _compat.end_at_sigterm()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Return the lineage for OpenLineage: the dataset, and the first hundred objects that were written."""
        from airflow_provider_apns.lineage import lineage_of

        if self._summary is None:
            return None
        return lineage_of(self._summary.source, self._summary.named)


def asset_uri(path: str) -> str:
    """Return a path as an asset's URI, which must be ASCII."""
    return "".join(char if char.isascii() else quote(char) for char in path)


def _seconds(value: timedelta | float) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
