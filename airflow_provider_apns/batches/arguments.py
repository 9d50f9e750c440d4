"""Checks of a task's arguments that run when the DAG is parsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_apns._templates import is_known
from airflow_provider_apns.batches.layout import DATE
from airflow_provider_apns.exceptions import ApnsInvalidRequestError
from airflow_provider_apns.protocol.channel_ids import read_channel_ids
from airflow_provider_apns.reports.formats import names_register

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.datasets import Dataset

MAX_CONCURRENCY = 100
"""The most requests at once: as many as the hook has connections."""

MAX_SETTLE_DAYS = 29

ALL_CHANNELS = "all"


def check_options(on_channel_error: str, max_concurrency: int, settle_days: int) -> None:
    """
    Check the options that are not templated.

    :raises ApnsInvalidRequestError: naming the one that is wrong.
    """
    if on_channel_error not in ("fail", "skip"):
        raise ApnsInvalidRequestError(f"on_channel_error must be 'fail' or 'skip', not {on_channel_error!r}.")
    if not 1 <= max_concurrency <= MAX_CONCURRENCY:
        raise ApnsInvalidRequestError(f"max_concurrency must be 1 to {MAX_CONCURRENCY}, not {max_concurrency}.")
    if not 0 <= settle_days <= MAX_SETTLE_DAYS:
        raise ApnsInvalidRequestError(f"settle_days must be 0 to {MAX_SETTLE_DAYS}, not {settle_days}.")


def check_days(first_day: object, last_day: object, path: str) -> None:
    """
    Check that both days are given, or neither with a path that can be kept complete.

    :raises ApnsInvalidRequestError: otherwise.
    """
    if (first_day is None) != (last_day is None):
        raise ApnsInvalidRequestError(
            "first_day and last_day go together: give both, or neither to keep the path complete."
        )
    if first_day is None and is_known(path):
        check_complete(path)


def check_complete(path: str) -> None:
    """
    Check that a path can be kept complete.

    :raises ApnsInvalidRequestError: if it has no ``{date}``, or has it in the bucket's name.
    """
    if DATE not in path:
        raise ApnsInvalidRequestError(
            f"path {path!r} has no {DATE}: add it to keep the path complete, or give first_day and last_day."
        )
    scheme, separator, rest = path.partition("://")
    if separator and scheme != "file" and DATE in rest.partition("/")[0]:
        raise ApnsInvalidRequestError(f"path {path!r} has {DATE} in the bucket's name: move it into the object's name.")


def check_channels(dataset: Dataset, channel_ids: object) -> None:
    """
    Check that channels are given for the channel dataset, and only for it.

    :raises ApnsInvalidRequestError: otherwise.
    """
    if not dataset.per_channel and channel_ids:
        raise ApnsInvalidRequestError(
            f"channel_ids is for the channel dataset only, not for '{dataset.short_name}': leave it out."
        )
    if dataset.per_channel and not channel_ids:
        raise ApnsInvalidRequestError("channel_ids is missing: the channel dataset is exported per channel.")
    if isinstance(channel_ids, str) and is_known(channel_ids) and not is_elsewhere(channel_ids):
        read_channel_ids(channel_ids)


def is_elsewhere(channel_ids: str) -> bool:
    """Whether a text says where the list of channels is (at Apple, or in a register) instead of being one."""
    return channel_ids == ALL_CHANNELS or names_register(channel_ids)
