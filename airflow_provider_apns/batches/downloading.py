"""Downloading many reports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_apns.batches.concurrency import Progress, for_each
from airflow_provider_apns.batches.failures import Failures
from airflow_provider_apns.exceptions import ApnsError
from airflow_provider_apns.reports.columns import normalised_columns
from airflow_provider_apns.reports.tables import Table

if TYPE_CHECKING:
    from airflow_provider_apns.batches.batch import Asked, Batch
    from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
    from airflow_provider_apns.protocol.datasets import Dataset


async def download_exports(
    hook: ApnsAsyncHook, batch: Batch, dataset: Dataset, app_id: str, max_concurrency: int
) -> tuple[Table, Batch]:
    """
    Download the reports of a batch.

    :param hook: the transport.
    :param batch: the exports, which must be ready.
    :param dataset: the dataset.
    :param app_id: the bundle identifier.
    :param max_concurrency: how many downloads at once.
    :return: the rows of the wanted days, sorted; and the batch, in which the channels whose download failed have moved
        from its exports to its failures.
    """
    table = Table(normalised_columns(dataset))
    failures = Failures()
    progress = Progress("%s of %s reports downloaded.", len(batch.exports))

    async def fetch(export: Asked) -> None:
        try:
            report = await hook.download_report(export.status_url, dataset)
        except ApnsError as error:
            failures.add(export.channel_id, error)
        else:
            failures.succeeded()
            days = batch.wanted[export.channel_id]
            table.add(report.labelled_rows(days, app_id, export.channel_id), report.labelled_columns())
        progress.step()

    await for_each(batch.exports, fetch, max_concurrency)
    table.sort()
    return table, replace(batch.without(set(failures.channels)), failed={**batch.failed, **failures.channels})
