"""Which dataset a token is for: Apple has no call that tells."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING

from airflow_provider_apns.exceptions import ApnsNotFoundError, ApnsTokenError
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.protocol.days import Days
from airflow_provider_apns.protocol.exports import Export, ExportRequest

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.account import Account

_NO_CHANNEL = "AAAAAAAAAAAAAAAAAAAAAA=="
"""A channel that no app has: a token for the channel dataset gets 404 for it, any other 401."""


def accepted_dataset(account: Account, request: Callable[[ExportRequest], Export], today: date) -> Dataset:
    """
    Ask for an export of the oldest days, which are settled, of one dataset after the other.

    It shows that host, team, app and token fit together, and stands in no later request's way.

    :param account: the connection to try.
    :param request: asks Apple for an export.
    :param today: the current day in UTC.
    :return: the dataset that the token is for.
    :raises ApnsTokenError: if it is for none.
    """
    oldest = Days.available(today).first + timedelta(days=1)
    days = Days(oldest, oldest + timedelta(days=1))
    refusals = []
    for dataset in account.claims.datasets or Dataset:
        channel_id = _NO_CHANNEL if dataset.per_channel else None
        try:
            request(ExportRequest(dataset, days, channel_id))
        except ApnsTokenError as error:
            refusals.append(error)
        except ApnsNotFoundError:
            if not channel_id:
                raise
            return dataset
        else:
            return dataset
    raise refusals[0]
