"""Finding out which dataset a token is for: Apple has no call that says so."""

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
"""A channel that no app has: for it, a token for the channel dataset gets 404, any other token 401."""


def accepted_dataset(account: Account, request: Callable[[ExportRequest], Export], today: date) -> Dataset:
    """
    Request an export of each dataset until Apple accepts one.

    This shows that host, team, app and token fit together. The export is of the oldest days, which are settled, so that
    the 24-hour rule does no harm to later requests.

    :param account: the connection to try.
    :param request: requests an export.
    :param today: the current day in UTC.
    :return: the token's dataset.
    :raises ApnsTokenError: if Apple accepts the token for no dataset.
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
